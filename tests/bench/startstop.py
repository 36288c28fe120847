#!/usr/bin/python3
"""How long `outspan record` takes to start and to stop, by sites and processes; beside it libbpf
opening and loading the same object and nothing else.

Start: from the start of the program to its line "ready". Stop: from SIGINT to its end, with the
session closed. Traced is a program made up here, whose processes wait and pass no point.
Prints milliseconds (median and range), never passes or fails; needs root and BPF.

usage: startstop.py [BUILD_DIR] [--rounds N] [--sites 60,300] [--processes 1,10,100] [--json FILE]
"""
import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
POINTS = 20  # of an operation: a site each
RING = 16 << 20  # of the bare load; outspan chooses its own


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def catalogue(sites):
    """Operations in a row of points each, the last of which ends it."""
    lines = ["provider: startstop", "abi: 1", "operations:"]
    for op in range(sites // POINTS):
        lines += [f"  op{op}:", "    watch: true", "    points:"]
        lines += [f"      p{i}: {{level: {'detail' if 0 < i < POINTS - 1 else 'essential'}}}" for i in range(POINTS)]
        lines += ["    start: S0", "    states:"]
        lines += [f"      S{i}: {{p{i}: S{i + 1}}}" for i in range(POINTS - 1)]
        lines += [f"      S{POINTS - 1}: {{p{POINTS - 1}: {{end: ok}}}}"]
    return "\n".join(lines) + "\n"


def program(sites):
    """Passes each operation once if it is told to, and waits."""
    lines = ["#include <stdio.h>", "#include <unistd.h>", '#include "startstop.h"']
    for op in range(sites // POINTS):
        lines += [f"static void run{op}(void)", "{", f"\tstruct startstop_op{op} op = STARTSTOP_OP{op}_INIT;"]
        lines += [f"\tstruct startstop_op{op}_s0 s0 = startstop_op{op}_begin(&op);"]
        for i in range(POINTS):
            to = f"struct startstop_op{op}_s{i + 1} s{i + 1} = " if i < POINTS - 1 else ""
            lines += [f"\t{to}startstop_op{op}__p{i}(s{i});"]
        lines += ["}"]
    lines += ["int main(int argc, char **argv)", "{", "\t(void)argv;", "\tif (argc > 1) {"]
    lines += [f"\t\trun{op}();" for op in range(sites // POINTS)]
    lines += ["\t}", '\tputs("ready");', "\tfflush(stdout);", "\tgetchar();", "\treturn 0;", "}"]
    return "\n".join(lines) + "\n"


def build(place, out, sites):
    """A traced program of so many sites and its catalogue: their paths."""
    yaml, exe, include = f"{place}/{sites}.yaml", f"{place}/sites{sites}", f"{place}/include{sites}"
    os.makedirs(f"{include}/outspan")
    with open(yaml, "w", encoding="ascii") as f:
        f.write(catalogue(sites))
    with open(f"{exe}.c", "w", encoding="ascii") as f:
        f.write(program(sites))
    with open(f"{include}/startstop.h", "w", encoding="ascii") as f:
        f.write(run(f"{out}/outspan-generate", "header", yaml))
    for name in os.listdir(f"{ROOT}/probes"):
        if re.fullmatch(r"op(_\w+)?\.h", name):
            os.symlink(f"{ROOT}/probes/{name}", f"{include}/outspan/{name}")
    run("gcc", "-O2", "-std=gnu11", "-D_GNU_SOURCE", f"-I{include}", f"{exe}.c", "-o", exe)
    return yaml, exe


def build_bare(place, out):
    flags = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", f"-I{ROOT}", f"-I{out}"]
    run("gcc", *flags, f"{HERE}/bare.c", "-o", f"{place}/bare", *run("pkg-config", "--libs", "libbpf").split())


def until_ready(*command):
    """Starts it; (process, ms until its line "ready")."""
    begin = time.monotonic()
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = []
    for line in p.stderr:
        said.append(line)
        if re.match(r"(\S+: )?ready:", line):
            return p, (time.monotonic() - begin) * 1e3
    raise SystemExit(f"{command[0]} did not start:\n{''.join(said)}")


def one_bare(place):
    p, took = until_ready(f"{place}/bare", str(RING))
    p.stderr.read()
    p.wait()
    return took


def one_recording(out, place, yaml, targets, options):
    pids = [x for t in targets for x in ("-p", str(t.pid))]
    p, start = until_ready(f"{out}/outspan", "record", *pids, "--catalogue", yaml, "-o", f"{place}/session.db", "--overwrite", *options)
    begin = time.monotonic()
    p.send_signal(signal.SIGINT)
    said = p.stderr.read()
    if p.wait():
        raise SystemExit(f"outspan ended with {p.returncode}:\n{said}")
    return start, (time.monotonic() - begin) * 1e3


def start_targets(exe, count):
    targets = [subprocess.Popen([exe], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(count)]
    for t in targets:
        t.stdout.readline()
    return targets


def end_targets(targets):
    for t in targets:
        t.stdin.close()
        t.stdout.close()
        t.wait()


def measure(place, arguments, yaml, exe, processes):
    """{what: [ms, ...]}, a round of each in turn."""
    figures = {"start": [], "stop": [], "bare": []}
    targets = start_targets(exe, processes)
    try:
        for _ in range(arguments.rounds):
            figures["bare"].append(one_bare(place))
            start, stop = one_recording(arguments.build, place, yaml, targets, arguments.options)
            figures["start"].append(start)
            figures["stop"].append(stop)
    finally:
        end_targets(targets)
    return figures


def text_of(values):
    return f"{statistics.median(values):7.1f} ({min(values):.1f}..{max(values):.1f})"


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build", nargs="?", default=os.path.join(ROOT, "build"))
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--sites", default="60,300")
    p.add_argument("--processes", default="1,10,100")
    p.add_argument("--json", metavar="FILE")
    p.add_argument("options", nargs="*", help="of outspan record, after --")
    a = p.parse_args()
    a.build = os.path.abspath(a.build)
    return a


def main():
    a = parse()
    flat = {}
    print(f"{'sites':>6} {'processes':>9}  {'start ms':<24} {'bare load ms':<24} {'over bare':>9}  {'stop ms':<24}")
    with tempfile.TemporaryDirectory() as place:
        build_bare(place, a.build)
        for sites in map(int, a.sites.split(",")):
            yaml, exe = build(place, a.build, sites)
            for processes in map(int, a.processes.split(",")):
                f = measure(place, a, yaml, exe, processes)
                over = statistics.median(f["start"]) - statistics.median(f["bare"])
                print(f"{sites:6} {processes:9}  {text_of(f['start']):<24} {text_of(f['bare']):<24} {over:9.1f}  {text_of(f['stop']):<24}",
                      flush=True)
                for what in f:
                    flat[f"{what}_ms_{sites}_sites_{processes}_processes"] = round(statistics.median(f[what]), 2)
                flat[f"start_ms_over_bare_{sites}_sites_{processes}_processes"] = round(over, 2)
    print("targets, one process: start at most 50 ms over bare, stop at most 60 ms")
    if a.json:
        if "stop_ms_300_sites_1_processes" in flat:
            flat["stop_ms_300_sites"] = flat["stop_ms_300_sites_1_processes"]
            flat["start_ms_over_bare"] = flat["start_ms_over_bare_300_sites_1_processes"]
        with open(a.json, "w", encoding="ascii") as f:
            json.dump(flat, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("needs root")
    main()

#!/usr/bin/python3
"""The benchmark suite: figures and ratios, never pass or fail. Needs root and BPF; README.md tells how each figure is made.

usage: bench.py [BUILD_DIR] [--quick] [--json FILE] [--only PART,...]
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # nothing is left in the sources' folder

import broadcaster
import detached
import losses
import rates
import suite
from suite import Figure, Suite, print_table, say

# Key, what it is, target. Also the keys of the JSON file.
FIGURES = [
    ("detached_ns_per_site", "detached point, ns", "<= 1.5, <= LTTng's"),
    ("lttng_detached_ns_per_site", "LTTng-UST's without a session, ns", ""),
    ("light_vs_lttng_max", "--light / LTTng-UST, maximum rate", "<= 0.65"),
    ("carried_vs_lttng_max", "default / LTTng-UST, maximum rate", "<= 0.80"),
    ("carried_vs_lttng_100k", "default / LTTng-UST, 100k steps/s", "< 1"),
    ("step_vs_empty_hit", "a trap per step / empty hit (nop1, uprobe_multi)", "<= 1.40"),
    ("step_vs_perf_record", "a trap per step / perf record", "<= 0.65"),
    ("step_vs_stock_libbpf", "a trap per step / stock libbpf", "<= 0.42"),
    ("step_vs_bpftrace_printf_100k", "a trap per step / bpftrace printf, 100k/s", "<= 0.13"),
    ("traps_per_message", "traps per message of 46 steps, default", ""),
    ("loss_1_producer", "steps lost, 1 producer", "0"),
    ("loss_2_producers", "steps lost, 2 producers", "0"),
    ("loss_8_producers", "steps lost, 8 producers", "0"),
    ("recorder_ns_per_event", "recorder CPU per event, spans stored, ns", "<= 150"),
    ("recorder_vs_row_per_event", "recorder / row per event", "<= 0.25"),
    ("bytes_per_event", "session bytes per event", "<= 14"),
    ("stop_ms_300_sites", "stop, 300 sites in one process, ms", "<= 60"),
    ("start_ms_over_bare", "start over bare libbpf, ms", "<= 50"),
]
# Seconds that each part takes about on two quiet CPUs: (quick, whole). Busy ones need twice that.
TAKES = {"detached": (20, 30), "rates": (70, 435), "losses": (50, 115), "broadcaster": (35, 95), "pipeline": (10, 35), "store": (15, 275),
         "startstop": (10, 15)}
PARTS = {"detached": detached, "rates": rates, "losses": losses, "broadcaster": broadcaster}


# ---- parts that are programs of their own --------------------------------------------------------

def programs(s):
    """name: (title, command, its arguments when quick, else)"""
    return {
        "pipeline": ("(d), (e) The pipeline by stage, open operations, length", [s.program("bench/pipeline")],
                     ["--messages", "20000", "--times", "1"], []),
        "store": ("(d), (e) The store by step, size, length; in millions of spans", [s.program("bench/store")], ["0.2"],
                  ["-c", "1", "10"]),
        "startstop": ("(f) Start and stop by sites and processes", [os.path.join(suite.HERE, "startstop.py"), s.build],
                      ["--rounds", "2", "--processes", "1,10"], []),
    }


def run_program(s, name):
    """What it prints; what it measured under one of our keys becomes a figure."""
    title, command, quick, full = programs(s)[name]
    out = s.path(f"{name}.json")
    if not os.path.exists(command[0]):
        s.note(f"{name}: {os.path.basename(command[0])} is not there")
        return
    try:
        r = subprocess.run([*command, "--json", out, *(quick if s.quick else full)],
                           capture_output=True, text=True, timeout=s.seconds(40, 3600), check=False)
    except subprocess.TimeoutExpired:
        s.note(f"{name}: not done in time")
        return
    if r.returncode:
        s.note(f"{name}: ended with {r.returncode}: {(r.stderr or r.stdout).strip()[-200:]}")
        return
    s.said[title] = r.stdout
    if os.path.exists(out):
        with open(out, encoding="ascii") as f:
            s.details[name] = json.load(f)
        for key, value in s.details[name].items():
            if any(key == k for k, _, _ in FIGURES):
                s.figures.setdefault(key, Figure([value]))


# ---- what is told --------------------------------------------------------------------------------

def shares_core(facts):
    return "no other" if facts["cpus_of_first_core"] == "0" else f"CPUs {facts['cpus_of_first_core']}"


def show_ratios(s, facts, seconds):
    print("outspan benchmarks: medians of rounds in turn, least..most beside them; nothing here passes or fails")
    for line in (f"{facts['cpu']}, {facts['cpus']} CPUs, Linux {facts['kernel']}, attached by {facts['attach_form']}",
                 f"L2 {facts['l2']} a core, L3 {facts['l3']} for CPUs {facts['cpus_of_first_l3']}; CPU 0 is on one core with "
                 f"{shares_core(facts)}",
                 f"load average {facts['load_before']:.2f} before, {facts['load_after']:.2f} after; took {seconds:.0f} s"
                 f"{', quick: expect noise' if s.quick else ''}",
                 f"{facts['lttng']}; {facts['bpftrace']}; {facts['perf']}"):
        print(f"  {line}"[:100])
    print_table("The ratios and their targets", ["", "measured", "target"],
                [[title, s.figures.get(key, Figure()).text(0 if key.startswith("loss") else 2), target] for key, title, target in FIGURES])


def write_json(s, path, facts):
    out = {key: s.figures.get(key, Figure()).median() for key, _, _ in FIGURES}
    out["range"] = {key: [min(f), max(f)] for key, f in s.figures.items() if f}
    out["machine"], out["notes"], out["details"] = facts, s.notes, s.details
    with open(path, "w", encoding="ascii") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


def parse():
    p = argparse.ArgumentParser(usage=re.search(r"usage: (.*)", __doc__)[1])
    p.add_argument("build", nargs="?", default=os.path.join(suite.ROOT, "build"))
    p.add_argument("--quick", action="store_true", help="fewer and shorter rounds: five minutes in all")
    p.add_argument("--json", metavar="FILE", help="write the figures to this file")
    p.add_argument("--only", metavar="PART,...", help="only these parts")
    return p.parse_args()


def main():
    a = parse()
    if os.geteuid():
        sys.exit("bench: needs root, to attach and to mount")
    suite.enter_private_namespace()
    s = Suite(a.build, a.quick)
    begin = time.monotonic()
    facts = suite.machine(s)
    names = a.only.split(",") if a.only else [*PARTS, *programs(s)]
    say(f"about {sum(TAKES[n][not a.quick] for n in names) / 60:.1f} min on a quiet machine")
    try:
        for name in names:
            say(f"{time.monotonic() - begin:4.0f} s  {name}")
            if name in PARTS:
                PARTS[name].run(s)
            else:
                run_program(s, name)
        facts["load_after"] = os.getloadavg()[0]
        show_ratios(s, facts, time.monotonic() - begin)
        for name in names:
            if name in PARTS:
                PARTS[name].show(s)
        for title, text in s.said.items():
            print(f"\n{title}\n  " + text.rstrip().replace("\n", "\n  "))
        print("\nNotes\n  " + "\n  ".join(s.notes or ["none"]))
        if a.json:
            write_json(s, a.json, facts)
    finally:
        s.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

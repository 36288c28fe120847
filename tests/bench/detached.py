#!/usr/bin/python3
"""What compiled-in trace points cost while nobody looks: psp-broadcaster against one built without.

Prints figures and ratios, never passes or fails. The two broadcasters run in turn, A B A B ...,
each with one subscriber and a publisher that sends as fast as it is answered; both ends are the
build without points, so that only the broadcaster differs.
usage: detached.py [BUILD_DIR] [ROUNDS] [MESSAGES]
"""
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build"))
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 7
MESSAGES = int(sys.argv[3]) if len(sys.argv) > 3 else 3000


def start(*argv):
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in p.stderr:
        if line.startswith("ready:"):
            return p, dict(w.split("=", 1) for w in line.split()[1:])
    raise SystemExit(f"{argv[0]} did not start")


def stop(p):
    p.terminate()
    p.stderr.read()
    p.wait()


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def one_round(broadcaster, others):
    b, said = start(os.path.join(broadcaster, "psp-broadcaster"), "--listen", "127.0.0.1:0")
    url = f"http://127.0.0.1:{said['port']}"
    s, _ = start(os.path.join(others, "psp-subscriber"), "--broadcaster", url, "--exact", "bench", "--quiet")
    before, begin = cpu_seconds(b.pid), time.monotonic()
    subprocess.run([os.path.join(others, "psp-notify"), "--broadcaster", url, "--quiet", "--count", str(MESSAGES), "bench", "x" * 100],
                   check=True, stderr=subprocess.DEVNULL)
    took, cpu = time.monotonic() - begin, cpu_seconds(b.pid) - before
    stop(s)
    stop(b)
    return MESSAGES / took, cpu / MESSAGES * 1e6


def main():
    bare = os.path.join(BUILD, "noprobes")
    figures = {BUILD: [], bare: []}
    one_round(BUILD, bare)
    for _ in range(ROUNDS):
        for where in (BUILD, bare):
            figures[where].append(one_round(where, bare))
    print(f"{ROUNDS} rounds of {MESSAGES} messages, one subscriber, in turn")
    print(f"{'':24}{'messages/s':>12}{'broadcaster CPU us/message':>30}")
    for where, title in ((BUILD, "points, nobody looks"), (bare, "OUTSPAN_NO_PROBES")):
        rates, cpus = zip(*figures[where])
        print(f"{title:24}{statistics.median(rates):12.0f}{statistics.median(cpus):30.1f}")
    ratios = [a[0] / b[0] for a, b in zip(figures[BUILD], figures[bare])]
    costs = [a[1] / b[1] for a, b in zip(figures[BUILD], figures[bare])]
    print(f"ratio, pair by pair: throughput median {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), "
          f"CPU median {statistics.median(costs):.3f} ({min(costs):.3f} to {max(costs):.3f})")


main()

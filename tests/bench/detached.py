"""(a) What compiled-in points cost while nobody looks: the workload program with outspan's points, with LTTng-UST's and with
none, and the way through a point as the machine runs it."""
import os
import re
import subprocess
import sys

import suite
from suite import App, Figure, Skip, all_ended, in_turn, print_table

VARIANTS = [("plain", "OUTSPAN_NO_PROBES"), ("outspan", "outspan's points"), ("lttng", "LTTng-UST's tracepoints")]
BARE, WHOLE = 0, 1024  # bytes hashed per hop: nothing but the points and calls, and a message that does some work


def one(s, variant, work, messages):
    app = App(s, variant, work)
    app.run(messages // 10)
    r = app.run(messages)
    app.close()
    return r


def measure(s):
    """Figures of CPU ns per message by (variant, work), rounds interleaved; steps per message."""
    cpu, steps = {(v, w): Figure() for v, _ in VARIANTS for w in (BARE, WHOLE)}, 0
    messages = {BARE: s.seconds(1000000, 3000000), WHOLE: s.seconds(20000, 60000)}
    for number in range(s.seconds(7, 15)):
        for variant, work in in_turn(number, cpu):
            try:
                with all_ended():
                    r = one(s, variant, work, messages[work])
            except Skip as e:
                s.note(f"detached: {e}")
                del cpu[variant, work]
                continue
            cpu[variant, work].append(r["cpu_ns"] / r["messages"])
            steps = r["steps"] / r["messages"]
    return cpu, steps


def disassembly(s):
    """What the test of the machine code says of one build, gcc -O2."""
    test = os.path.join(suite.ROOT, "tests/probes/off.py")
    said = subprocess.run([sys.executable, test, s.build], capture_output=True, text=True, check=False).stdout
    lines = re.findall(r"^(ok|not ok) \d+ - (gcc -O2: .*)", said, re.M)
    failed = len(re.findall(r"^not ok", said, re.M))
    return [("" if ok == "ok" else "NOT AS PROMISED ") + instructions(text) for ok, text in lines if "|" in text], failed


def instructions(text):
    """The names of the instructions are what a reader wants."""
    head, way = text.rsplit(": ", 1) if text.count(": ") < 3 else text.split(": ", 2)[1:]
    return f"{head}: " + ", ".join(i.split()[0] for i in way.split(" | "))


def run(s):
    cpu, steps = measure(s)
    for variant, key in (("outspan", "detached_ns_per_site"), ("lttng", "lttng_detached_ns_per_site")):
        if (variant, BARE) in cpu:
            s.figures[key] = cpu[variant, BARE].minus(cpu["plain", BARE]).by(steps)
    s.detached = (cpu, steps, disassembly(s))


def show(s):
    cpu, steps, (lines, failed) = s.detached
    rows = []
    for variant, title in VARIANTS:
        if (variant, BARE) not in cpu:
            continue
        bare, whole, base = cpu[variant, BARE], cpu[variant, WHOLE], cpu["plain", BARE]
        rows.append([title, bare.cell(1), "" if variant == "plain" else bare.minus(base).by(steps).cell(2), whole.cell(),
                     "" if variant == "plain" else whole.over(cpu["plain", WHOLE]).cell(3)])
    print_table(f"(a) Detached: CPU of a message ({steps:.0f} points), median and least..most of {len(cpu['plain', BARE])} rounds",
                ["program with", "ns/message, no work", "ns/point", "ns/message, hashing 5 KiB", "ratio"], rows)
    print(f"  The way through a point that nobody wants, gcc -O2 (tests/probes/off.py; of all builds {failed} not as promised):")
    for line in lines:
        print(f"    {line}")

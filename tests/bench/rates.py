"""(b), (h) What tracing adds to the program, by rate, for every form of outspan and for its peers, on the same messages; and
what an empty hit costs here."""
import json
import subprocess

from suite import PATIENCE, App, Figure, Skip, all_ended, in_turn, print_table, say
from tracers import Detached, Nobody, forms, peers

STEPS = 46  # of a message
RATES = {"1k": 1000, "10k": 10000, "100k": 100000, "500k": 500000, "max": 0}  # steps per second
PEER_RATES = ("100k", "max")
REPEATS = 5  # of a run at the maximum, which is short; the one in the middle counts
WARM = (100, 1000)  # messages, per second
WHOLE = 90  # per cent of the steps that must arrive for a cost to be compared


def load(s, rate):
    """(messages, messages per second) of one measured run."""
    if not RATES[rate]:
        return s.seconds(5000, 20000), 0
    per_second = RATES[rate] / STEPS
    return max(20, int(per_second * s.seconds(1, 3))), round(per_second)


def session(s, tracer, rates):
    """One attachment: {rate: what the program says of its run}, what the tracer says at its end."""
    app = App(s, tracer.variant, cpu=getattr(tracer, "cpu", 0))
    app.run(*WARM)
    tracer.start(app)
    all_runs, runs = [app.run(*WARM)], {}
    for rate in rates:
        here = [app.run(*load(s, rate)) for _ in range(1 if RATES[rate] else REPEATS)]
        runs[rate] = sorted(here, key=lambda r: r["cpu_ns"])[len(here) // 2]
        all_runs += here
    told = tracer.stop()
    last = app.close()
    told["expected"] = sum(r["steps"] for r in all_runs)
    if last:  # the program itself is the tracer, from its start on
        told.update(delivered=last["rows"], lost=last["dropped"], expected=told["expected"] + all_runs[0]["steps"])
    return runs, told


class Row:
    """What one tracer gave, round by round."""

    def __init__(self, tracer, rates):
        self.tracer, self.rates = tracer, rates
        self.runs = {r: [] for r in rates}
        self.told = []

    def figure(self, rate, what):
        return Figure(what(r) for r in self.runs[rate]) if rate in self.runs else Figure()

    def added(self, rate, base):
        """CPU ns per step more than the same program without points, in the same round."""
        def per_step(r):
            return r["cpu_ns"] / r["steps"]
        return self.figure(rate, per_step).minus(base.figure(rate, per_step))


def measure(s):
    rows = {t.title: Row(t, list(RATES)) for t in [Nobody(s), Detached(s), *forms(s)]}
    others = peers(s)
    rows.update({t.title: Row(t, PEER_RATES) for t in others})
    try:
        measure_rounds(s, rows)
    finally:
        for t in others:
            if hasattr(t, "close"):
                t.close()
    return rows


def measure_rounds(s, rows):
    for number in range(s.rounds):
        for title in in_turn(number, rows):
            row = rows[title]
            say(f"rates: round {number + 1} of {s.rounds}: {title}")
            try:
                if hasattr(row.tracer, "prepare"):
                    row.tracer.prepare()
                with all_ended():
                    runs, told = session(s, row.tracer, row.rates)
            except (Skip, subprocess.TimeoutExpired) as e:
                s.note(f"{title} cannot run here: {e}")
                del rows[title]
                continue
            for rate in row.rates:
                row.runs[rate].append(runs[rate])
            row.told.append(told)


def empty_hits(s):
    """{stub_form: Figure of ns}; processes differ by their layout, so each round is a process."""
    found = {}
    for _ in range(s.seconds(3, 7)):
        r = subprocess.run([s.program("bench/hit"), str(s.seconds(50000, 200000))], capture_output=True, text=True, timeout=PATIENCE,
                           check=False)
        if r.returncode:
            s.note(f"empty hits: {r.stderr.strip()[-200:]}")
            return {}
        for key, ns in json.loads(r.stdout).items():
            if ns is None:
                s.note(f"empty hit: {key.replace('_', ' by ', 1)} cannot be attached in this kernel")
            else:
                found.setdefault(key, Figure()).append(ns)
    return found


RATIOS = [
    # key, ours, theirs, rate
    ("step_vs_perf_record", "outspan immediate", "perf record -e sdt", "max"),
    ("step_vs_stock_libbpf", "outspan immediate", "stock libbpf, row per event", "max"),
    ("step_vs_bpftrace_printf_100k", "outspan immediate", "bpftrace printf", "100k"),
    ("light_vs_lttng_max", "outspan light", "LTTng-UST", "max"),
    ("carried_vs_lttng_max", "outspan default", "LTTng-UST", "max"),
    ("carried_vs_lttng_100k", "outspan default", "LTTng-UST", "100k"),
]


def run(s):
    s.hits = empty_hits(s)
    rows = s.rows = measure(s)
    base = rows["nobody"]
    for key, ours, theirs, rate in RATIOS:
        if is_whole(s, rows.get(ours)) and theirs in rows:
            s.figures[key] = rows[ours].added(rate, base).over(rows[theirs].added(rate, base))
    if is_whole(s, rows.get("outspan immediate")) and "nop1_uprobe_multi" in s.hits:
        hit = s.hits["nop1_uprobe_multi"].median()
        s.figures["step_vs_empty_hit"] = rows["outspan immediate"].added("max", base).by(hit)
    s.details["empty_hit_ns"] = {k: f.median() for k, f in s.hits.items()}
    s.details["added_ns_per_step"] = {t: {r: row.added(r, base).median() for r in row.rates} for t, row in rows.items()}
    s.details["latency_us"] = {t: {r: {p: row.figure(r, lambda x, p=p: x[p + "_ns"] / 1000).median() for p in ("p50", "p99")}
                                   for r in row.rates} for t, row in rows.items()}


def is_whole(s, row):
    """A tracer that does not tell of the steps is not cheap: its ratio would mean nothing."""
    if not row or not row.told:
        return False
    share = shares(row).median()
    if share < 99.9:
        s.note(f"{row.tracer.title}: {share:.1f} % of the steps arrived" +
               (", so its cost is not compared with anybody's" if share < WHOLE else ""))
    return share >= WHOLE


def show(s):
    base = s.rows["nobody"]
    print_table("Empty hit: a BPF program that does nothing, ns per call (least of each process's rounds)",
                ["stub, attached by", "ns"], [[k.replace("_", ", ", 1), f.text()] for k, f in s.hits.items()])
    print_table("(b), (h) CPU ns added per step, by steps/s; of nobody: the program's own ns per step",
                ["traced by", *RATES],
                [[t, *[cell(row, rate, base) for rate in RATES]] for t, row in s.rows.items()])
    print_table("Latency of a message, from publish to the last answer: p50 / p99, us (medians)", ["traced by", *RATES],
                [[t, *[latency(row, rate) for rate in RATES]] for t, row in s.rows.items()])
    print_table("At the maximum: what goes through; what arrived of all that was passed; what the tracer itself takes",
                ["traced by", "M steps/s", "arrived", "its CPU, ns/step"],
                [[t, through(row), arrived(row), own_cpu(row)] for t, row in s.rows.items()])


def cell(row, rate, base):
    if row is base:
        return row.figure(rate, lambda r: r["cpu_ns"] / r["steps"]).cell()
    return row.added(rate, base).cell() if rate in row.runs else ""


def latency(row, rate):
    if rate not in row.runs:
        return ""
    return " / ".join(f"{row.figure(rate, lambda r, p=p: r[p] / 1000).median():.0f}" for p in ("p50_ns", "p99_ns"))


def through(row):
    return row.figure("max", lambda r: r["steps"] / r["wall_ns"] * 1e3).text(2)


def shares(row):
    """Per cent of what was passed that arrived, while it was attached."""
    return Figure(100 * (t["delivered"] if "delivered" in t else t["expected"] - t["lost"]) / t["expected"]
                  for t in row.told if "delivered" in t or "lost" in t)


def arrived(row):
    return f"{shares(row).median():.2f} %" if shares(row) else "-"


def own_cpu(row):
    return Figure(t["cpu_ns"] / t["expected"] for t in row.told if "cpu_ns" in t).text(0)

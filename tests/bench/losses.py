"""(c) What goes through without loss for 1, 2 and 8 producers, by the programs' own counts; what the recorder costs and keeps
of each step, beside a recorder that inserts a row per event; how many traps a message is."""
import glob

from suite import App, Figure, Skip, all_ended, in_turn, print_table, say
from tracers import Stock, forms

PRODUCERS = (1, 2, 8)
STEPS, SPANS = 46, 12  # of a message


def saturate(s, tracer, count, messages):
    """All producers as fast as they go: steps passed, wall seconds, what the tracer tells."""
    cpus = [0] if count == 1 else [None] * count
    apps = [App(s, tracer.variant, cpu=c) for c in cpus]
    for a in apps:
        a.run(100)
    tracer.start(*apps)
    for a in apps:
        a.go(messages)
    runs = [a.result() for a in apps]
    told = tracer.stop()
    for a in apps:
        a.close()
    told["truth"] = sum(r["steps"] for r in runs)
    told["points"] = {name: sum(r["points"][name] for r in runs) for name in runs[0]["points"]}
    told["messages"] = messages * count
    told["wall_s"] = max(r["wall_ns"] for r in runs) / 1e9
    return told


class Traps:
    """Counts the runs of BPF programs of the kernel while it is open."""

    def __enter__(self):
        self.before = self.sysctl()
        self.sysctl(1)
        return self

    def __exit__(self, *_):
        self.sysctl(self.before)

    @staticmethod
    def sysctl(value=None):
        with open("/proc/sys/kernel/bpf_stats_enabled", "r+" if value is not None else "r", encoding="ascii") as f:
            if value is None:
                return f.read().strip()
            return f.write(f"{value}\n")

    @staticmethod
    def count(pid):
        """Runs so far of the programs that this process holds and that sites run (type 2, kprobe)."""
        runs = 0
        for path in glob.glob(f"/proc/{pid}/fdinfo/*"):
            with open(path, encoding="ascii") as f:
                told = dict(line.split(":", 1) for line in f if ":" in line)
            if told.get("prog_type", "").strip() == "2":
                runs += int(told.get("run_cnt", 0))
        return runs


def traps_per_message(s, tracer, messages=5000):
    """Traps while that many messages pass: the runs of the recorder's programs at sites."""
    app = App(s, tracer.variant)
    with Traps():
        tracer.start(app)
        before = Traps.count(tracer.p.pid)
        app.run(messages)
        traps = Traps.count(tracer.p.pid) - before
        tracer.stop()
    app.close()
    return traps / messages


def idle_cpu(s, tracer):
    """What it takes from "ready" to its end when nothing comes, ns: no part of the cost of an event."""
    app = App(s, tracer.variant)
    tracer.start(app)
    cpu = tracer.stop()["cpu_ns"]
    app.close()
    return cpu


def one_round(s, tracer, counts, messages):
    """(producers, what saturate() tells and the fixed cost) for each number of producers."""
    try:
        with all_ended():
            fixed = idle_cpu(s, tracer)
    except Skip as e:
        s.note(f"{tracer.title} without a producer: {e}")
        return
    for count in counts:
        try:
            with all_ended():
                yield count, {**saturate(s, tracer, count, messages[count]), "fixed_ns": fixed}
        except Skip as e:
            s.note(f"{tracer.title} with {count} producers: {e}")


def measure(s):
    found = {}
    messages = {1: s.seconds(20000, 100000), 2: s.seconds(10000, 50000), 8: s.seconds(3000, 20000)}
    fewer = {count: n // 4 for count, n in messages.items()}
    for number in range(3):
        for tracer in in_turn(number, [*forms(s), Stock(s)]):
            say(f"losses: round {number + 1}: {tracer.title}")
            alone = isinstance(tracer, Stock)
            for count, r in one_round(s, tracer, (1,) if alone else PRODUCERS, fewer if alone else messages):
                found.setdefault((tracer.title, count), []).append(r)
    return found


def run(s):
    found = s.losses = measure(s)
    s.details["losses"] = [{"tracer": t, "producers": n, **{k: v for k, v in r.items() if k not in ("points", "hits")}}
                           for (t, n), runs in found.items() for r in runs]
    chosen = next((t.title for t in forms(s) if t.title == "outspan default"), "outspan immediate")
    for count, name in zip(PRODUCERS, ("1_producer", "2_producers", "8_producers")):
        if (chosen, count) in found:
            s.figures[f"loss_{name}"] = Figure(r["truth"] - r["delivered"] for r in found[chosen, count])
    stock, ours = (cpu_per_event(found.get((title, 1), [])) for title in (Stock.title, chosen))
    s.figures["recorder_ns_per_event"] = ours
    s.figures["recorder_vs_row_per_event"] = ours.over(stock)
    s.figures["bytes_per_event"] = Figure(r["bytes"] / r["delivered"] for r in found.get((chosen, 1), []) if r["delivered"])
    s.traps = {}
    for tracer in forms(s):
        try:
            with all_ended():
                s.traps[tracer.title] = traps_per_message(s, tracer)
        except (Skip, OSError) as e:
            s.note(f"traps per message: {e}")
    if chosen in s.traps:
        s.figures["traps_per_message"] = Figure([s.traps[chosen]])


def show(s):
    rows = []
    for (title, count), runs in sorted(s.losses.items(), key=lambda x: x[0][1]):
        rows.append([title, count, Figure(r["truth"] / r["wall_s"] / 1e6 for r in runs).cell(2),
                     Figure(r["truth"] - r["delivered"] for r in runs).cell(), agreement(runs),
                     cpu_per_event(runs).cell(), Figure(r["fixed_ns"] / 1e6 for r in runs).cell(1),
                     Figure(r["bytes"] / max(1, r["delivered"]) for r in runs).cell(1)])
    print_table("(c) As fast as the producers go; what was lost is counted by the programs themselves",
                ["traced by", "producers", "M steps/s", "steps lost", "books", "its ns/step", "fixed, ms", "bytes/step"], rows)
    print("  books: whether the session tells, point by point, of the hits that the programs counted; ns, bytes: per stored step;")
    print("  fixed: its CPU from \"ready\" to its end when nothing comes, which is not in its ns/step")
    for title in dict.fromkeys(t for t, _ in s.losses):
        runs = s.losses.get((title, 1), [])
        spans = [r["bytes"] / (r["delivered"] / STEPS * SPANS) for r in runs if r["delivered"]]
        if spans and title != Stock.title:
            print(f"  {title}: {Figure(spans).text(0)} bytes per span")
    print_table("Traps per message", ["form", "traps"], [[t, f"{n:.2f}"] for t, n in s.traps.items()])


def cpu_per_event(runs):
    """Of an event more: without what a recording of none takes."""
    return Figure((r["cpu_ns"] - r["fixed_ns"]) / max(1, r["delivered"]) for r in runs)


def agreement(runs):
    if "hits" not in runs[0]:
        return ""
    off = sum(abs(r["points"].get(name, 0) - r["hits"].get(name, 0)) for r in runs for name in {*r["points"], *r["hits"]})
    return f"{off:,} off" if off else "agree"

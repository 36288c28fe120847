"""Who can trace the workload program, all started and stopped alike.

A tracer has a title, the variant of the program that it understands, and
  start(app)   attaches to the running program, returns when it is attached
  stop()       ends it; {"delivered": events that reached its file, "cpu_ns": its own since it was
               attached, "bytes": its file's size} as far as it tells
"""
import json
import os
import re
import select
import signal
import sqlite3
import subprocess
import time

from suite import PATIENCE, Skip, cpu_ns, finish, is_alive, start, wait_for_line


class Nobody:
    title, variant = "nobody", "plain"

    def __init__(self, suite):
        self.suite = suite

    def start(self, app):
        pass

    def stop(self):
        return {}


class Detached(Nobody):
    title, variant = "points, nobody looks", "outspan"


ASKED = 20  # seconds after which a tracer is asked to end once more: bpftrace misses a signal now and then


def end(p, pipe, number):
    """Asks a tracer to end: what it said last, and the CPU ns of its whole life."""
    said, asked = b"", 0
    read_some = getattr(pipe, "read1", pipe.read)  # one without a buffer has no other
    os.kill(p.pid, number)
    while True:
        if not select.select([pipe], [], [], ASKED)[0]:
            asked += 1
            if asked * ASKED >= PATIENCE:
                raise Skip(f"{os.path.basename(p.args[0])} does not end")
            os.kill(p.pid, number)
            continue
        more = read_some(1 << 16)
        if not more:
            break
        said += more
    pipe.close()
    return said.decode(errors="replace"), finish(p)


def use_up(path):
    """The size of a file that is needed no more."""
    size = os.path.getsize(path)
    os.unlink(path)
    return size


class Outspan:
    variant = "outspan"

    def __init__(self, suite, form, *flags):
        self.suite, self.title, self.flags = suite, f"outspan {form}", flags
        self.count = 0

    def start(self, *apps):
        self.count += 1
        self.file = self.suite.path(f"{self.title.replace(' ', '-')}-{self.count}.db")
        pids = [x for a in apps for x in ("-p", str(a.pid))]
        self.p = start([self.suite.program("outspan"), "record", *self.flags, *pids, "-o", self.file], stderr=subprocess.PIPE, bufsize=0)
        wait_for_line(self.p, self.p.stderr, r"^ready: ")
        self.at_ready = cpu_ns(self.p.pid)

    def stop(self):
        said, cpu = end(self.p, self.p.stderr, signal.SIGINT)
        if self.p.returncode:
            raise Skip(f"outspan record ended with {self.p.returncode}: {said[-300:]}")
        return {"cpu_ns": cpu - self.at_ready, **self.books(), "bytes": use_up(self.file)}

    def books(self):
        """What the session says of its steps; expected counts are the programs' own."""
        db = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)
        try:
            rows = db.execute("SELECT probe, sum(hits), sum(stored), sum(lost) FROM losses GROUP BY probe").fetchall()
        finally:
            db.close()
        return {"hits": {r[0]: r[1] for r in rows}, "delivered": sum(r[2] for r in rows), "lost": sum(r[3] for r in rows)}


def forms(suite):
    """The forms that this outspan knows. One that traps at each step is there in any case."""
    said = subprocess.run([suite.program("outspan"), "record", "--help"], capture_output=True, text=True, check=True).stdout
    if "--immediate" not in said or "--light" not in said:
        suite.note("outspan record has no --light and --immediate yet: its only form, a trap per step, is shown as immediate")
        return [Outspan(suite, "immediate")]
    return [Outspan(suite, "light", "--light"), Outspan(suite, "default"), Outspan(suite, "immediate", "--immediate")]


# ---- peers ---------------------------------------------------------------------------------------

def need(*programs):
    for p in programs:
        if subprocess.run(["which", p], capture_output=True, check=False).returncode:
            raise Skip(f"{p} is not installed (scripts/setup bench)")


def run(argv, env=None):
    r = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=PATIENCE, check=False)
    if r.returncode:
        raise Skip(f"{' '.join(argv[:3])}: {(r.stderr or r.stdout).strip()[-200:]}")
    return r.stdout + r.stderr


class Lttng:
    title, variant = "LTTng-UST", "lttng"

    def __init__(self, suite):
        self.suite, self.daemon, self.count = suite, None, 0
        self.env = dict(os.environ, HOME=suite.dir, LTTNG_HOME=suite.dir)

    def prepare(self):
        """Its session daemon, for as long as the suite runs: programs look for it when they start."""
        need("lttng", "lttng-sessiond")
        self.daemon = start(["lttng-sessiond", "--no-kernel"], env=self.env, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL) if not self.daemon else self.daemon
        end = time.monotonic() + PATIENCE
        while subprocess.run(["lttng", "list"], capture_output=True, env=self.env, check=False).returncode:
            if time.monotonic() > end or not is_alive(self.daemon):
                raise Skip("lttng-sessiond does not answer")

    def lttng(self, *argv):
        return run(["lttng", *argv], self.env)

    def start(self, app):
        self.count += 1
        self.out = self.suite.path(f"lttng-{self.count}")
        self.lttng("create", "bench", f"--output={self.out}")
        self.lttng("enable-channel", "-u", "--subbuf-size=4M", "--num-subbuf=8", "bench")
        self.lttng("add-context", "-u", "-t", "vpid", "-t", "vtid", "-c", "bench")
        self.lttng("enable-event", "-u", "outspan_bench:*", "-c", "bench")
        self.lttng("start")

    def stop(self):
        said = self.lttng("stop")
        self.lttng("destroy", "bench")
        lost = sum(int(n) for n in re.findall(r"(\d+) events? (?:were|was) discarded", said))
        size = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(self.out) for f in files)
        return {"lost": lost, "bytes": size}

    def close(self):
        if self.daemon:
            finish(self.daemon, signal.SIGTERM)


class Queue(Nobody):
    """In the program itself: its counts come with its end."""
    title, variant, cpu = "queue + SQLite thread", "queue", None


NOP = b"\x90" if os.uname().machine == "x86_64" else b"\x1f\x20\x03\xd5"  # what a probe is while nobody looks
ATTACHED = 40  # seconds that attaching may take


class Sites:
    """The probes of a file, and whether somebody has put a trap on all of them."""

    def __init__(self, path):
        said = run(["readelf", "-nW", path])
        self.names = re.findall(r"Provider: bench\s+Name: (\S+)", said)
        self.at = [int(x, 16) for x in re.findall(r"Provider: bench\s+Name: \S+\s+Location: (0x[0-9a-f]+)", said)]
        self.path = path

    def wait_for_traps(self, app, tracer):
        with open(f"/proc/{app.pid}/maps", encoding="ascii") as f:
            base = min(int(line.split("-")[0], 16) for line in f if line.rstrip().endswith(self.path))
        end = time.monotonic() + ATTACHED
        while any(x == NOP for x in self.here(app, base)):
            if time.monotonic() > end or not is_alive(tracer):
                said = tracer.stderr.read().decode(errors="replace") if not is_alive(tracer) else ""
                raise Skip(f"{os.path.basename(tracer.args[0])} did not attach: {(re.findall('ERROR: (?!.*MEMLOCK).*', said) or [said[-200:]])[0]}")
            time.sleep(0.01)

    def here(self, app, base):
        with open(f"/proc/{app.pid}/mem", "rb", buffering=0) as f:
            return [os.pread(f.fileno(), len(NOP), base + a) for a in self.at]


class Bpftrace:
    variant = "sdt"

    def __init__(self, suite, what):
        self.suite, self.what, self.title = suite, what, f"bpftrace {what}"

    def program(self, app):
        if self.what == "count()":
            return f"usdt:{app.path}:bench:* {{ @[probe] = count(); }}"
        return "\n".join(f"usdt:{app.path}:bench:{name} {{ {printf(name)} }}" for name in Sites(app.path).names)

    def start(self, app):
        need("bpftrace")
        self.out = self.suite.path("bpftrace.out")
        self.p = start(["bpftrace", "-o", self.out, "-p", str(app.pid), "-e", self.program(app)],
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        Sites(app.path).wait_for_traps(app, self.p)

    def stop(self):
        _, cpu = end(self.p, self.p.stderr, signal.SIGINT)
        with open(self.out, "rb") as f:
            text = f.read()
        size = use_up(self.out)
        if self.what == "count()":
            return {"delivered": sum(int(n) for n in re.findall(rb"^@\[.*\]: (\d+)", text, re.M)), "cpu_ns": cpu}
        return {"delivered": text.count(b"\nE ") + text.startswith(b"E "), "cpu_ns": cpu, "bytes": size}


FIELDS = {
    # of a point's arguments behind the id: s = pointer and size of text, b = of bytes, n, c = context
    "notify__start_without_hash": "snn", "notify__sending_request": "sbc", "notify__response_received": "n",
    "notify__response_notify_accepted": "cn", "handle_notify__auth_accepted": "snbc", "handle_notify__exact_subscriber_found": "s",
    "handle_notify__sending_receive": "bc", "handle_notify__response_received": "n", "handle_notify__receive_confirmed": "cn",
    "handle_notify__sending_response": "c", "receive__request_parsed": "sbnc", "receive__auth_tentatively_accepted": "n",
    "receive__auth_accepted": "sbnc", "receive__handler_start": "n", "receive__sending_response": "nc",
}


def printf(name):
    """bpftrace's line for one point: the fields that everybody has, but for the pid (it prints seven at most) and what comes
    behind arg5 (it reads six)."""
    form, values, i = f"E {name} %llu %d %llu", ["nsecs", "tid", "arg0"], 1
    for kind in FIELDS.get(name, ""):
        if i > 5:
            break
        form += {"s": " %s", "n": " %d", "b": " %r", "c": " %r"}[kind]
        values.append({"s": f"str(arg{i}, arg{i + 1})", "b": f"buf(arg{i}, 16)", "c": f"buf(arg{i}, 25)", "n": f"arg{i}"}[kind])
        i += 2 if kind in "sb" else 1
    return f'printf("{form}\\n", {", ".join(values)});'


class Perf:
    title, variant = "perf record -e sdt", "sdt"

    def __init__(self, suite):
        self.suite = suite
        self.env = dict(os.environ, HOME=suite.dir)

    def perf(self, *argv):
        return run(["perf", *argv], self.env)

    def start(self, app):
        need("perf")
        if not os.path.exists("/sys/kernel/tracing/uprobe_events"):
            raise Skip("perf: no tracefs, or no uprobe events in this kernel")
        self.perf("buildid-cache", "--add", app.path)
        self.names = Sites(app.path).names
        for name in self.names:
            self.perf("probe", "-q", "-x", app.path, f"%sdt_bench:{name}")
        self.out = self.suite.path("perf.data")
        self.p = start(["perf", "record", "-q", "-e", "sdt_bench:*", "-p", str(app.pid), "-o", self.out], env=self.env,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        Sites(app.path).wait_for_traps(app, self.p)

    def stop(self):
        _, cpu = end(self.p, self.p.stderr, signal.SIGINT)
        stats = self.perf("report", "--stats", "-i", self.out)
        self.close()
        events = re.search(r"^\s+SAMPLE events:\s+(\d+)", stats, re.M)
        return {"delivered": int(events[1]) if events else 0, "cpu_ns": cpu, "bytes": use_up(self.out)}

    def close(self):
        """Its events are the kernel's, not the namespace's."""
        subprocess.run(["perf", "probe", "-q", "-d", "sdt_bench:*"], env=self.env, capture_output=True, check=False)


class Stock:
    title, variant = "stock libbpf, row per event", "sdt"

    def __init__(self, suite):
        self.suite = suite

    def start(self, app):
        self.file = self.suite.path("stock.db")
        self.p = start([self.suite.program("bench/stock"), str(app.pid), app.path, self.file], stdout=subprocess.PIPE, bufsize=0)
        wait_for_line(self.p, self.p.stdout, r"^ready")
        self.at_ready = cpu_ns(self.p.pid)

    def stop(self):
        said, cpu = end(self.p, self.p.stdout, signal.SIGTERM)
        told = json.loads(said)
        return {"delivered": told["rows"], "lost": told["dropped"], "cpu_ns": cpu - self.at_ready, "bytes": use_up(self.file)}


def peers(suite):
    return [Lttng(suite), Queue(suite), Bpftrace(suite, "count()"), Perf(suite), Stock(suite), Bpftrace(suite, "printf")]

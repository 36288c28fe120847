"""A broadcaster, subscribers and publishers at work, a recorder beside them, and how a session is
judged: by what the programs wrote into their own logs, never by what outspan says of itself.
"""
import collections
import json
import os
import re
import signal
import sqlite3
import struct
import subprocess
import time

import harness

# What a message that arrived passes, in order (the protocol's own description).
STEPS = {
    "notify": ["start_without_hash", "hashed"],
    "attempt": ["sending_request", "response_received", "response_notify_accepted"],
    "handle_notify": ["received", "auth_tentatively_accepted", "auth_accepted", "no_more_subscribers", "sending_response"],
    "deliver": ["exact_subscriber_found", "sending_receive", "response_received", "receive_confirmed"],
    "receive": ["received", "request_parsed", "auth_tentatively_accepted", "auth_accepted", "no_more_handlers", "sending_response"],
    "handler": ["handler_start", "handler_done"],
}
DELAYED = dict(STEPS, handler=["handler_start", "handler_buffered", "handler_done"])
OWN = ("lonelypsp", "ticker")  # providers whose headers we generate
TOPIC, MESSAGE_ID = "messaging.destination.name", "messaging.message.id"


class Log:
    """A program's log, read as it grows: [{"what": first word, key: value, ...}]."""

    def __init__(self, path):
        self.path, self.at, self.lines, self.deliveries = path, 0, collections.defaultdict(list), collections.defaultdict(list)

    def read(self):
        if not os.path.exists(self.path):
            return self
        with open(self.path, "rb") as f:
            f.seek(self.at)
            news = f.read()
        news = news[:news.rfind(b"\n") + 1]
        self.at += len(news)
        for line in news.decode().splitlines():
            what, *words = line.split(" ")
            entry = dict(w.split("=", 1) for w in words)
            self.lines[what].append(entry)
            if what == "deliver":
                self.deliveries[entry["notify"]].append(entry)
        return self


def wait_until(condition, what, seconds=harness.PATIENCE):
    """Looks again and again; the condition's value once it is true."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"it never happened: {what}"
        time.sleep(0.005)


class Program:
    def __init__(self, case, name, program, *args, stdin=False):
        self.lines = Log(case.path(f"{name}.log"))
        self.process = case.start(program, *args, "--log", self.lines.path, stdin=stdin)
        self.pid = self.process.pid
        self.exe = os.path.join(harness.BUILD, program) if "/" not in program else program

    def ready(self):
        found = self.process.wait_for(r"^ready:(?:.* port=(\d+))?")
        self.port = int(found[1]) if found[1] else None
        return self

    def log(self, what, **fields):
        """The lines that begin with this word and have these fields."""
        return [e for e in self.lines.read().lines[what] if all(e.get(k) == v for k, v in fields.items())]

    def deliveries(self, notify):
        return [dict(d, pid=self.pid) for d in self.lines.read().deliveries[notify] if d["outcome"] == "ok"]

    def connected(self):
        """Waits until somebody has a connection to it."""
        def is_connected():
            with open("/proc/net/tcp", encoding="ascii") as f:
                return any(w[2].endswith(f":{self.port:04X}") and w[3] == "01" for w in map(str.split, f))
        wait_until(is_connected, f"somebody talks to {self.exe}")

    def stop(self, number=signal.SIGTERM):
        return self.process.stop(number)


class System:
    """One broadcaster, and whoever talks to it. The broadcaster remembers over a restart."""

    def __init__(self, case, *args, program="psp-broadcaster"):
        self.case, self.args, self.program = case, args, program
        self.subscribers, self.publishers, self.broadcasters = [], [], []
        self.start_broadcaster(0)

    def start_broadcaster(self, port):
        name = f"broadcaster{len(self.broadcasters)}"
        self.broadcasters.append(Program(self.case, name, self.program, "--listen", f"127.0.0.1:{port}",
                                         "--db", self.case.path("subscriptions.db"), *self.args).ready())
        self.broadcaster = self.broadcasters[-1]
        self.url = f"http://127.0.0.1:{self.broadcaster.port}"
        return self.broadcaster

    def subscriber(self, *topics, args=()):
        s = Program(self.case, f"subscriber{len(self.subscribers)}", "psp-subscriber", "--broadcaster", self.url,
                    "--quiet", *[x for t in topics for x in ("--exact", t)], *args).ready()
        for t in topics:
            s.process.wait_for(f"^subscribed exact {t} ", "out")
        s.delayed = "--handler-delay" in args
        self.subscribers.append(s)
        return s

    def publisher(self, topic, *args, lines=False, program="psp-notify"):
        """With lines: runs until the end of its input, a message per line; else as its arguments say."""
        how = ["--stdin-lines"] if lines else ["--quiet"]
        p = Program(self.case, f"publisher{len(self.publishers)}", program, "--broadcaster", self.url, *how, topic,
                    *args, stdin=lines)
        self.publishers.append(p)
        return p.ready() if lines else p

    def pids(self):
        return [p.pid for p in [self.broadcaster, *self.subscribers, *self.publishers]]

    def log(self, what, **fields):
        """The lines of all logs."""
        everyone = [*self.broadcasters, *self.subscribers, *self.publishers]
        return [dict(e, pid=p.pid) for p in everyone for e in p.log(what, **fields)]

    def deliveries(self, notify):
        """The deliveries of one publish that arrived."""
        return [d for b in self.broadcasters for d in b.deliveries(notify)]

    def publishes(self):
        return sorted(self.log("publish"), key=lambda p: int(p["begin"]))

    def stop(self):
        """Everybody ends well: tracing has harmed nobody."""
        for p in [*self.publishers, *self.subscribers, self.broadcaster]:
            assert p.stop() == 0, f"{p.exe} ended with {p.process.popen.returncode}: {p.process.err.decode(errors='replace')}"


def publish(publisher, text):
    """One message through a publisher that reads lines; its line of the log."""
    before = len(publisher.process.out)
    publisher.process.line(text)
    found = publisher.process.wait_for(r"^published identifier=(\S+) ", "out", after=before)
    return publisher.log("publish", identifier=found[1].decode())[0]


class Recorder:
    """`outspan record`; began, ready_at and stopped_at are wall times around its own moments."""

    def __init__(self, case, name, *args, pids=(), ready=True):
        self.case, self.file = case, case.path(name)
        self.began = time.time_ns()
        self.process = case.start("outspan", "record", *[x for p in pids for x in ("-p", str(p))], "-o", self.file, *args)
        self.pid = self.process.pid
        if ready:
            self.ready()

    def ready(self):
        found = self.process.wait_for(r"ready: (\d+) sites?, (\d+) process")
        self.ready_at = time.time_ns()
        self.sites, self.processes = int(found[1]), int(found[2])
        return self

    def ask_to_stop(self):
        self.stopped_at = time.time_ns()
        self.process.signal(signal.SIGINT)

    def end(self):
        code = self.process.wait(2 * harness.PATIENCE)
        self.ended_at = time.time_ns()
        self.said = self.process.err.decode(errors="replace")
        assert code == 0, f"the recorder ended with {code}:\n{self.said}"
        harness.check(self.case, self.file)  # no finding: whatever is lacking is no fault of the programs
        return Session(self.file)

    def stop(self):
        self.ask_to_stop()
        return self.end()


def open_copy(path):
    """One state of a session, though it may be written meanwhile; with the names of its traces in a
    table, as at its end: the views take long without."""
    file, copy = sqlite3.connect(f"file:{path}?mode=ro", uri=True), sqlite3.connect(":memory:")
    try:
        file.backup(copy)
    finally:
        file.close()
    if copy.execute("SELECT type FROM sqlite_master WHERE name = 'trace_name'").fetchone()[0] == "view":
        copy.executescript("CREATE TEMP TABLE known AS SELECT * FROM trace_name; DROP VIEW trace_name;"
                           "CREATE TABLE trace_name(trace INTEGER PRIMARY KEY, trace_id TEXT);"
                           "INSERT INTO trace_name SELECT * FROM temp.known;")
    return copy


class Session:
    """What a session file holds, read through its views as anybody may."""

    def __init__(self, path):
        self.path = path
        db = open_copy(path)
        try:
            db.row_factory = sqlite3.Row
            self.integrity = db.execute("PRAGMA integrity_check").fetchone()[0]
            self.spans = self._read(db, "SELECT * FROM span")
            self.events = self._read(db, "SELECT * FROM event ORDER BY operation_id, seq")
            self.links = self._read(db, "SELECT * FROM link")
            self.losses = self._read(db, "SELECT * FROM losses")
            self.gaps = self._read(db, "SELECT * FROM gap")
            self.processes = self._read(db, "SELECT * FROM process")
            self.settings = dict(db.execute("SELECT name, value FROM session").fetchall())
            attributes = self._read(db, "SELECT * FROM attribute ORDER BY operation_id, seq")
        finally:
            db.close()
        self.by_id = {s["span_id"]: s for s in self.spans}
        for s in self.spans:
            s.update(attributes={}, steps=[], links=[])
        for a in attributes:
            self.by_id[a["span_id"]]["attributes"].setdefault(a["name"], a["value"])
        for e in self.events:
            self.by_id[e["span_id"]]["steps"].append(e["name"])
        for link in self.links:
            if link["to_id"] in self.by_id:
                self.by_id[link["to_id"]]["links"].append(link)
        self.traces = collections.defaultdict(list)
        for s in self.spans:
            self.traces[s["trace"]].append(s)
        self.published = {s["attributes"].get(MESSAGE_ID): s["trace"] for s in self.spans if s["kind_name"] == "attempt"}

    @staticmethod
    def _read(db, query):
        return [dict(row) for row in db.execute(query)]

    def find(self, kind, **attributes):
        """The spans of a kind ("attempt", "receive", ...) with these attributes or columns."""
        return [s for s in self.spans if s["kind_name"] == kind
                and all(s.get(k, s["attributes"].get(k)) == v for k, v in attributes.items())]

    def of(self, identifier):
        """The trace in which this message was published: its spans, or [] if it is not here."""
        return self.traces[self.published[identifier]] if identifier in self.published else []

    def check_books(self):
        """hits = stored + lost for every point of every process, and what is stored is there."""
        assert self.integrity == "ok", self.integrity
        there = collections.Counter((e["process"], e["name"]) for e in self.events)
        for row in self.losses:
            assert row["hits"] == row["stored"] + row["lost"], row
        told = collections.Counter()
        for row in self.losses:  # a foreign program's event has its probe's name, one of ours the point's
            names = [(row["process"], row["probe"]), (row["process"], row["probe"].split("__", 1)[-1])]
            told[names[0] if names[0] in there else names[1]] += row["stored"]
        assert {k: n for k, n in told.items() if n} == dict(there), (told, there)

    def hits(self, pid):
        return {r["probe"]: r["hits"] for r in self.losses if r["pid"] == pid and r["hits"]}

    def lost(self):
        return sum(r["lost"] for r in self.losses)


def marks(spans):
    return {m for s in spans for m in s["marks"].split(", ") if m}


def missing(session, system, p):
    """What the trace of a publish (a line of a publisher's log) lacks; [] if all of it is there."""
    bad = []
    spans = session.of(p["identifier"])
    delivered = system.deliveries(p["identifier"])
    here = collections.defaultdict(list)
    for s in spans:
        here[s["kind_name"]].append(s)
    pid_of_url = {f"http://127.0.0.1:{s.port}/v1/receive": s.pid for s in system.subscribers}
    delayed = {s.pid for s in system.subscribers if s.delayed}
    want = {"notify": 1, "attempt": 1, "handle_notify": 1, "deliver": len(delivered), "receive": len(delivered),
            "handler": len(delivered)}
    if {k: len(v) for k, v in here.items()} != want:
        return [f"spans {({k: len(v) for k, v in here.items()})}, not {want}"]
    for s in spans:
        steps = (DELAYED if s["pid"] in delayed else STEPS)[s["kind_name"]]
        if s["steps"] != steps:
            bad.append(f"{s['name']}: steps {s['steps']}, not {steps}")
        if s["status"] != "ok":
            bad.append(f"{s['name']}: status {s['status']}")
    for d in delivered:
        sent = [s for s in here["deliver"] if s["attributes"].get(MESSAGE_ID) == d["identifier"]]
        got = [s for s in here["receive"] if s["attributes"].get(MESSAGE_ID) == d["identifier"]]
        if len(sent) != 1 or len(got) != 1:
            bad.append(f"delivery {d['identifier']}: {len(sent)} sent, {len(got)} received")
        elif got[0]["parent_id"] != sent[0]["span_id"] or got[0]["pid"] != pid_of_url[d["url"]] or sent[0]["pid"] != d["pid"]:
            bad.append(f"delivery {d['identifier']} is not received where it was sent to")
        elif [x["grade"] for x in got[0]["links"]] != ["exact"]:
            bad.append(f"delivery {d['identifier']}: links {got[0]['links']}")
    notify, attempt, handle = here["notify"][0], here["attempt"][0], here["handle_notify"][0]
    if notify["pid"] != p["pid"] or notify["parent_id"] or notify["attributes"].get(TOPIC) != p["topic"]:
        bad.append(f"the publisher's span is {notify}")
    if attempt["parent_id"] != notify["span_id"] or handle["parent_id"] != attempt["span_id"]:
        bad.append("the broadcaster's span is not inside the publisher's")
    if not int(p["begin"]) - 1000000 <= notify["start_ns"] <= notify["end_ns"] <= int(p["end"]) + 1000000:
        bad.append(f"times {notify['start_ns']}..{notify['end_ns']} are not those of the log {p}")
    return bad


def check_complete(session, system, p):
    """The publish is one whole trace, linked by exact evidence, without any mark."""
    bad = missing(session, system, p)
    assert not bad and not marks(session.of(p["identifier"])), (p, bad, marks(session.of(p["identifier"])))


def expected_hits(program):
    """{probe: hits} of messages that arrived, counted in the program's own log."""
    counts = collections.Counter()
    delayed = DELAYED if getattr(program, "delayed", False) else STEPS

    def add(operation, kind, n):
        for step in delayed[kind]:
            counts[f"{operation}__{step}"] += n

    add("notify", "notify", len(program.log("publish", outcome="ok")))
    add("notify", "attempt", len(program.log("attempt", outcome="ok")))
    add("handle_notify", "handle_notify", len(program.log("notify", outcome="ok")))
    add("handle_notify", "deliver", len(program.log("deliver", outcome="ok")))
    add("receive", "receive", len(program.log("receive", outcome="ok")))
    add("receive", "handler", len(program.log("receive", outcome="ok")))
    return {k: n for k, n in counts.items() if n}


# ---- the targets' own memory ----

def _base(pid):
    """Where the process has its program, by the inode (the name may be another file by now)."""
    inode = os.stat(f"/proc/{pid}/exe").st_ino
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as f:
        lines = [line.split(None, 5) for line in f]
    starts = [int(x[0].split("-")[0], 16) - int(x[2], 16) for x in lines if x[4] == str(inode)]
    assert starts, f"{pid} has no mapping of its program"
    return min(starts)


def semaphores(pid):
    """Every semaphore of the program's notes, read in the process's memory: {address: value}. Our own
    points have a second one behind it, for those who have the point carried: both together."""
    notes = subprocess.run(["readelf", "-nW", f"/proc/{pid}/exe"], capture_output=True, text=True, check=True).stdout
    head = subprocess.run(["readelf", "-hW", f"/proc/{pid}/exe"], capture_output=True, text=True, check=True).stdout
    base = _base(pid) if re.search(r"Type:\s+DYN", head) else 0
    shift = _shift(pid)
    values = {}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for found in re.finditer(r"Provider: (\S+)\s+Name: .*\s.*Base: (0x[0-9a-f]+), Semaphore: (0x[0-9a-f]+)", notes):
            address, halves = int(found[3], 16), 2 if found[1] in OWN else 1
            if address:
                mem.seek(base + address + shift - int(found[2], 16))
                values[address] = sum(struct.unpack("<" + "H" * halves, mem.read(2 * halves)))
    assert values, f"{pid} has no semaphores"
    return values


def _shift(pid):
    """Link-time address of .stapsdt.base: notes are relative to it."""
    sections = subprocess.run(["readelf", "-SW", f"/proc/{pid}/exe"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"\.stapsdt\.base\s+PROGBITS\s+([0-9a-f]+)", sections)[1], 16)


def check_untouched(*pids):
    """After the last recorder is gone every semaphore reads 0 (a killed one's links may take a moment)."""
    for pid in pids:
        wait_until(lambda: not any(semaphores(pid).values()), f"semaphores of {pid} are 0: {semaphores(pid)}")


def outspan_json(case, *args):
    return [json.loads(line) for line in case.run("outspan", *args).text().splitlines()]

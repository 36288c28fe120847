#!/usr/bin/python3
"""Targets in every state a running system has them: they fork, are replaced, deleted, started
later, end while they are attached to. Prints TAP; needs root and BPF."""
import os
import re
import shutil
import signal
import subprocess
import time

import harness
import stream

PROBES = os.path.join(harness.ROOT, "tests", "probes")
CATALOGUE = os.path.join(PROBES, "ticker.yaml")


class Ticker:
    """tests/probes/ticker.c: does what it is told, and answers when it is done."""

    def __init__(self, case, *args, exe=None):
        self.exe = exe or build_ticker(case)
        self.process = case.start(self.exe, *args, stdin=True)
        self.pid = self.process.pid

    def ready(self):
        self.process.wait_for(rf"^ready {self.pid}$", "out")
        return self

    def tell(self, line):
        """The answer."""
        at = len(self.process.out)
        self.process.line(line)
        return int(self.process.wait_for(r"^(-?\d+)$", "out", after=at)[1])

    def end(self):
        assert self.process.wait() == 0, self.process.popen.returncode


def build_ticker(case):
    exe = case.path("ticker")
    if not os.path.exists(exe):
        header = case.run("outspan-generate", "header", CATALOGUE).text()
        with open(case.path("ticker.h"), "w", encoding="utf-8") as f:
            f.write(header)
        subprocess.run(["gcc", "-O2", "-g", "-std=gnu11", "-D_GNU_SOURCE", f"-I{case.dir}", f"-I{harness.BUILD}/gen",
                        os.path.join(PROBES, "ticker.c"), "-o", exe, "-lpthread", "-ldl"], check=True)
    return exe


def ticks(session, pid):
    """How many whole, unmarked operations of the process there are; nothing else is."""
    found = session.find("tick", pid=pid)
    # (the one that is named f forks between its two steps)
    assert all(s["steps"] == (["begun", "ended"] if s["name"] == "tick f" else ["begun", "passed", "ended"]) and s["status"] == "ok" and not s["marks"] for s in found), found
    return len(found)


def hits(n):
    return {} if not n else {"tick__begun": n, "tick__passed": n, "tick__ended": n}


# ---- processes ----

def test_a_target_that_forks_goes_on_and_its_children_are_traced(case):
    ticker = Ticker(case).ready()
    recorder = stream.Recorder(case, "f.db", "--catalogue", CATALOGUE, pids=[ticker.pid])
    assert ticker.tell("tick 3") == 0
    assert ticker.tell("procs 4 5") == 0
    heir = ticker.tell("forked")
    assert ticker.tell("threads 2 11") == 0
    assert ticker.tell("procs 2 1") == 0
    held = ticker.tell("hold")
    assert 0 not in stream.semaphores(held).values(), "the child has its parent's"
    session = recorder.stop()
    session.check_books()
    of = {p["pid"]: p for p in session.processes}
    children = {pid: ticks(session, pid) for pid in of if pid != ticker.pid}
    assert sorted(n for n in children.values() if n) == [1, 1, 5, 5, 5, 5], children
    assert all(of[pid]["parent"] == of[ticker.pid]["key"] and of[pid]["end_ns"] for pid, n in children.items() if n), of
    assert ticks(session, ticker.pid) == 3 + 1 + 2 * 11
    assert session.hits(ticker.pid) == dict(hits(3 + 1 + 2 * 11), tick__passed=3 + 2 * 11)
    # the step that the child took in its copy of the parent's operation is the child's, and lost
    copied = [r for r in session.losses if r["pid"] == heir]
    assert [(r["probe"], r["hits"], r["stored"], r["reasons"]) for r in copied] == [("tick__ended", 1, 0, "forked_copy 1")], copied
    assert session.lost() == 1
    stream.check_untouched(ticker.pid, held)
    assert ticker.tell("tick 2") == 0
    ticker.end()


def test_semaphores_are_zero_in_children_of_any_age_after_a_stop_and_after_a_kill(case):
    for end in (signal.SIGINT, signal.SIGKILL):
        ticker = Ticker(case).ready()
        children = [ticker.tell("hold")]
        recorder = stream.Recorder(case, f"{end.name}.db", "--catalogue", CATALOGUE, pids=[ticker.pid])
        ticker.tell("tick 1")
        children.append(ticker.tell("hold"))
        everyone = [ticker.pid, *children]
        assert all(0 not in stream.semaphores(pid).values() for pid in everyone)
        recorder.process.signal(end)
        recorder.process.wait()
        stream.check_untouched(*everyone)
        children.append(ticker.tell("hold"))
        stream.check_untouched(children[-1])
        assert ticker.tell("tick 3") == 0 and ticker.tell("forked") > 0
        ticker.end()


def test_a_target_that_ends_while_it_is_attached_to_harms_neither_the_recorder_nor_others(case):
    """Killed at moments all over the attach; another target is there all the time."""
    ticker = Ticker(case).ready()
    outcomes = []
    for turn in range(14):
        victim = Ticker(case, exe=shutil.copy(ticker.exe, case.path(f"victim{turn}"))).ready()
        recorder = stream.Recorder(case, f"{turn}.db", "--catalogue", CATALOGUE, pids=[victim.pid, ticker.pid], ready=False)
        time.sleep(turn * 0.015)  # (this is what is tried: any moment is as good as another)
        victim.process.signal(signal.SIGKILL)
        victim.process.wait()
        stream.wait_until(lambda: b"ready:" in recorder.process.err or recorder.process.popen.poll() is not None
                          or recorder.process._pump(0), "it is ready or has refused")
        if recorder.process.popen.poll() is not None:
            code = recorder.process.wait()
            said = recorder.process.err.decode()
            assert code == 1 and re.search(rf"{victim.pid}.*No such process|No such process.*{victim.pid}", said), (code, said)
            outcomes.append("refused")
            continue
        assert ticker.tell("tick 7") == 0
        session = recorder.stop()
        session.check_books()
        assert ticks(session, ticker.pid) == 7 and session.hits(ticker.pid) == hits(7)
        assert not session.find("tick", pid=victim.pid)
        outcomes.append("recorded")
    print(f"# {outcomes.count('refused')} refused as gone, {outcomes.count('recorded')} recorded the other")
    stream.check_untouched(ticker.pid)
    ticker.end()


def test_the_recording_ends_with_its_last_target(case):
    one, two = Ticker(case).ready(), Ticker(case).ready()
    recorder = stream.Recorder(case, "f.db", "--catalogue", CATALOGUE, pids=[one.pid, two.pid])
    assert one.tell("tick 3") == two.tell("tick 4") == 0
    one.end()
    assert two.tell("tick 1") == 0
    assert recorder.process.popen.poll() is None
    two.end()
    session = recorder.end()
    session.check_books()
    assert (ticks(session, one.pid), ticks(session, two.pid)) == (3, 5)


# ---- how targets are named ----

def test_a_command_is_started_and_traced_whole(case):
    system = stream.System(case)
    system.subscriber("news")
    log = stream.Log(case.path("n.log"))
    recorder = stream.Recorder(case, "f.db", *[x for p in system.pids() for x in ("-p", str(p))], "--",
                               os.path.join(harness.BUILD, "psp-notify"), "--broadcaster", system.url, "--count", "7",
                               "--log", log.path, "news", "hello")
    stream.wait_until(lambda: len(log.read().lines["publish"]) == 7, "it publishes")
    session = recorder.stop()
    session.check_books()
    pid, = {p["pid"] for p in session.processes} - set(system.pids())
    for p in log.lines["publish"]:
        stream.check_complete(session, system, dict(p, pid=pid))
    system.stop()


def test_a_recording_of_a_command_alone_ends_with_it(case):
    exe = build_ticker(case)
    recorder = stream.Recorder(case, "f.db", "--catalogue", CATALOGUE, "--", exe, "x", "23")
    session = recorder.end()  # its standard input is empty: it ends after its ticks
    session.check_books()
    process, = [p for p in session.processes if p["exe"] == exe]
    assert ticks(session, process["pid"]) == 23 and session.hits(process["pid"]) == hits(23)
    refused = case.run("outspan", "record", "-o", case.path("g.db"), "--", case.path("nothing"), status=1)
    assert b"nothing: No such file" in refused.err, refused.err


def test_processes_are_found_by_name(case):
    """A name of this test's own: others on the machine may run the same programs."""
    name = f"brk{os.getpid()}"
    exe = shutil.copy(os.path.join(harness.BUILD, "psp-broadcaster"), case.path(name))
    system = stream.System(case, program=exe)
    other = stream.System(case, program=shutil.copy(exe, case.path("other")))
    recorder = stream.Recorder(case, "f.db", "--comm", name)
    assert recorder.processes == 1
    for s in (system, other):
        publisher = s.publisher("news", lines=True)
        for i in range(7):
            stream.publish(publisher, str(i))
    session = recorder.stop()
    session.check_books()
    assert {s["pid"] for s in session.spans} == {system.broadcaster.pid}
    assert len(session.find("handle_notify")) == 7
    refused = case.run("outspan", "record", "-o", case.path("g.db"), "--comm", "nobody-has-this", status=1)
    assert b"nobody-has-this" in refused.err, refused.err
    system.stop()
    other.stop()


def addresses(exe):
    """Of the semaphores in the file (it is position-independent), and their sizes: ours have two halves."""
    notes = subprocess.run(["readelf", "-nW", exe], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"Provider: (\S+)\s+Name: .*\s.*Semaphore: (0x[0-9a-f]+)", notes)
    return sorted({(int(at, 16), 4 if provider == "ticker" else 2) for provider, at in found if int(at, 16)})


def until_attached(pid, exe):
    """Polls the memory of the process, whose every semaphore is to rise; the time when it was seen."""
    wanted = addresses(exe)
    end = time.monotonic() + harness.PATIENCE
    bases = []
    while not bases:  # exec closes the pipe that Popen waits for a little before it maps the program
        with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as f:
            bases = [int(line.split("-")[0], 16) for line in f if line.rstrip().endswith(exe)]
        assert time.monotonic() < end, "never mapped"
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        def read(address, size):
            mem.seek(min(bases) + address)
            return int.from_bytes(mem.read(size), "little")
        while not all(read(*a) for a in wanted):
            assert time.monotonic() < end, "never attached"
        return time.monotonic()


def test_all_takes_in_a_program_that_is_started_later(case):
    built = build_ticker(case)
    recorder = stream.Recorder(case, "f.db", "--all", "--catalogue", CATALOGUE)
    delays, tickers = [], []
    for turn in range(11):
        exe = shutil.copy(built, case.path(f"later{turn}"))
        ticker = Ticker(case, exe=exe)
        began = time.monotonic()  # Popen returns as soon as the program is execed
        delays.append(until_attached(ticker.pid, exe) - began)
        tickers.append(ticker.ready())
    # the second process of a binary that is attached passes its first point traced
    again = Ticker(case, "again", "101", exe=tickers[0].exe).ready()
    for n, ticker in enumerate(tickers):
        assert ticker.tell(f"tick {n + 1}") == 0
    session = recorder.stop()
    session.check_books()
    for n, ticker in enumerate(tickers):
        assert ticks(session, ticker.pid) == n + 1 and session.hits(ticker.pid) == hits(n + 1), n
    assert ticks(session, again.pid) == 101 and session.hits(again.pid) == hits(101)
    stream.check_untouched(again.pid, *[t.pid for t in tickers])
    delays.sort()
    print(f"# exec to attached: {delays[0] * 1e3:.1f} ms least, {delays[len(delays) // 2] * 1e3:.1f} ms median, {delays[-1] * 1e3:.1f} ms most")
    for ticker in (again, *tickers):
        ticker.end()


# ---- files ----

def private_system(case):
    """A system whose broadcaster's binary is ours to change, with a subscriber and a publisher."""
    system = stream.System(case, program=shutil.copy(os.path.join(harness.BUILD, "psp-broadcaster"), case.path("broadcaster")))
    system.subscriber("news")
    return system, system.publisher("news", lines=True), system.program


def publish_more(publisher, n):
    return [dict(stream.publish(publisher, str(i)), pid=publisher.pid) for i in range(n)]


def another_build(case):
    """The same program in other bytes."""
    subprocess.run(["objcopy", "--strip-debug", os.path.join(harness.BUILD, "psp-broadcaster"), case.path("another")], check=True)
    return case.path("another")


def test_a_binary_deleted_while_traced_is_traced_on(case):
    system, publisher, exe = private_system(case)
    recorder = stream.Recorder(case, "f.db", pids=system.pids())
    publish_more(publisher, 5)
    os.unlink(exe)
    publish_more(publisher, 6)
    session = recorder.stop()
    again = stream.Recorder(case, "again.db", pids=system.pids())
    late = publish_more(publisher, 7)
    second = again.stop()
    for s, publishes in ((session, system.publishes()[:11]), (second, late)):
        s.check_books()
        for p in publishes:
            stream.check_complete(s, system, p)
    stream.check_untouched(*system.pids())
    system.stop()


def test_a_binary_replaced_by_rename_while_traced_is_traced_on(case):
    system, publisher, exe = private_system(case)
    recorder = stream.Recorder(case, "f.db", "--level", "debug", "--all")
    publish_more(publisher, 5)
    old, port = system.broadcaster, system.broadcaster.port
    os.rename(another_build(case), exe)
    publish_more(publisher, 6)
    assert old.stop() == 0
    system.start_broadcaster(port)
    stream.wait_until(lambda: all(stream.semaphores(system.broadcaster.pid).values()), "the new one is attached")
    publish_more(publisher, 7)
    session = recorder.stop()
    session.check_books()
    publishes = system.publishes()
    assert len(publishes) == 18
    for p in publishes:
        stream.check_complete(session, system, p)
    assert {s["pid"] for s in session.find("handle_notify")} >= {old.pid, system.broadcaster.pid}
    stream.check_untouched(*system.pids())
    system.stop()


def test_a_binary_overwritten_in_place_is_let_go_and_taken_again(case):
    """Nobody can write to it while it runs; between two runs somebody does."""
    system, publisher, exe = private_system(case)
    recorder = stream.Recorder(case, "f.db", "--level", "debug", "-e", exe)
    publish_more(publisher, 5)
    old, port = system.broadcaster, system.broadcaster.port
    assert old.stop() == 0
    began = time.monotonic()
    with open(another_build(case), "rb") as new, open(exe, "r+b") as f:
        f.write(new.read())
        f.truncate()
    took = time.monotonic() - began
    recorder.process.wait_for(r"is being overwritten: detached")
    system.start_broadcaster(port)
    publish_more(publisher, 3)  # whether or not it is attached again by now
    recorder.process.wait_for(r"was overwritten: attached again")
    stream.wait_until(lambda: all(stream.semaphores(system.broadcaster.pid).values()), "the new one is attached")
    seen = publish_more(publisher, 7)
    session = recorder.stop()
    session.check_books()
    handled = {s["attributes"].get(stream.MESSAGE_ID): s for s in session.find("handle_notify")}
    assert [handled[p["identifier"]]["marks"] for p in system.publishes()[:5]] == [""] * 5, handled
    assert [handled[p["identifier"]]["marks"] for p in seen] == [""] * 7, handled
    assert {handled[p["identifier"]]["pid"] for p in seen} == {system.broadcaster.pid} != {old.pid}
    assert took < 5, f"the writer waited {took:.1f} s"
    stream.check_untouched(*system.pids())
    system.stop()


def test_a_library_overwritten_in_place_while_it_is_traced_harms_nobody(case):
    """The same bytes again, in place, under a process that has it mapped and calls it."""
    ticker = Ticker(case).ready()
    library = case.path("libticker.so")
    subprocess.run(["gcc", "-O2", "-fPIC", "-shared", "-DLIBRARY", "-std=gnu11", "-D_GNU_SOURCE", f"-I{case.dir}",
                    f"-I{harness.BUILD}/gen", os.path.join(PROBES, "ticker.c"), "-o", library], check=True)
    with open(library, "rb") as f:
        content = f.read()
    assert ticker.tell(f"load {library}") == 0
    recorder = stream.Recorder(case, "f.db", "--catalogue", CATALOGUE, pids=[ticker.pid])
    assert ticker.tell("call 5") == 0
    with open(library, "r+b") as f:
        f.write(content)
    recorder.process.wait_for(r"was overwritten: attached again")
    assert ticker.tell("call 7") == 0
    session = recorder.stop()
    session.check_books()
    assert ticks(session, ticker.pid) == 12, session.find("tick")
    assert ticker.tell("call 3") == 0
    late = Ticker(case, exe=ticker.exe).ready()
    assert late.tell(f"load {library}") == 0 and late.tell("call 3") == 0
    for t in (ticker, late):
        t.end()


if __name__ == "__main__":
    harness.main(globals())

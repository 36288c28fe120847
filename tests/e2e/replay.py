#!/usr/bin/python3
"""A replay of a raw capture gives the session that the live run stored, however its batches are
cut. Prints TAP; needs root and BPF."""
import os
import signal
import subprocess

import harness
import stream

HERE = os.path.dirname(os.path.abspath(__file__))
CUTS = {"default": [], "one by one": ["--batch", "1"], "seven": ["--batch", "7"], "all in one": ["--batch", "1000000000"]}
# What may differ between a live run's session and its replay: nothing.
MAY_DIFFER = []


def build_dump(case):
    """The program that prints the canonical dump of a session: store/dump.c's."""
    libraries = [os.path.join(harness.BUILD, "lib", f"{x}.a") for x in ("store", "base")]
    flags = subprocess.run(["pkg-config", "--libs", "sqlite3"], capture_output=True, text=True, check=True).stdout.split()
    subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", f"-I{harness.ROOT}", os.path.join(HERE, "dump.c"), *libraries,
                    *flags, "-o", case.path("dump")], check=True)


def dump(case, file):
    text = case.run(case.path("dump"), file, *MAY_DIFFER).text()
    assert len(text) > 1000, text
    return text


def first_difference(a, b):
    lines = zip(a.splitlines(), b.splitlines())
    return next(((x, y) for x, y in lines if x != y), f"{len(a)} and {len(b)} bytes")


def answers(case, file):
    """What `ls` and `show` say of the session, on a terminal and for programs."""
    listed = stream.outspan_json(case, "ls", "--json", file)
    chosen = [t["trace_id"] for t in listed[:5] + listed[-5:]]
    return [listed, case.run("outspan", "ls", "--utc", file).text(),
            *[case.run("outspan", "show", "--json", file, t).text() for t in chosen],
            *[case.run("outspan", "show", "-v", "--utc", file, t).text() for t in chosen]]


def check_replays(case, live, raw):
    expected, said = dump(case, live), answers(case, live)
    for name, how in CUTS.items():
        file = case.path(f"{name}.db")
        case.run("outspan", "replay", raw, "-o", file, *how)
        again = dump(case, file)
        assert again == expected, (name, first_difference(expected, again))
        assert answers(case, file) == said, name
        stream.Session(file).check_books()
    return expected


def test_a_replay_gives_the_session_of_the_live_run(case):
    build_dump(case)
    system = stream.System(case)
    for _ in range(3):
        system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    raw = case.path("f.raw")
    recorder = stream.Recorder(case, "live.db", "--raw", raw, pids=system.pids())
    for i in range(53):
        stream.publish(publisher, str(i))
    session = recorder.stop()
    expected = check_replays(case, recorder.file, raw)
    for p in system.publishes():
        stream.check_complete(session, system, p)
    assert sum(line.startswith("operation ") for line in expected.splitlines()) == 53 * 5
    assert os.stat(raw).st_mode & 0o777 == 0o600
    system.stop()


def test_a_replay_of_processes_that_come_and_go_is_the_same(case):
    """Subscribing, a delivery that fails, a killed subscriber, a request that is unanswered at the end."""
    build_dump(case)
    system = stream.System(case)
    victim = system.subscriber("news")
    slow = system.subscriber("slow", args=("--handler-delay", "20s"))
    publisher = system.publisher("news", lines=True)
    raw = case.path("f.raw")
    recorder = stream.Recorder(case, "live.db", "--raw", raw, "-e", os.path.join(harness.BUILD, "psp-subscriber"), "-e",
                               os.path.join(harness.BUILD, "psp-broadcaster"), "-e", os.path.join(harness.BUILD, "psp-notify"))
    for i in range(11):
        stream.publish(publisher, str(i))
    system.subscriber("news")
    stream.publish(publisher, "to two")
    victim.stop(signal.SIGKILL)
    stream.publish(publisher, "to a dead one and a live one")
    held = system.publisher("slow", lines=True)
    held.process.line("no answer")
    slow.connected()
    stream.publish(publisher, "going by")
    session = recorder.stop()
    expected = check_replays(case, recorder.file, raw)
    assert {"incomplete", "may be cut"} <= stream.marks(session.spans), stream.marks(session.spans)
    assert any(s["status"] == "error" for s in session.find("deliver")), "the dead subscriber"
    assert "subscribe_exact" in expected
    held.stop(signal.SIGKILL)
    slow.stop(signal.SIGKILL)


def test_a_replay_of_a_lossy_capture_loses_the_same(case):
    build_dump(case)
    system = stream.System(case)
    system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    raw = case.path("f.raw")
    recorder = stream.Recorder(case, "live.db", "--raw", raw, "--ring-size", "64K", "--no-context", pids=system.pids())
    stream.publish(publisher, "before")
    os.kill(recorder.pid, signal.SIGSTOP)
    for i in range(200):
        stream.publish(publisher, str(i))
    os.kill(recorder.pid, signal.SIGCONT)
    for i in range(20):
        stream.publish(publisher, f"after {i}")
    session = recorder.stop()
    assert session.lost() > 0
    check_replays(case, recorder.file, raw)
    replayed = stream.Session(case.path("one by one.db"))
    assert replayed.losses == session.losses and replayed.gaps != [] and len(replayed.gaps) == len(session.gaps)
    system.stop()


def test_a_replay_of_a_killed_recorder_s_capture_holds_what_came_before(case):
    build_dump(case)
    system = stream.System(case)
    system.subscriber("news")
    publisher = system.publisher("news", "x", "--numbered", "--count", "1000000", "--rate", "250")
    stream.wait_until(lambda: publisher.log("publish"), "the stream flows")
    raw = case.path("f.raw")
    recorder = stream.Recorder(case, "live.db", "--raw", raw, pids=system.pids())
    stream.wait_until(lambda: len(publisher.log("publish")) > 400, "it flows on")
    recorder.process.signal(signal.SIGKILL)
    recorder.process.wait()
    publisher.stop()
    dumps = set()
    for name, how in CUTS.items():
        replay = case.run("outspan", "replay", raw, "-o", case.path(f"{name}.db"), *how)
        assert b"cut off" in replay.err, replay.err
        dumps.add(dump(case, case.path(f"{name}.db")))
    assert len(dumps) == 1
    session = stream.Session(case.path("default.db"))
    whole = [p for p in system.publishes() if session.of(p["identifier"]) and not stream.missing(session, system, p)]
    assert len(whole) > 50, len(whole)


def test_a_replay_is_refused_in_words(case):
    with open(case.path("no.raw"), "w", encoding="ascii") as f:
        f.write("this is no capture\n" * 20)
    refused = case.run("outspan", "replay", case.path("no.raw"), "-o", case.path("f.db"), status=1)
    assert b"no.raw" in refused.err, refused.err
    refused = case.run("outspan", "replay", case.path("none.raw"), "-o", case.path("f.db"), status=1)
    assert b"none.raw: No such file" in refused.err, refused.err
    assert not os.path.exists(case.path("f.db")), "nothing is left of it"


if __name__ == "__main__":
    harness.main(globals())

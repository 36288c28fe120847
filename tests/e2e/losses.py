#!/usr/bin/python3
"""A recorder that is stopped while the programs go on, with a small ring: what is lost is counted,
and what it touched is marked. Prints TAP; needs root and BPF."""
import os
import signal
import sqlite3
import time

import harness
import stream


def is_stored(recorder, identifier):
    """The session, still being written, has both operations of a publish: also the one that ends last."""
    db = sqlite3.connect(f"file:{recorder.file}?mode=ro", uri=True)
    try:
        return db.execute("SELECT count(*) FROM operation WHERE instr(payload, ?)", (bytes.fromhex(identifier),)).fetchone()[0] == 2
    finally:
        db.close()


def burst(case, system, calm, *args):
    """Publishes around a gap: the calm publisher before and after it, a burst of another within it."""
    loud = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", "--ring-size", "64K", "--raw", case.path("f.raw"), *args, pids=system.pids())
    for i in range(7):
        stream.publish(calm, f"before {i}")
    last = stream.publish(loud, "last before")
    # what lies in the ring when the recorder stops was not lost: the gap begins behind it
    stream.wait_until(lambda: is_stored(recorder, last["identifier"]), "the recorder has caught up")
    stopped_at = time.time_ns()
    os.kill(recorder.pid, signal.SIGSTOP)
    for i in range(400):
        stream.publish(loud, f"burst {i}")
    os.kill(recorder.pid, signal.SIGCONT)
    # the first that is stored tells of the gap, and ends it
    def is_caught_up():
        return is_stored(recorder, stream.publish(loud, "is it over")["identifier"])
    stream.wait_until(is_caught_up, "the recorder has caught up")
    over_at = time.time_ns()
    for i in range(7):
        stream.publish(calm, f"after {i}")
        stream.publish(loud, f"after {i}")
    session = recorder.stop()
    return session, [p for p in system.publishes() if int(p["end"]) < stopped_at or int(p["begin"]) > over_at]


def check_marks(session, system, untouched):
    """Whatever is not whole says so, and whatever lies outside the gap is whole."""
    for p in untouched:
        stream.check_complete(session, system, p)
    whole = set()
    for p in system.publishes():
        spans = session.of(p["identifier"])
        if spans and not stream.missing(session, system, p):
            whole.add(spans[0]["trace"])
        elif spans:
            assert "may be cut" in stream.marks(spans), (p, stream.missing(session, system, p), spans)
    for key, spans in session.traces.items():
        assert key in whole or "may be cut" in stream.marks(spans), spans
        # each operation in itself: short of a step, it is marked itself and not only its trace
        for s in spans:
            complete = s["steps"] == stream.STEPS[s["kind_name"]]
            assert complete or "may be cut" in stream.marks(operation_of(session, s)), s
    return whole


def operation_of(session, span):
    """The span with those around and in it that belong to its operation: same process, same ids."""
    return [s for s in session.traces[span["trace"]] if s["span_id"][:12] == span["span_id"][:12]]


def test_what_a_stopped_recorder_lost_is_counted_and_what_it_touched_is_marked(case):
    system = stream.System(case)
    for _ in range(2):
        system.subscriber("news")
    calm = system.publisher("news", lines=True)
    session, untouched = burst(case, system, calm)
    assert len(untouched) >= 22, len(untouched)
    session.check_books()
    assert session.lost() > 1000, session.lost()
    for program in [system.broadcaster, *system.subscribers, *system.publishers]:
        assert session.hits(program.pid) == stream.expected_hits(program), program.exe
    by_process = {r["pid"] for r in session.losses if r["lost"]}
    assert by_process == {p.pid for p in (system.broadcaster, *system.subscribers, system.publishers[1])}, by_process
    assert {r["reasons"].split()[0] for r in session.losses if r["lost"]} == {"ring_full"}
    whole = check_marks(session, system, untouched)
    unmarked = [k for k, spans in session.traces.items() if not stream.marks(spans)]
    assert set(unmarked) <= whole
    gaps = {pid: [g for g in session.gaps if g["process"] == key] for key, pid in
            ((p["key"], p["pid"]) for p in session.processes)}
    for pid in by_process:
        assert sum(g["lost"] for g in gaps[pid]) == sum(r["lost"] for r in session.losses if r["pid"] == pid), gaps[pid]
    assert not gaps[calm.pid], "the calm publisher lost nothing"
    assert "may be cut" in recorder_words(case), "the summary says it"
    print(f"# {len(system.publishes())} published, {session.lost()} of {sum(r['hits'] for r in session.losses)} steps lost, "
          f"{len(unmarked)} traces whole, {len(session.traces) - len(unmarked)} marked")
    system.stop()


def recorder_words(case):
    return next(p.err.decode() for p in case.processes if p.argv[1:2] == ["record"])


def test_losses_without_trace_context_are_counted_and_marked_too(case):
    system = stream.System(case)
    system.subscriber("news")
    calm = system.publisher("news", lines=True)
    session, untouched = burst(case, system, calm, "--no-context")
    session.check_books()
    assert session.lost() > 500, session.lost()
    for program in [system.broadcaster, *system.subscribers, *system.publishers]:
        assert session.hits(program.pid) == stream.expected_hits(program), program.exe
    for p in untouched:
        spans = session.of(p["identifier"])
        assert len(spans) == 6 and not stream.marks(spans), (p, spans)
        assert {x["grade"] for s in spans for x in s["links"]} == {"strong"}, spans
    for spans in session.traces.values():
        whole = sorted(s["kind_name"] for s in spans) == sorted(stream.STEPS) and \
            all(s["steps"] == stream.STEPS[s["kind_name"]] for s in spans)
        assert whole or "may be cut" in stream.marks(spans), spans
    system.stop()


def test_losses_at_the_very_end_are_counted_and_marked(case):
    """Stopped in the burst and never drained again before the end: no later record tells of the gap."""
    system = stream.System(case)
    system.subscriber("news")
    loud = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", "--ring-size", "64K", pids=system.pids())
    for i in range(5):
        stream.publish(loud, f"before {i}")
    before = system.publishes()
    stream.wait_until(lambda: is_stored(recorder, before[-1]["identifier"]), "the recorder has caught up")
    os.kill(recorder.pid, signal.SIGSTOP)
    for i in range(300):
        stream.publish(loud, f"burst {i}")
    recorder.ask_to_stop()
    os.kill(recorder.pid, signal.SIGCONT)
    session = recorder.end()
    session.check_books()
    assert session.lost() > 500, session.lost()
    for program in [system.broadcaster, *system.subscribers, *system.publishers]:
        assert session.hits(program.pid) == stream.expected_hits(program), program.exe
    whole = check_marks(session, system, before)
    assert 5 <= len(whole) < 300, len(whole)
    stream.check_untouched(*system.pids())
    system.stop()


if __name__ == "__main__":
    harness.main(globals())

#!/usr/bin/python3
"""What is recorded on request only: samples of traces. What is left out is left out whole, and counted."""
import harness
from pubsub import EXACT, Pair, Recorder, check_publish

MESSAGES = 61
# points that a message passes once, in the process of the operation
ONCE = ("notify__sending_request", "notify__response_notify_accepted", "handle_notify__auth_accepted", "receive__auth_accepted")


def losses(session):
    """{(point, reason): steps} of all processes"""
    return {(probe, reason): lost for probe, reason, lost in session.sql(
        "SELECT b.probe, r.reason, sum(r.lost) FROM loss_reason r JOIN probe b ON b.key = r.probe GROUP BY 1, 2")}


def check_left_out(session, kept, reason="sampled"):
    """What is not stored is `reason`, exactly, at the points that every message passes once."""
    session.check_books()
    hits = session.hits()
    for point in ONCE:
        counts = [c for (_, p), c in hits.items() if p == point and c[0]]
        assert [sum(x) for x in zip(*counts)] == [MESSAGES, kept, MESSAGES - kept], (point, counts)
    assert {r for (_, r), n in losses(session).items() if n} == {reason}, losses(session)


def check_whole(session, pair, entries):
    """These messages are whole traces, and nothing else is in the session."""
    for entry in entries:
        trace = check_publish(session, pair, entry, EXACT)
        assert len(trace.spans) == 6 and trace.line["processes"] == 3 and trace.marks() == [], trace
    assert len(session.traces) == len(entries)


def identifiers(session):
    return {s["attributes"].get("messaging.message.id") for t in session.traces for s in t.find("attempt ")}


def sample(case, *form):
    pair = Pair(case, [["--exact", "a/b"]])
    recorder = Recorder(case, pair.programs, "--sample", "1/3", *form)
    entries = pair.publish(MESSAGES)
    session = recorder.stop()
    pair.stop()
    stored = identifiers(session)
    kept = [e for e in entries if e["identifier"] in stored]
    assert MESSAGES / 10 < len(kept) < MESSAGES * 0.6, len(kept)
    check_whole(session, pair, kept)
    check_left_out(session, len(kept))
    assert session.sql("SELECT value FROM session WHERE name = 'sample'") == [("1/3",)]


def test_a_sample_holds_whole_traces_and_nothing_of_others(case):
    sample(case)


def test_a_light_sample_too(case):
    sample(case, "--light")


def test_an_immediate_sample_too(case):
    sample(case, "--immediate")


def test_recorders_of_different_samples_agree(case):
    pair = Pair(case, [["--exact", "a/b"]])
    recorders = [Recorder(case, pair.programs, "--sample", f"1/{n}", name=f"{n}.db") for n in (2, 6)]
    pair.publish(MESSAGES)
    two, six = (identifiers(r.stop()) for r in recorders)
    pair.stop()
    assert len(six) < len(two) < MESSAGES and six <= two, (len(six), len(two))


harness.main(globals())

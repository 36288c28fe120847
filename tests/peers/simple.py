#!/usr/bin/python3
"""A real subscriber with upstream's own `simple` tracer beside programs that outspan records: it must not notice."""
import sqlite3

import peers  # first: it shows where the others are

import harness
from pubsub import Recorder, start_broadcaster

peers.require()

HANDLED = [(0, "handle_notify", "ok", "200"), (1, "deliver", "ok", None), (2, "receive", "ok", "200"), (3, "handler", "ok", None)]

PUBLISHED = [(0, "notify", "ok", None), (1, "attempt", "ok", None), (2, "handle_notify", "ok", "200"),
             (3, "deliver", "ok", None), (3, "deliver", "ok", None)]

# What a broadcaster tells of a message that its only subscriber took, in the order of the alphabet.
TOLD = ["auth_accepted", "auth_tentatively_accepted", "exact_subscriber_found", "no_more_subscribers", "receive_confirmed",
        "response_received", "sending_receive"]


def publish_simply(case, broadcaster, record):
    """Three messages; the tables of the traces that were recorded, and the steps that the simple tracer keeps of each."""
    subscriber = peers.start_client(case, broadcaster, "--exact", "a/b")
    db = case.path("simple.db")
    publisher = peers.start_client(case, broadcaster, "--tracing", "simple", "--simple-db", db)
    recorder = Recorder(case, [broadcaster, subscriber]) if record else None
    for _ in range(3):
        publisher.publish("a/b", 5)
    subscriber.check_received("a/b", 5, 3)
    publisher.quit()
    session = recorder.stop() if recorder else None
    if session:
        harness.check_accepts(session)
    kept = sqlite3.connect(db).execute("SELECT group_concat(name, ' ') FROM stateless_notify_timings GROUP BY notify_id").fetchall()
    return [t.table() for t in session.traces] if session else [], [row[0].split() for row in kept]


def test_a_recorded_broadcaster_answers_it_as_it_expects(case):
    tables, kept = publish_simply(case, peers.start_broadcaster(case), True)
    assert tables == [HANDLED] * 3
    assert len(kept) == 3 and all("auth_accepted" in steps for steps in kept), kept


def test_an_unrecorded_broadcaster_does_so_too(case):
    _, kept = publish_simply(case, peers.start_broadcaster(case), False)
    assert len(kept) == 3 and all("auth_accepted" in steps for steps in kept), kept


def test_a_c_broadcaster_does_so_if_it_is_told_to(case):
    tables, kept = publish_simply(case, start_broadcaster(case, "--answer-tracing", "simple", auth=[]), True)
    assert tables == [HANDLED] * 3
    told = [sorted(s.removeprefix("remote_") for s in steps if s.startswith("remote_")) for steps in kept]
    assert told == [TOLD] * 3, kept


def test_a_c_broadcaster_that_is_not_told_to_breaks_it(case):
    publisher = peers.start_client(case, start_broadcaster(case, auth=[]), "--tracing", "simple", "--simple-db", case.path("simple.db"))
    found = publisher.ask("publish a/b 5", r"^(published|failed) (\w+)$")
    assert found.group(1) == b"failed", found.group()


def reported(trace):
    return sorted((s for s in trace.spans if "reported" in s["marks"]), key=lambda s: s["start_ns"])


def test_what_a_simple_broadcaster_tells_becomes_spans(case):
    """Only the publisher is recorded; it is the real one, through our package."""
    broadcaster = peers.start_broadcaster(case, "--tracing", "simple")
    subscribers = [peers.start_client(case, broadcaster, "--exact", "a/b") for _ in range(2)]
    publisher = peers.start_client(case, broadcaster)
    recorder = Recorder(case, [publisher])
    for _ in range(3):
        publisher.publish("a/b", 5, 2)
    for subscriber in subscribers:
        subscriber.check_received("a/b", 5, 3)
    publisher.quit()
    session = recorder.stop()
    assert [t.table() for t in session.traces] == [PUBLISHED] * 3, session.traces
    for trace in session.traces:
        handle, *delivers = reported(trace)
        assert [s["name"] for s in delivers] == [f"deliver {s.url}/v1/receive" for s in subscribers], trace
        assert sorted({e["name"] for s in (handle, *delivers) for e in s["events"]}) == sorted([*TOLD, "received", "sending_response"])
        assert handle["attributes"]["messaging.message.id"] == trace.only("attempt ")["attributes"]["messaging.message.id"]
        assert handle["attributes"]["outspan.report.clock_error_ns"] > 0 and trace.line["processes"] == 1


def test_so_does_what_a_c_broadcaster_tells_our_package(case):
    """--no-context: a publisher that sends a context of ours is answered with one."""
    broadcaster = start_broadcaster(case, "--answer-tracing", "simple", auth=[])
    subscriber = peers.start_client(case, broadcaster, "--exact", "a/b")
    publisher = peers.start_client(case, broadcaster)
    recorder = Recorder(case, [publisher], "--no-context")
    publisher.publish("a/b", 5)
    subscriber.check_received("a/b", 5)
    publisher.quit()
    trace, = recorder.stop().traces
    assert trace.table() == PUBLISHED[:4] and len(reported(trace)) == 2, trace


harness.main(globals())

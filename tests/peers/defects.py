#!/usr/bin/python3
"""Defects of the real lonelypss, as a recording shows them: SET_SUBSCRIPTIONS that removes, MISSED that unsubscribes."""
import peers  # first: it shows where the others are

import harness
from pubsub import Recorder, attribute, events

peers.require()

SET = [(0, "handle_set_subscriptions", "ok", "200")]
CHECK = [(0, "handle_check_subscriptions", "ok", "200")]


def event(span, name):
    """The arguments of the one event of this name."""
    found, = [e for e in span["events"] if e["name"] == name]
    return found["attributes"]


def changes(span):
    done = event(span, "set_done")
    return tuple(done["lonelypsp." + what] for what in ("added", "removed", "kept"))


def record_sets(case, *counts):
    """(spans of the broadcaster for a SET of so many topics each and a last CHECK, what the client believes, what it is told)"""
    broadcaster = peers.start_broadcaster(case)
    client = peers.start_client(case, broadcaster)
    recorder = Recorder(case, [broadcaster])
    for count in counts:
        believed = client.ask(f"set {count}", r"^set (\w+)$").group(1)
    told = client.ask("check", r"^etag (\w+)$").group(1)
    session = recorder.stop()
    traces = sorted(session.traces, key=lambda t: t.line["start_ns"])
    assert [t.table() for t in traces] == [SET] * len(counts) + [CHECK], session.traces
    peers.check_whole(session)
    session.check_no_loss()
    harness.check_accepts(session)
    return [t.spans[0] for t in traces], believed.decode(), told.decode()


def test_15_subscriptions_set_again_are_kept(case):
    (first, again, check), believed, told = record_sets(case, 15, 15)
    assert changes(first) == (15, 0, 0) and changes(again) == (0, 0, 15)
    assert event(again, "auth_accepted")["lonelypsp.num_exact"] == 15
    assert event(check, "etag_computed")["lonelypsp.etag"] == believed == told


def test_16_subscriptions_set_again_are_all_removed(case):
    """Upstream reads the stored ones 16 at a time and never goes on from the 16th."""
    (first, again, check), believed, told = record_sets(case, 16, 16)
    assert changes(first) == (16, 0, 0)
    assert changes(again) == (0, 16, 16)  # found as they should be, and removed
    assert event(again, "auth_accepted")["lonelypsp.etag"] == believed
    assert event(check, "etag_computed")["lonelypsp.etag"] == told != believed


def test_20_subscriptions_set_again_leave_4(case):
    (_, again, _), believed, told = record_sets(case, 20, 20)
    added, removed, kept = changes(again)
    assert 20 - removed + added == 4 and told != believed, (added, removed, kept)


def test_a_missed_message_is_told_20_times_at_once_and_ends_the_subscription(case):
    broadcaster = peers.start_broadcaster(case, "--sweep", "0.5")
    subscriber = peers.start_client(case, broadcaster, "--exact", "a/b")
    publisher = peers.start_client(case, broadcaster)
    subscriber.process.signal(9)
    subscriber.process.wait()
    recorder = Recorder(case, [broadcaster, publisher])
    publisher.publish("a/b", 5, 0)
    recorder.read_until("SELECT 1 FROM event WHERE name = 'retries_exhausted'")
    publisher.publish("a/b", 5, 0)
    session = recorder.stop()
    first, second = sorted(session.with_root("publish "), key=lambda t: t.line["start_ns"])
    # the first finds the subscriber and not its process, and notes that for a time long past: the delay, not when it is over
    deliver = first.only("deliver ")
    assert (deliver["status"], deliver["code"]) == ("error", "network_error")
    assert event(deliver, "handle_missed_success")["lonelypsp.next_retry_at"] == 2
    told = sorted((s for t in session.traces for s in t.find(operation="tell_missed")), key=lambda s: s["start_ns"])
    assert len(told) == 20
    assert [event(s, "due")["lonelypsp.attempts"] for s in told] == list(range(20))
    assert {(s["status"], s["code"]) for s in told} == {("error", "unconfirmed")}
    assert [events(s)[2:] for s in told] == [["network_error", "waiting_to_retry", "release_ok"]] * 19 + \
        [["network_error", "retries_exhausted", "release_ok"]]
    assert told[-1]["end_ns"] - told[0]["start_ns"] < 5e9  # 20 tries, meant to take days
    assert [event(s, "release_ok")["lonelypsp.deleted"] for s in told] == [False] * 19 + [True]
    # the second finds nobody: the subscription went with the mark
    assert second.find("deliver ") == []
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_missed_message_that_is_confirmed_counts_as_failed(case):
    """Upstream compares the answer's type, bytes, with a number: the subscriber confirms 20 times, in vain."""
    broadcaster = peers.start_broadcaster(case, "--sweep", "0.5", "--read-timeout", "1")
    subscriber = peers.start_client(case, broadcaster, "--exact", "a/b")
    publisher = peers.start_client(case, broadcaster)
    recorder = Recorder(case, [broadcaster, subscriber, publisher])
    subscriber.process.signal(19)  # stopped: it does not answer in time
    publisher.publish("a/b", 5, 0)
    subscriber.process.signal(18)
    recorder.read_until("SELECT 1 FROM event WHERE name = 'retries_exhausted'")
    session = recorder.stop()
    confirmed = [s for t in session.traces for s in t.find(operation="handle_missed", status="ok")]
    told = [s for t in session.traces for s in t.find(operation="tell_missed")]
    assert len(told) == 20 and {s["code"] for s in told} == {"unconfirmed"}
    answered = [s for s in told if "bad_response" in events(s)]
    assert len(confirmed) >= 19 and len(answered) >= 19, (len(confirmed), len(answered))
    # each time the application's one handler hears that the connection was lost for a moment
    assert {str(events(s)) for s in confirmed} == \
        {str(["received", "auth_accepted", "connection_lost", "connection_established", "sending_response"])}
    assert {event(s, "connection_established")["lonelypsp.num_handlers"] for s in confirmed} == {1}
    # upstream has no room for a context in MISSED, and 20 alike within seconds are not told apart: none is taken for a fact
    assert {(l["evidence"], l["grade"]) for s in confirmed for l in s["links"]} <= {("recovery_topic", "weak"), ("recovery_topic", "ambiguous")}
    session.check_no_loss()
    harness.check_accepts(session)


harness.main(globals())

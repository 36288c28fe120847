#!/usr/bin/python3
"""Over web sockets between C and Python: subscriptions that change, and subscribers that are told they missed a message."""
import peers  # first: it shows where the others are
from peers import c_auth
from peers_stateful import CPublisher, CSubscriber, PythonPublisher, PythonSubscriber, brief, everybody, text

import harness
from pubsub import Recorder, check_link, events, post_missed, start_broadcaster, start_subscriber

peers.require()

CHANGES = ["subscribe exact a/b", "subscribe glob a/*", "unsubscribe exact a/b", "unsubscribe glob a/*"]
OPERATIONS = ["stateful_" + "_".join(c.split()[:2]) for c in CHANGES]


def value(span, event, name):
    found, = [e for e in span["events"] if e["name"] == event]
    return found["attributes"]["lonelypsp." + name]


def spans_of(session, operation):
    return sorted((s for t in session.traces for s in t.spans if s["operation"] == operation), key=lambda s: s["start_ns"])


# ---- changes -------------------------------------------------------------------------------------------


def test_a_c_subscriber_changes_its_subscriptions_at_the_real_broadcaster(case):
    broadcaster = peers.start_broadcaster(case, auth="hmac")
    subscriber = start_subscriber(case, broadcaster, "--ws", stdin=True)
    subscriber.process.wait_for("^connection receiving", "out")
    recorder = Recorder(case, [broadcaster, subscriber])
    said = [subscriber.command(c).split(" status=")[0] for c in CHANGES]
    session = recorder.stop()
    assert said == [c.replace("subscribe ", "subscribed ") + " outcome=ok" for c in CHANGES]
    traces = sorted(session.traces, key=lambda t: t.line["start_ns"])
    assert [t.table() for t in traces] == [[(0, o, "ok", None), (1, "handle_" + o, "ok", None)] for o in OPERATIONS], traces
    for number, trace in enumerate(traces):
        check_link(trace, *trace.spans, "trace_context", "exact", "connection_counter")
        assert value(trace.spans[1], "auth_accepted", "ctr") == -1 - number
        assert trace.marks() == []
    session.check_no_loss()


def test_a_real_subscriber_changes_its_subscriptions_at_the_c_broadcaster(case):
    broadcaster = start_broadcaster(case)
    client = peers.start_client(case, broadcaster, "--websocket", auth="hmac")
    recorder = Recorder(case, [broadcaster])
    for number, change in enumerate(CHANGES, 1):
        verb, kind, key = change.split()
        client.ask(f"{verb}_{kind} {key}", "^done$")  # it waits in the client
        recorder.read_until("SELECT 1 FROM span WHERE operation = ? AND status = 'ok'", "handle_" + OPERATIONS[number - 1])
    session = recorder.stop()
    found = sorted((s for t in session.traces for s in t.spans), key=lambda s: s["start_ns"])
    assert [(s["operation"], s["status"]) for s in found] == [("handle_" + o, "ok") for o in OPERATIONS]
    assert [value(s, "auth_accepted", "ctr") for s in found] == [-1, -2, -3, -4]
    lines = broadcaster.log("stateful_subscribe") + broadcaster.log("stateful_unsubscribe")
    assert [(e["kind"], e["key"], e["outcome"]) for e in lines] == [("exact", "a/b", "ok"), ("glob", "a/*", "ok")] * 2
    session.check_no_loss()


# ---- what was missed -----------------------------------------------------------------------------------


def run_missed(case, broadcaster, subscriber_kind, publisher_kind, recorder):
    """A message, word of one that was missed, and another message: the broadcaster counts the word, too."""
    messages = [text(100, 1), text(100, 2)]
    subscriber = subscriber_kind(case, broadcaster, "exact", "t", "hmac", [])
    recorder.read_until("SELECT 1 FROM event WHERE name = 'registered'")
    publisher = publisher_kind(case, broadcaster, "t", "hmac", [])
    publisher.publish(messages[0], 1)
    assert post_missed(broadcaster.url + "/v1/missed_for_websockets", b"t")[0] == 200
    publisher.publish(messages[1], 1)
    assert subscriber.received(2) == [brief(m) for m in messages]
    publisher.quit(), subscriber.quit()
    return subscriber


def test_a_c_subscriber_hears_from_the_real_broadcaster_what_it_missed(case):
    recorder = Recorder(case, [], *everybody())
    subscriber = run_missed(case, peers.start_broadcaster(case, auth="hmac"), CSubscriber, PythonPublisher, recorder)
    session = recorder.stop()
    told, = subscriber.program.log("missed")
    assert (told["topic"], told["outcome"]) == ("t", "ok") and "\nmissed topic=t\n" in subscriber.program.process.text()
    span, = spans_of(session, "handle_stateful_missed")
    assert span["status"] == "ok" and value(span, "received", "ctr") == 2  # behind the first message, which was 1
    assert [c["outcome"] for c in subscriber.program.log("connection")] == ["cancelled"]
    session.check_no_loss()


def test_a_real_subscriber_hears_from_the_c_broadcaster_what_it_missed(case):
    recorder = Recorder(case, [], *everybody())
    broadcaster = start_broadcaster(case)
    run_missed(case, broadcaster, PythonSubscriber, CPublisher, recorder)
    broadcaster.wait_log("session", 2, outcome="disconnected")
    session = recorder.stop()
    assert [(m["topic"], m["counter"], m["outcome"]) for m in broadcaster.log("stateful_missed")] == [("t", "2", "ok")]
    span, = spans_of(session, "stateful_missed")
    assert span["status"] == "ok" and events(span)[-1] == "sent"
    session.check_no_loss()


harness.main(globals())

#!/usr/bin/python3
"""What a broadcaster does over web sockets: who gets a message, how large ones go, how connections end."""
import signal

import harness
from pubsub import (OTHER_SECRET, Recorder, attribute, check_tables, events, hmac_options, post_missed, publish, start_broadcaster,
                    start_publisher, start_subscriber)

LARGE = "0123456789abcde " * 2500  # 40 kB
SMALL_PARTS = ["--max-ws-message", "4K", "--spool-size", "10K"]


def websocket_subscriber(case, broadcaster, *args, **more):
    subscriber = start_subscriber(case, broadcaster, "--ws", *args, stdin=True, **more)
    subscriber.process.wait_for("^connection receiving", "out")
    return subscriber


def subscribe(subscriber, kind, key):
    assert subscriber.command(f"subscribe {kind} {key}").startswith("subscribed "), subscriber.process.out


def span_of(session, operation, **attributes):
    """The only span that is the operation itself and has these attributes."""
    found = [s for t in session.traces for s in t.spans if s["operation"] == operation
             and all(attribute(s, "lonelypsp." + k) == v for k, v in attributes.items())
             and s["parent_id"] not in [o["span_id"] for o in t.spans if o["operation"] == operation]]
    assert len(found) == 1, (operation, attributes, found)
    return found[0]


def test_a_message_reaches_web_sockets_and_http(case):
    broadcaster = start_broadcaster(case)
    exact, glob = websocket_subscriber(case, broadcaster), websocket_subscriber(case, broadcaster)
    subscribe(exact, "exact", "a/b")
    subscribe(glob, "glob", "a/*")
    http = start_subscriber(case, broadcaster, "--exact", "a/b")
    publisher = start_publisher(case, broadcaster, "a/b", "--ws")
    publish(publisher, "connects")
    recorder = Recorder(case, [broadcaster, exact, glob, http, publisher])
    entries = [publish(publisher, f"message {i}") for i in range(7)]
    for subscriber in exact, glob, http:
        subscriber.wait_log("receive", 8)
    broadcaster.wait_log("stateful_deliver", 16)
    session = recorder.stop()
    assert {e["subscribers"] for e in entries} == {"3"}, "each has one copy"

    def handler(depth, operation, code):
        return [(depth, operation, "ok", code), (depth + 1, "handler", "ok", None)]
    to_websocket = [(5, "queue", "ok", None), (6, "stateful_deliver", "ok", None), *handler(7, "stateful_receive", None)]
    check_tables(session, *[[
        (0, "stateful_notify", "ok", None), (1, "attempt", "ok", None), (2, "handle_stateful_notify", "ok", None),
        (3, "deliver", "ok", None), (4, "receive_for_websockets", "ok", "200"), *to_websocket, *to_websocket,
        (3, "deliver", "ok", None), *handler(4, "receive", "200")]] * 7)
    for entry in entries:
        taken, = broadcaster.log("stateful_notify", identifier=entry["identifier"])
        assert (taken["outcome"], taken["subscribers"], taken["sha512"], taken["parts"]) == ("ok", "3", entry["sha512"], "1")
        relayed, direct = broadcaster.log("deliver", notify=entry["identifier"])
        assert (relayed["subscribers"], direct["subscribers"]) == ("2", "1")
        sent = broadcaster.log("stateful_deliver", source=relayed["identifier"])
        assert [(d["outcome"], d["sha512"]) for d in sent] == [("ok", entry["sha512"])] * 2
        connections = {d["connection"] for d in sent}
        trace, = [t for t in session.traces if attribute(t.roots()[0], "messaging.message.id") == entry["identifier"]]
        assert {attribute(s, "lonelypsp.connection") for s in trace.find("deliver a/b")} == connections and len(connections) == 2
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_large_message_is_lent_to_one_web_socket_after_the_other(case):
    broadcaster = start_broadcaster(case, *SMALL_PARTS)
    subscribers = [websocket_subscriber(case, broadcaster) for _ in range(2)]
    for subscriber in subscribers:
        subscribe(subscriber, "exact", "t")
    publisher = start_publisher(case, broadcaster, "t", "--ws", "--ws-message", "4K")
    recorder = Recorder(case, [broadcaster])
    entry = publish(publisher, LARGE)
    sent = broadcaster.wait_log("stateful_deliver", 2)
    session = recorder.stop()
    assert entry["subscribers"] == "2"
    assert [(d["bytes"], d["sent"], d["parts"]) for d in sent] == [(str(len(LARGE)),) * 2 + ("12",)] * 2
    assert broadcaster.log("stateful_notify")[0]["parts"] == "12"
    assert [r["sha512"] for s in subscribers for r in s.wait_log("receive")] == [entry["sha512"]] * 2
    relay = span_of(session, "receive_for_websockets")
    queues = [s for t in session.traces for s in t.spans if s["parent_id"] == relay["span_id"]]
    assert [events(s) for s in queues] == [["websocket_matched", "queued_large", "large_released"]] * 2
    assert [attribute(s, "lonelypsp.spooled") for s in queues] == [False, False]
    for d in sent:
        span = span_of(session, "stateful_deliver", connection=d["connection"])
        assert span["status"] == "ok" and "spooled" not in events(span), span
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_large_message_is_copied_for_a_subscriber_that_hangs(case):
    broadcaster = start_broadcaster(case, *SMALL_PARTS, "--direct-timeout", "50ms")
    subscriber = websocket_subscriber(case, broadcaster)
    subscribe(subscriber, "exact", "t")
    publisher = start_publisher(case, broadcaster, "t", "--ws")
    publish(publisher, "connects")
    subscriber.wait_log("receive")
    recorder = Recorder(case, [broadcaster])
    subscriber.process.popen.send_signal(signal.SIGSTOP)
    entry = publish(publisher, LARGE)
    assert entry["subscribers"] == "1", "published though nobody has it yet"
    assert not broadcaster.log("stateful_deliver", sha512=entry["sha512"])
    subscriber.process.popen.send_signal(signal.SIGCONT)
    subscriber.wait_log("receive", sha512=entry["sha512"])
    broadcaster.wait_log("stateful_deliver", sha512=entry["sha512"], outcome="ok")
    session = recorder.stop()
    span = span_of(session, "stateful_deliver")
    assert span["status"] == "ok" and {"spooled", "ack_slot_waiting"} <= set(events(span)), span
    relay = span_of(session, "receive_for_websockets")
    queue, = [s for t in session.traces for s in t.spans if s["parent_id"] == relay["span_id"]]
    assert attribute(queue, "lonelypsp.spooled") is True
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_missed_message_is_told(case):
    broadcaster = start_broadcaster(case)
    subscriber = websocket_subscriber(case, broadcaster)
    subscribe(subscriber, "glob", "t*")
    recorder = Recorder(case, [broadcaster, subscriber])
    assert post_missed(broadcaster.url + "/v1/missed_for_websockets", b"topic")[0] == 200
    told, = broadcaster.wait_log("stateful_missed")
    subscriber.wait_log("missed", topic="topic")
    session = recorder.stop()
    assert (told["topic"], told["outcome"], told["counter"]) == ("topic", "ok", "1")
    check_tables(session, [(0, "missed_for_websockets", "ok", "200"), (1, "stateful_missed", "ok", None),
                           (2, "handle_stateful_missed", "ok", None)])
    session.check_no_loss()
    harness.check_accepts(session)


def ended(case, broadcaster, how, wait=True):
    """Its log of the only connection that ended so."""
    entry, = broadcaster.wait_log("session", outcome=how)
    return entry


def test_a_stranger_is_sent_away(case):
    broadcaster = start_broadcaster(case, "--stats")
    recorder = Recorder(case, [broadcaster])
    stranger = start_subscriber(case, broadcaster, "--ws", "--retries", "1", auth=hmac_options(to_broadcaster=OTHER_SECRET))
    entry = broadcaster.wait_log("session", outcome="bad_auth")[0]
    assert entry["why"] == "forbidden" and "connection" not in entry
    stranger.stop()
    session = recorder.stop()
    spans = [s for t in session.traces for s in t.spans]
    assert spans and {(s["operation"], s["status"], s["code"]) for s in spans} == {("handle_stateful_session", "error", "BAD_AUTH")}
    assert events(spans[0]) == ["accepted", "bad_auth_result", "receiver_unregistered", "closed"]
    count = len(broadcaster.log("session"))
    assert broadcaster.stop() == 0
    assert f"connections={count} bad_auth={count}\n".encode() in broadcaster.process.err
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_subscriber_that_is_killed_is_unsubscribed(case):
    broadcaster = start_broadcaster(case)
    recorder = Recorder(case, [broadcaster])
    subscriber = websocket_subscriber(case, broadcaster)
    subscribe(subscriber, "exact", "t")
    subscribe(subscriber, "glob", "t*")
    publisher = start_publisher(case, broadcaster, "t")
    assert publish(publisher, "one")["subscribers"] == "1"
    subscriber.wait_log("receive")
    subscriber.process.popen.kill()
    entry = ended(case, broadcaster, "disconnected")
    assert (entry["changes"], entry["delivered"]) == ("2", "1")
    assert publish(publisher, "two")["subscribers"] == "0"
    session = recorder.stop()
    span = span_of(session, "handle_stateful_session")
    assert (span["status"], events(span)) == ("ok", ["accepted", "configure_accepted", "sending_confirm_configure", "disconnected",
                                                     "receiver_unregistered", "closed"])
    assert [attribute(span, "lonelypsp." + a) for a in ("num_exact", "num_globs", "close_reason")] == [1, 1, "DISCONNECTED"]
    assert not broadcaster.log("deliver", outcome="unsubscribed"), "no row was left"
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_broadcaster_that_stops_lets_messages_end_and_says_goodbye(case):
    broadcaster = start_broadcaster(case)
    subscriber = websocket_subscriber(case, broadcaster)
    subscribe(subscriber, "exact", "t")
    publisher = start_publisher(case, broadcaster, "t")
    publish(publisher, "one")
    recorder = Recorder(case, [broadcaster])
    broadcaster.process.popen.send_signal(signal.SIGTERM)
    entry = ended(case, broadcaster, "shutdown")
    assert broadcaster.process.wait() == 0
    session = recorder.stop()
    span = span_of(session, "handle_stateful_session")
    assert (span["status"], events(span)[-3:]) == ("ok", ["shutdown", "receiver_unregistered", "closed"])
    assert attribute(span, "lonelypsp.connection") is None and span["marks"] == ["began_before"]
    assert entry["why"] == "the\\x20broadcaster\\x20is\\x20being\\x20stopped"
    harness.check_accepts(session, attach_began_in_the_middle=1)


harness.main(globals())

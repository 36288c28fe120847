#!/usr/bin/python3
"""The subscriber's and the publisher's end of web sockets: sessions, what goes over them, and what outlives them."""
import os
import signal

import harness
from pubsub import (HMAC, OTHER_SECRET, Program, Recorder, attribute, check_link, check_tables, check_time, events, hmac_options,
                    identifier, publish, start_broadcaster, start_publisher, start_subscriber)

CONTEXT = ("trace_context", "exact")
# A message from one web socket to another, as a tree.
DELIVERED = [(0, "stateful_notify", "ok", None), (1, "attempt", "ok", None), (2, "handle_stateful_notify", "ok", None),
             (3, "deliver", "ok", None), (4, "receive_for_websockets", "ok", "200"), (5, "queue", "ok", None),
             (6, "stateful_deliver", "ok", None), (7, "stateful_receive", "ok", None), (8, "handler", "ok", None)]


def change(verb, kind):
    return [(0, f"stateful_{verb}_{kind}", "ok", None), (1, f"handle_stateful_{verb}_{kind}", "ok", None)]


def start_connected(case, broadcaster, *args):
    """A subscriber with a connection, that listens to commands."""
    subscriber = start_subscriber(case, broadcaster, "--ws", *args, stdin=True)
    subscriber.process.wait_for("^connection receiving", "out")
    return subscriber


def record_programs(case, *names):
    """Whatever is started of these programs of this build, from its first step on."""
    return Recorder(case, [], *(word for name in names for word in ("-e", os.path.join(harness.BUILD, name))))


def big_file(case, size):
    path = case.path("big")
    with open(path, "wb") as f:
        f.write(bytes(i * i % 251 for i in range(65536)) * (size // 65536))
    return path


def only(traces):
    assert len(traces) == 1, traces
    return traces[0]


def spans_of(session, operation):
    return [s for t in session.traces for s in t.spans if s["operation"] == operation]


def test_messages_between_web_sockets_are_one_trace_each(case):
    broadcaster = start_broadcaster(case)
    subscriber = start_connected(case, broadcaster, "--exact", "t")
    publisher = start_publisher(case, broadcaster, "t", "--ws")
    publish(publisher, "first, that the connection is there")
    recorder = Recorder(case, [broadcaster, subscriber, publisher])
    entries = [publish(publisher, f"message {i}") for i in range(11)]
    subscriber.wait_log("receive", 12)
    session = recorder.stop()
    assert publisher.process.wait() == 0 and subscriber.stop() == 0 and broadcaster.stop() == 0
    check_tables(session, *[DELIVERED] * 11)
    assert [e["outcome"] for e in entries] == ["ok"] * 11 and len({e["identifier"] for e in entries}) == 11
    connections = {only(p.log("connection"))["connection"] for p in (subscriber, publisher)}
    assert len(connections) == 2
    for entry in entries:
        trace = only([t for t in session.traces for s in t.find("attempt") if identifier(s) == entry["identifier"]])
        root, attempt, handle = trace.spans[0], trace.only("attempt"), trace.only("handle ")
        assert events(root) == ["start_without_hash", "hashed", "queued", "compressor_skipped"]
        assert events(attempt)[0] == "sending_notify" and events(attempt)[-1] == "confirm_notify"
        assert attribute(attempt, "lonelypsp.connection") in connections
        check_time(root, entry)
        check_link(trace, attempt, handle, *CONTEXT, "connection_message")
        received = trace.only("receive t", operation="stateful_receive")
        check_link(trace, trace.only("deliver t"), received, *CONTEXT, "connection_message")
        assert events(received) == ["received", "body_complete", "sending_confirm_receive", "auth_accepted",
                                    "compressor_skipped", "no_more_handlers"]
        check_time(received, only(subscriber.log("receive", identifier=identifier(received))))
        assert trace.line["processes"] == 3 and trace.marks() == []
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_large_message_goes_in_parts_both_ways(case):
    broadcaster = start_broadcaster(case)
    subscriber = start_connected(case, broadcaster, "--exact", "t")
    path = big_file(case, 7 << 20)
    recorder = Recorder(case, [broadcaster, subscriber], "--level", "debug", "-e", os.path.join(harness.BUILD, "psp-notify"))
    sender = Program(case, "psp-notify", "--broadcaster", broadcaster.url, *HMAC, "--ws", "--ws-message", "3M", "--file", path, "t")
    assert sender.process.wait() == 0
    received = only(subscriber.wait_log("receive"))
    session = recorder.stop()
    sent = only(sender.log("attempt"))
    assert (sent["outcome"], sent["parts"], sent["bytes"]) == ("ok", "3", str(7 << 20))
    assert (received["outcome"], received["sha512"]) == ("ok", sent["sha512"]) and int(received["parts"]) > 1
    trace = only(session.with_root("publish t"))
    assert trace.table() == DELIVERED
    attempt, taken = trace.only("attempt"), trace.only("receive t", operation="stateful_receive")
    assert [e for e in events(attempt) if e.startswith("sending")] == ["sending_first_part", "sending_part", "sending_part"]
    assert events(attempt).count("continue_notify") == 2 and events(attempt).count("part_sent") in (2, 3)
    parts = int(received["parts"])
    assert [events(taken).count(e) for e in ("received", "received_part", "sending_continue_receive", "sending_confirm_receive")] == \
        [1, parts - 1, parts - 1, 1]
    assert trace.marks() == []
    # the publisher was seen from its first step to its last
    connected = only([t for t in session.with_root("stay connected") if t.spans[0]["process"]["pid"] == sender.pid])
    assert connected.table()[:3] == [(0, "stateful_session", "ok", "cancelled"), (1, "connection", "ok", None),
                                     (2, "handle_stateful_session", "ok", None)]
    first, second = connected.spans[0], connected.only("connection to ")
    assert events(first) == ["start", "cancelled"], events(first)
    assert [e for e in events(second) if e != "configure_sent"] == [
        "connecting", "connected", "sending_configure", "confirm_configure_accepted", "state_changed", "cancel_requested",
        "state_changed", "closed"], events(second)
    check_link(connected, second, connected.only("keep a connection"), *CONTEXT, "subscriber_nonce,connection_nonce")
    session.check_no_loss()
    harness.check_accepts(session)


def test_what_is_large_is_compressed_both_ways(case):
    broadcaster = start_broadcaster(case)
    recorder = record_programs(case, "psp-broadcaster", "psp-subscriber", "psp-notify")
    subscriber = start_connected(case, broadcaster, "--exact", "t", "--zstd")
    publisher = start_publisher(case, broadcaster, "t", "--ws", "--zstd")
    publish(publisher, "small, and before it the compressor came")
    subscriber.wait_log("receive", 1)
    sent = publish(publisher, "large " * 10000)
    received = subscriber.wait_log("receive", 2)[1]
    assert publisher.process.wait() == 0 and subscriber.stop() == 0
    session = recorder.stop()
    assert (sent["outcome"], sent["bytes"]) == ("ok", "60000") and received["sha512"] == sent["sha512"]
    small, large = session.with_root("publish t")
    for trace, words in ((small, ("compressor_skipped",) * 4), (large, ("compressed", "decompressed") * 2)):
        assert trace.table() == DELIVERED
        spans = [only(trace.find(n, operation=o)) for n, o in (
            ("publish", "stateful_notify"), ("handle", "handle_stateful_notify"), ("deliver", "stateful_deliver"),
            ("receive", "stateful_receive"))]
        assert all(word in events(span) for word, span in zip(words, spans)), trace
    assert 0 < attribute(large.spans[0], "lonelypsp.compressed_length") < 1000
    # a compressor is part of its session, and linked to the broadcaster's offer of it
    used = spans_of(session, "handle_compressor")
    assert [(s["status"], s["code"], events(s)[-1]) for s in used] == [("unset", "connection_lost", "connection_lost")] * 2
    for span in used:
        trace = only([t for t in session.traces if span["span_id"] in t.by_id])
        link, = span["links"]
        assert trace.by_id[span["parent_id"]]["operation"] == "stateful_session"
        assert trace.by_id[link["span_id"]]["operation"] == "compressor" and link["grade"] == "exact"
    session.check_no_loss()
    harness.check_accepts(session)


def test_subscriptions_are_made_and_left_over_the_connection(case):
    broadcaster = start_broadcaster(case)
    subscriber = start_connected(case, broadcaster)
    recorder = Recorder(case, [broadcaster, subscriber])
    said = [subscriber.command(c) for c in (
        "subscribe exact t", "subscribe exact t", "subscribe glob t/*", "unsubscribe exact t", "unsubscribe exact t",
        "unsubscribe exact t", "unsubscribe glob t/*", "check")]
    session = recorder.stop()
    assert [s.split(" status=")[0] for s in said] == [
        "subscribed exact t outcome=ok", "subscribed exact t outcome=counted", "subscribed glob t/* outcome=ok",
        "unsubscribed exact t outcome=counted", "unsubscribed exact t outcome=ok",
        "refused unsubscribe exact t outcome=failed", "unsubscribed glob t/* outcome=ok", "refused check outcome=failed"]
    assert said[5].endswith("reason=not_subscribed") and said[7].endswith("reason=not_over_web_sockets")
    check_tables(session, *[change(v, k) for v in ("subscribe", "unsubscribe") for k in ("exact", "glob")])
    for trace in session.traces:
        asked, done = trace.spans
        check_link(trace, asked, done, *CONTEXT, "connection_counter")
        assert [e for e in events(asked) if e != "sent"] == ["queued", "sending", "confirmed"]
    assert sorted(attribute(t.spans[0], "lonelypsp.ctr") for t in session.traces) == [-4, -3, -2, -1]
    assert subscriber.stop() == 0
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_broadcaster_that_was_killed_is_found_again_with_all_that_was_wanted(case):
    broadcaster = start_broadcaster(case)
    subscriber = start_connected(case, broadcaster, "--exact", "t", "--glob", "u/*", "--retries", "10")
    slow = start_subscriber(case, broadcaster, "--exact", "t", "--handler-delay", "100s")
    publisher = start_publisher(case, broadcaster, "t", "--ws", "--retries", "10", "--in-flight", "3")
    recorder = Recorder(case, [subscriber, publisher])
    for text in ("one", "two", "three"):
        publisher.process.line(text)
    subscriber.wait_log("receive")  # the slow one has the message, too: its publisher waits
    broadcaster.stop(signal.SIGKILL)
    again = Program(case, "psp-broadcaster", "--listen", f"127.0.0.1:{broadcaster.port}", *HMAC).ready()
    publisher.process.wait_for("(^published .*\n){3}", "out")
    entries = publisher.log("publish")
    subscriber.process.wait_for("^connection lost\n(.*\n)*connection receiving$", "out")
    subscriber.wait_log("subscribe", 4)
    last = publish(publisher, "four")
    subscriber.wait_log("receive", sha512=last["sha512"])
    assert publisher.process.wait() == 0 and subscriber.stop() == 0
    session = recorder.stop()
    slow.stop(signal.SIGKILL)
    assert [(e["outcome"], e["attempts"]) for e in entries] == [("ok", "2")] * 3
    # in their order, each with the identifier that it had
    attempts = publisher.log("attempt")
    lost, resent = [[a for a in attempts[:-1] if a["outcome"] == outcome] for outcome in ("connection_lost", "ok")]
    assert [a["identifier"] for a in lost] == [a["identifier"] for a in resent] == [e["identifier"] for e in entries]
    assert [int(a["begin"]) for a in resent] == sorted(int(a["begin"]) for a in resent)
    assert lost[0]["connection"] != resent[0]["connection"]
    # the subscriptions are there again, and nobody had to ask
    renewed = [(s["kind"], s["key"], s["outcome"]) for s in subscriber.log("subscribe")[2:]]  # two for the first connection
    assert sorted(renewed) == [("exact", "t", "ok"), ("glob", "u/*", "ok")] and last["subscribers"] == "1"
    tables = [t.table() for t in session.with_root("publish t")]
    twice = [(0, "stateful_notify", "ok", None), (1, "attempt", "error", "connection_lost"), (1, "attempt", "ok", None)]
    assert [t[:3] for t in tables[:3]] == [twice] * 3, session.with_root("publish t")
    assert sorted(s["name"] for s in spans_of(session, "stateful_subscribe_exact") + spans_of(session, "stateful_subscribe_glob")) == \
        ["subscribe t", "subscribe u/*"]
    for program in (subscriber, publisher):
        connected = only([t for t in session.with_root("stay connected") if t.spans[0]["process"]["pid"] == program.pid])
        spans = connected.find("connection to ")
        assert len(spans) >= 1 and "confirm_configure_accepted" in events(spans[-1])
        counts = [attribute(spans[-1], "lonelypsp." + n) for n in ("resubscribe_exact", "resubscribe_glob", "resending")]
        assert counts == ([1, 1, 0] if program is subscriber else [0, 0, 3]), counts
    assert again.stop() == 0
    session.check_no_loss()
    harness.check_accepts(session, attach_began_in_the_middle=2)


def test_who_has_a_wrong_secret_gets_no_connection(case):
    broadcaster = start_broadcaster(case)
    recorder = record_programs(case, "psp-subscriber")
    for auth, outcome in ((hmac_options(to_broadcaster=OTHER_SECRET), "disconnected"), ([], "disconnected"),
                          (hmac_options(to_subscriber=OTHER_SECRET), "bad_auth")):
        subscriber = Program(case, "psp-subscriber", "--broadcaster", broadcaster.url, "--ws", "--exact", "t", "--retries", "2", *auth)
        assert subscriber.process.wait() == 1
        assert [c["outcome"] for c in subscriber.log("connection")] == [outcome] * 2
        assert b"refused subscribe exact t outcome=retries_exhausted" in subscriber.process.out
        assert b"no broadcaster took the connection" in subscriber.process.err
    session = recorder.stop()
    tables = [[(0, "stateful_session", "error", "retries_exhausted")] + [(1, "connection", "error", outcome)] * 2
              for outcome in ("disconnected", "disconnected", "bad_auth")]
    check_tables(session, *tables, *[[(0, "stateful_subscribe_exact", "error", "connection_lost")]] * 3)
    for trace in session.with_root("stay connected"):
        assert [e for e in events(trace.spans[0])] == ["start", "waiting_to_retry", "retries_exhausted"]
    session.check_no_loss()
    harness.check_accepts(session)


def test_who_is_no_broadcaster_is_given_up(case):
    broadcaster = start_broadcaster(case)
    other = start_subscriber(case, broadcaster)  # answers HTTP, but knows no web sockets
    recorder = record_programs(case, "psp-notify")
    sender = Program(case, "psp-notify", "--broadcaster", other.url, *HMAC, "--ws", "--retries", "1", "t", "hello")
    assert sender.process.wait() == 1
    assert (only(sender.log("connection"))["outcome"], only(sender.log("publish"))["outcome"]) == ("connect_failed", "retries_exhausted")
    assert b"reason=abandoned" in sender.process.out
    session = recorder.stop()
    check_tables(session, [(0, "stateful_session", "error", "retries_exhausted"), (1, "connection", "error", "connect_failed")],
                 [(0, "stateful_notify", "error", "abandoned")])
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_subscriber_that_is_killed_leaves_its_session_open(case):
    broadcaster = start_broadcaster(case)
    recorder = record_programs(case, "psp-subscriber")
    subscriber = start_connected(case, broadcaster, "--exact", "t")
    subscriber.stop(signal.SIGKILL)
    session = recorder.stop()
    trace = only(session.with_root("stay connected"))
    assert "incomplete" in trace.marks(), trace
    assert only(session.with_root("subscribe t")).table()[0] == (0, "stateful_subscribe_exact", "ok", None)
    session.check_no_loss()
    harness.check_accepts(session, process_exited=1)


harness.main(globals())

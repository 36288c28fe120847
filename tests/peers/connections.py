#!/usr/bin/python3
"""What the real lonelypsc shows of itself over a web socket, from its start to its end: at the C broadcaster, at the real
lonelypss, and at broadcasters that refuse it or are gone."""
import os

import peers  # first: it shows where the others are

import harness
from pubsub import OTHER_SECRET, Recorder, attribute, check_link, events, post, start_broadcaster, v16

peers.require()

MIB = 1 << 20
CHANGED = "SELECT 1 FROM span WHERE operation = ? AND status <> 'unset'"
PUBLISHED = [(0, "stateful_notify", "ok", None), (1, "attempt", "ok", None), (2, "handle_stateful_notify", "ok", None),
             (3, "deliver", "ok", None), (4, "receive_for_websockets", "ok", "200"), (5, "queue", "ok", None),
             (6, "stateful_deliver", "ok", None), (7, "stateful_receive", "ok", None), (8, "handler", "ok", None)]


def record(case, broadcaster, *args):
    """A recorder that sees clients from their start."""
    return Recorder(case, [broadcaster], "-e", peers.module(), *args)


def start_python(case, auth="none"):
    return peers.start_broadcaster(case, auth=auth)


def start_c(case, *args, auth="none"):
    return start_broadcaster(case, *args, auth=peers.c_auth(auth))


def connect(case, broadcaster, *args, auth="none"):
    return peers.start_client(case, broadcaster, "--websocket", *args, auth=auth)


def spans(session, operation):
    """Those of an operation itself, in their order."""
    return sorted((s for t in session.traces for s in t.find(operation=operation) if s["parent_id"] not in t.by_id or
                   t.by_id[s["parent_id"]]["operation"] != operation), key=lambda s: s["start_ns"])


def values(span, event, name):
    return [e["attributes"]["lonelypsp." + name] for e in span["events"] if e["name"] == event]


def connections(session):
    """The one session's connections, each with its events."""
    trace, = session.with_root("stay connected")
    return [(s["status"], s["code"], events(s)) for s in sorted(trace.find("connection to "), key=lambda s: s["start_ns"])]


def check_clean(case, session):
    peers.check_whole(session)
    assert harness.check(case, session.path)["findings"] == []


OPENED = ["connecting", "connected", "sending_configure", "configure_sent", "confirm_configure_accepted"]


# ---- all of it, joined to the other side ----------------------------------------------------------------


def start_with_preset(case):
    """A C broadcaster with the clients' dictionary."""
    with open(case.path("preset"), "wb") as f:
        f.write(bytes(range(97, 123)) * 64)
    return start_c(case, "--zstd-preset", "2:5=" + case.path("preset"), auth="hmac")


def record_all(case):
    broadcaster = start_with_preset(case)
    recorder = record(case, broadcaster)
    client = connect(case, broadcaster, "--exact", "a/b", "--compression", auth="hmac")
    recorder.read_until(CHANGED, "stateful_subscribe_exact")
    for size in (5, 100000, 8 * MIB):
        client.publish("a/b", size)
        client.check_received("a/b", size)
    for change in ("subscribe_glob", "unsubscribe_glob"):
        client.ask(change + " a/*", "^done$")
        recorder.read_until(CHANGED, "stateful_" + change)
    client.quit()
    session = recorder.stop()
    check_clean(case, session)
    return session


def test_a_connection_and_all_that_passes_over_it(case):
    session = record_all(case)
    check_connection(session)
    check_compressors(session)
    check_changes(session)
    published = sorted(session.with_root("publish "), key=lambda t: t.line["start_ns"])
    assert [attribute(t.roots()[0], "messaging.message.body.size") for t in published] == [5, 100000, 8 * MIB]
    for trace, steps, sending, unpacked in zip(
            published, ["compressor_skipped", "compressed", "compressed"],
            ["sending_notify", "sending_notify", "sending_first_part"], ["compressor_skipped", "decompressed", "decompressed"]):
        check_published(trace, steps, sending, unpacked)


def check_connection(session):
    trace, = session.with_root("stay connected")
    root, connection = trace.only("stay connected"), trace.only("connection to ")
    handle = trace.only("keep a connection")
    assert (root["status"], root["code"], events(root)) == ("ok", "cancelled", ["start", "cancelled"])
    assert (connection["status"], [e for e in events(connection) if e != "state_changed" and e != "stable"]) == \
        ("ok", OPENED + ["cancel_requested", "closed"])
    assert values(connection, "sending_configure", "initial_dict") == [2]
    assert values(connection, "confirm_configure_accepted", "connection") == values(handle, "sending_confirm_configure", "connection")
    # the other nonces agree
    check_link(trace, connection, handle, "subscriber_nonce", "exact", "connection_nonce")


def check_compressors(session):
    trace, = session.with_root("stay connected")
    used = sorted(trace.find("use compressor "), key=lambda s: s["name"])
    assert [(s["name"], s["status"], s["code"], events(s)) for s in used] == \
        [(f"use compressor {n}", "unset", "connection_lost",
          ["enable_received", "auth_accepted", "preparing", "ready", "connection_lost"]) for n in (1, 2)]
    for span in used:  # a part of its own session; the broadcaster's is what it is linked with
        assert [(l["span_id"], l["evidence"], l["grade"], l["also"]) for l in span["links"]] == \
            [(trace.only(span["name"].removeprefix("use "))["span_id"], "trace_context", "exact", "connection_counter")]
    assert values(used[1], "enable_received", "compression_level") == [5]


def check_changes(session):
    for operation in ("stateful_subscribe_exact", "stateful_subscribe_glob", "stateful_unsubscribe_glob"):
        trace, = (t for t in session.traces if t.table()[0][1] == operation)
        assert trace.table() == [(0, operation, "ok", None), (1, "handle_" + operation, "ok", None)]
        root, handle = trace.spans
        check_link(trace, root, handle, "connection_counter", "exact")
        assert [e for e in events(root) if e != "sent"] == ["queued", "sending", "confirmed"]
    # at its end the client leaves its subscription: that is queued, and never sent
    left, = spans(session, "stateful_unsubscribe_exact")
    assert (left["status"], left["code"], events(left)) == ("error", "connection_lost", ["queued", "connection_lost"])


def check_published(trace, steps, sending, unpacked):
    assert trace.table() == PUBLISHED, trace
    root, attempt = trace.only("publish "), trace.only("attempt")
    assert events(root) == ["start_without_hash", "hashed", "queued", steps]
    assert events(attempt) == [sending, "confirm_notify"]
    check_link(trace, attempt, trace.only("handle "), "connection_message", "strong")
    receive = trace.only(operation="stateful_receive", kind="CONSUMER")
    check_link(trace, trace.only(operation="stateful_deliver"), receive, "trace_context", "exact", "connection_message")
    assert events(receive) == ["received", "body_complete", "sending_confirm_receive", "auth_accepted", unpacked, "no_more_handlers"]
    accepted, = (e for e in receive["events"] if e["name"] == "auth_accepted")
    assert accepted["attributes"]["messaging.message.body.size"] == attribute(root, "messaging.message.body.size")


def lengths(span, first, rest):
    """The parts of a message, as one side tells them."""
    return values(span, first, "part_length") + values(span, rest, "part_length")


def test_both_sides_tell_the_same_of_a_large_messages_parts(case):
    broadcaster = start_c(case, auth="hmac")
    recorder = record(case, broadcaster, "--level", "debug")
    client = connect(case, broadcaster, "--exact", "a/b", auth="hmac")
    recorder.read_until(CHANGED, "stateful_subscribe_exact")
    client.publish("a/b", 8 * MIB)
    client.check_received("a/b", 8 * MIB)
    client.quit()
    session = recorder.stop()
    check_clean(case, session)
    trace, = session.with_root("publish ")
    attempt, handle = trace.only("attempt"), trace.only("handle ")
    sent = lengths(attempt, "sending_first_part", "sending_part")
    assert len(sent) == 3 and sum(sent) == 8 * MIB and sent == lengths(handle, "received", "received_part")
    assert values(attempt, "sending_part", "part_offset") == [sent[0], sent[0] + sent[1]]
    assert values(attempt, "part_sent", "part_id") == [0, 1, 2] and values(attempt, "continue_notify", "part_id") == [0, 1]
    deliver, receive = trace.only(operation="stateful_deliver"), trace.only(operation="stateful_receive", kind="CONSUMER")
    came = lengths(receive, "received", "received_part")
    assert len(came) == 3 and sum(came) == 8 * MIB and came == lengths(deliver, "sending_first_part", "sending_part")
    assert [e for e in events(receive) if "part" in e or "continue" in e] == ["sending_continue_receive", "received_part"] * 2


# ---- at the real lonelypss -----------------------------------------------------------------------------


def test_a_missed_message_is_told_to_the_application(case):
    broadcaster = start_python(case)
    recorder = record(case, broadcaster)
    client = connect(case, broadcaster, "--exact", "a/b")
    recorder.read_until(CHANGED, "stateful_subscribe_exact")
    status, _ = post(broadcaster.url + "/v1/missed_for_websockets", v16(b"") + v16(b"a/b"))
    assert status == 200
    recorder.read_until(CHANGED, "handle_stateful_missed")
    client.quit()
    session = recorder.stop()
    check_clean(case, session)
    missed, = spans(session, "handle_stateful_missed")
    assert (missed["name"], missed["status"]) == ("missed a/b", "ok")
    assert events(missed) == ["received", "auth_accepted", "connection_lost", "connection_established"]
    assert values(missed, "auth_accepted", "ctr") == [1]
    assert values(missed, "connection_established", "num_handlers") == [1]


def test_upstreams_counters_go_apart_after_a_large_message_with_hmac(case):
    """lonelypss counts every part, lonelypsc every message: the next message is refused, and lost, and the client connects again."""
    broadcaster = start_python(case, "hmac")
    recorder = record(case, broadcaster)
    client = connect(case, broadcaster, "--exact", "a/b", auth="hmac")
    recorder.read_until(CHANGED, "stateful_subscribe_exact")
    publisher = peers.start_client(case, broadcaster, auth="hmac")
    publisher.publish("a/b", 8 * MIB)
    client.check_received("a/b", 8 * MIB)
    publisher.publish("a/b", 5)
    recorder.read_until("SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'confirmed') = 2")
    client.quit()
    session = recorder.stop()
    check_clean(case, session)
    large, small = spans(session, "stateful_receive")
    assert (large["status"], small["status"], small["code"]) == ("ok", "error", "bad_auth")
    assert values(small, "bad_auth_result", "result") == ["FORBIDDEN"]
    (status, code, first), (_, _, second) = connections(session)
    assert (status, code) == ("error", "protocol_error") and first[-3:] == ["protocol_error", "state_changed", "closed"]
    assert second[:len(OPENED)] == OPENED
    again, = session.with_root("stay connected")
    assert [values(s, "confirm_configure_accepted", "resubscribe_exact")[0] for s in
            sorted(again.find("connection to "), key=lambda s: s["start_ns"])] == [0, 1]
    assert [s["status"] for s in spans(session, "stateful_subscribe_exact")] == ["ok", "ok"]


# ---- broadcasters that refuse, or are gone ---------------------------------------------------------------


def test_a_broadcaster_that_is_gone_in_the_middle(case):
    broadcaster = start_c(case)
    recorder = record(case, broadcaster)
    client = connect(case, broadcaster, "--exact", "a/b")
    recorder.read_until(CHANGED, "stateful_subscribe_exact")
    broadcaster.process.signal(19)  # it takes nothing any more
    client.process.line("publish a/b 5")
    recorder.read_until("SELECT 1 FROM event WHERE name = 'sending_notify'")
    broadcaster.process.signal(9)
    client.process.wait_for("^failed PubSubRequestAmbiguousError$", "out")
    session = recorder.stop()
    assert harness.check(case, session.path)["genuine"] == 0
    publish, = session.with_root("publish ")
    assert publish.table() == [(0, "stateful_notify", "error", "ambiguous"), (1, "attempt", "error", "connection_lost")]
    assert events(publish.spans[0])[-2:] == ["resending", "dropped_sent"]
    found = connections(session)
    assert [(status, code) for status, code, _ in found] == [("error", "disconnected")] + [("error", "connect_failed")] * 3
    trace, = session.with_root("stay connected")
    root, = trace.roots()
    assert (root["status"], root["code"]) == ("error", "retries_exhausted")
    assert events(root) == ["start", "next_broadcaster", "waiting_to_retry", "waiting_to_retry", "retries_exhausted"]
    lost, *failed = sorted(trace.find("connection to "), key=lambda s: s["start_ns"])
    assert values(lost, "closed", "can_retry") == [True] and values(lost, "closed", "unacked") == [1]
    assert [values(s, "connect_failed", "cause") for s in failed] == [[111]] * 3  # refused


def test_a_broadcaster_that_cannot_prove_itself(case):
    broadcaster = start_broadcaster(case, auth=["--auth-to-broadcaster", peers.AUTH["hmac"], "--auth-to-subscriber", "hmac:" + OTHER_SECRET])
    recorder = record(case, broadcaster)
    client = case.start(peers.PYTHON, os.path.join(peers.HERE, "peer_client.py"), "--broadcaster", broadcaster.url, "--websocket",
                        "--auth", peers.AUTH["hmac"], stdin=True)
    recorder.read_until(CHANGED, "stateful_session")
    session = recorder.stop()
    client.stop(9)
    check_clean(case, session)
    assert connections(session) == [("error", "bad_auth", OPENED[:4] + ["bad_auth_result", "closed"])] * 3
    root, = session.with_root("stay connected")[0].roots()
    assert (root["status"], root["code"]) == ("error", "retries_exhausted")


def test_a_broadcaster_that_refuses_the_client(case):
    broadcaster = start_python(case, "token")
    recorder = record(case, broadcaster)
    client = case.start(peers.PYTHON, os.path.join(peers.HERE, "peer_client.py"), "--broadcaster", broadcaster.url, "--websocket",
                        "--auth", "token:another", stdin=True)
    recorder.read_until(CHANGED, "stateful_session")
    session = recorder.stop()
    client.stop(9)
    check_clean(case, session)
    assert connections(session) == [("error", "disconnected", OPENED[:4] + ["disconnected", "closed"])] * 3


harness.main(globals())

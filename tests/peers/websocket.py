#!/usr/bin/python3
"""Real Python subscribers on web sockets of the real lonelypss: deliveries, and what its broadcaster's side shows."""
import peers  # first: it shows where the others are

import harness
from pubsub import Recorder, attribute, check_link, events

peers.require()

MIB = 1 << 20
PUBLISH = [(0, "notify", "ok", None), (1, "attempt", "ok", None), (2, "handle_notify", "ok", "200"), (3, "deliver", "ok", None),
           (4, "receive_for_websockets", "ok", "200")]
SOCKET = [(5, "queue", "ok", None), (6, "stateful_deliver", "ok", None)]
SESSION = [(0, "handle_stateful_session", "ok", None)]
CLOSED = ["accepted", "configure_accepted", "sending_confirm_configure", "disconnected", "receiver_unregistered", "closed"]


def value(span, event, name):
    found, = [e for e in span["events"] if e["name"] == event]
    return found["attributes"]["lonelypsp." + name]


def run(case, auth, kind, pattern, count, size, queued):
    """One message to so many web sockets that subscribe, get it and go; all of it recorded from the start."""
    broadcaster = peers.start_broadcaster(case, auth=auth)
    publisher = peers.start_client(case, broadcaster, auth=auth)
    recorder = Recorder(case, [broadcaster, publisher])
    clients = [peers.start_client(case, broadcaster, "--websocket", "--" + kind, pattern, auth=auth) for _ in range(count)]
    recorder.read_until(f"SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'registered') = {count}")
    publisher.publish("a/b", size, count)
    for client in clients:
        client.check_received("a/b", size)
        client.quit()
    recorder.read_until(f"SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'closed') = {count}")
    session = recorder.stop()
    tables = sorted(str(t.table()) for t in session.traces)
    subscribe = [(0, f"handle_stateful_subscribe_{kind}", "ok", None)]
    assert tables == sorted(map(str, [PUBLISH + SOCKET * count] + [SESSION] * count + [subscribe] * count)), session.traces
    check_message(session, size, queued)
    check_sessions(session, kind)
    peers.check_whole(session)


def check_message(session, size, queued):
    trace, = session.with_root("publish ")
    deliver, receive = trace.only("deliver http"), trace.only("receive ")
    check_link_inside(trace, deliver, receive)
    assert attribute(receive, "messaging.message.body.size") == size
    sockets = trace.find("queue ")
    assert [events(s) for s in sockets] == [queued] * len(sockets)
    connections = {value(s, "sending_confirm_configure", "connection") for t in session.with_root("keep ") for s in t.spans}
    assert {value(s, "websocket_matched", "connection") for s in sockets} == connections and len(connections) == len(sockets)
    assert value(receive, "no_more_websockets", "num_websockets") == len(sockets)


def check_link_inside(trace, parent, child):
    """The broadcaster posts to itself: one process has both ends."""
    assert child["parent_id"] == parent["span_id"]
    assert [(l["evidence"], l["grade"], l["also"]) for l in child["links"]] == [("trace_context", "exact", "message_id")]


def check_sessions(session, kind):
    for trace in session.with_root("keep "):
        span, = trace.spans
        assert events(span) == CLOSED and value(span, "closed", "close_reason") == "DISCONNECTED"
        mine = [s for t in session.with_root("handle subscribe") for s in t.spans
                if value(s, "auth_accepted", "connection") == value(span, "sending_confirm_configure", "connection")]
        assert [(s["operation"], value(s, "auth_accepted", "ctr")) for s in mine] == [(f"handle_stateful_subscribe_{kind}", -1)]
    first = [value(s, "registered", "first_on_broadcaster") for t in session.with_root("handle subscribe") for s in t.spans]
    assert sorted(first) == [False] * (len(first) - 1) + [True]


def test_a_small_message_goes_to_5_web_sockets_by_a_glob_with_hmac(case):
    run(case, "hmac", "glob", "a/*", 5, 1024, ["websocket_matched", "queued_small"])


def test_a_message_of_3_parts_goes_to_one_web_socket_with_token(case):
    run(case, "token", "exact", "a/b", 1, 8 * MIB, ["websocket_matched", "queued_small"])


def test_a_message_beyond_the_spool_is_read_by_5_web_sockets_one_after_the_other(case):
    run(case, "none", "exact", "a/b", 5, 12 * MIB, ["websocket_matched", "queued_large", "large_released"])


def test_subscriptions_change_over_a_connection(case):
    broadcaster = peers.start_broadcaster(case, auth="hmac")
    recorder = Recorder(case, [broadcaster])
    client = peers.start_client(case, broadcaster, "--websocket", auth="hmac")
    for text in ("subscribe_exact a/b", "subscribe_glob a/*", "unsubscribe_exact a/b", "unsubscribe_glob a/*"):
        client.ask(text, "^done$")  # it waits in the client
        recorder.read_until("SELECT 1 FROM span WHERE operation = ? AND status = 'ok'", "handle_stateful_" + text.split()[0])
    client.quit()
    recorder.read_until("SELECT 1 FROM event WHERE name = 'closed'")
    session = recorder.stop()
    traces = sorted((t for t in session.traces if t.line["root"] != "keep a connection"), key=lambda t: t.line["start_ns"])
    assert [t.table() for t in traces] == [[(0, "handle_stateful_" + change, "ok", None)] for change in
                                           ("subscribe_exact", "subscribe_glob", "unsubscribe_exact", "unsubscribe_glob")]
    assert [value(t.spans[0], "auth_accepted", "ctr") for t in traces] == [-1, -2, -3, -4]
    assert events(traces[2].spans[0]) == ["received", "auth_accepted", "deregistered", "sending_confirm"]
    assert value(traces[2].spans[0], "deregistered", "last_on_broadcaster")
    peers.check_whole(session)


def test_a_client_with_a_wrong_secret_is_shown_as_refused(case):
    broadcaster = peers.start_broadcaster(case, auth="token")
    recorder = Recorder(case, [broadcaster])
    client = case.start(peers.PYTHON, peers.HERE + "/peer_client.py", "--broadcaster", broadcaster.url, "--websocket",
                        "--auth", "token:another", stdin=True)
    recorder.read_until("SELECT 1 FROM event WHERE name = 'closed'")
    client.stop(9)
    session = recorder.stop()
    assert session.traces and {str(t.table()) for t in session.traces} == \
        {str([(0, "handle_stateful_session", "error", "BAD_AUTH")])}, session.traces
    assert {str(events(t.spans[0])) for t in session.traces} == {str(["accepted", "bad_auth_result", "closed"])}
    session.check_no_loss()


harness.main(globals())

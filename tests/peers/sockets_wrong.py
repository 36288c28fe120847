#!/usr/bin/python3
"""What the real lonelypss makes of wrong messages over web sockets, and of wrong answers to what it delivers."""
import hashlib
import socket
import threading

import peers  # first: it shows where the others are

import harness
from pubsub import Recorder, events, post, read_message, v8, v16, write_message

peers.require()

NOTIFY, NOTIFY_STREAM, CONFIRM_RECEIVE = 6, 7, 9
RECEIVE_STREAM = 8
TOKEN = b"Bearer a-secret"
MESSAGE = b"the message"


# ---- a web socket by hand: headers with their names, but for what tests say otherwise --------------------


class Socket:
    """A connection that is configured, with these subscriptions."""

    def __init__(self, case, broadcaster, *topics, zstd=False, dictionary=0, auth=b""):
        self.auth = auth
        self.process = case.start(peers.PYTHON, f"{peers.HERE}/peer_frames.py", broadcaster.url.replace("http", "ws") + "/v1/websocket",
                                  stdin=True)
        self.process.wait_for("^ready")
        self.send(1, x_subscriber_nonce=bytes(32), x_enable_zstd=bytes([zstd]), x_enable_training=b"\0",
                  x_initial_dict=bytes([0, dictionary]))
        for topic in topics:
            self.send(2, x_topic=topic)
        for kind in (1, *[2] * len(topics)):
            self.came(kind)

    def send(self, kind, payload=b"", **headers):
        fields = {"authorization": self.auth, "x_tracing": b"", **headers}
        head = b"".join(v16(name.replace("_", "-").encode()) + v16(value) for name, value in fields.items())
        self.process.line("send " + (b"\0\0" + bytes([0, kind]) + len(fields).to_bytes(2, "big") + head + payload).hex())

    def came(self, kind):
        """The next message of this kind."""
        self.process.wait_for(r"^came [0-9a-f]{4}%04x\w*$" % kind, "out")

    def closed(self):
        self.process.wait_for("^closed", "out")


def part(number, payload, first=MESSAGE, compressor=0, length=None, digest=None, identifier=b"1234"):
    """The headers and the payload of a part; first: the whole message as it is sent."""
    headers = {"x_identifier": identifier, "x_part_id": bytes([number])}
    if not number:
        size = len(first).to_bytes(2, "big")
        headers.update(x_topic=b"a/b", x_compressor=bytes([compressor]), x_compressed_length=size,
                       x_decompressed_length=length or size, x_compressed_sha512=digest or hashlib.sha512(first).digest())
    return {"payload": payload, **headers}


def whole(payload, compressor=0, length=None):
    headers = part(0, payload, payload, compressor, length)
    del headers["x_part_id"]
    return headers


def spans(session, operation):
    return sorted((s for t in session.traces for s in t.find(operation=operation)), key=lambda s: s["start_ns"])


def record(case, *parts, kind=NOTIFY_STREAM, options=(), **settings):
    """What it makes of these on a connection that it ends for them: code, steps of the message."""
    broadcaster = peers.start_broadcaster(case, *options)
    recorder = Recorder(case, [broadcaster], "--level", "debug")
    connection = Socket(case, broadcaster, **settings)
    for headers in parts:
        connection.send(kind, **headers)
    connection.closed()
    recorder.read_until("SELECT 1 FROM event WHERE name = 'closed'")
    session = recorder.stop()
    span, = spans(session, "handle_stateful_notify")
    keep, = spans(session, "handle_stateful_session")
    assert span["status"] == "error" and keep["code"] == "PROTOCOL_ERROR", (span, keep)
    refused, = [e["attributes"]["lonelypsp.message_type"] for e in keep["events"] if e["name"] == "protocol_error"]
    assert refused == (NOTIFY_STREAM if span["code"] == "bad_sequence" else 0)
    peers.check_conforms(session)
    return span["code"], events(span)


TOOK_ONE = ["received", "part_accepted", "sending_continue_notify", "received_part"]


def test_a_stream_that_begins_with_its_second_part_is_out_of_sequence(case):
    assert record(case, part(1, MESSAGE)) == ("bad_sequence", ["received", "bad_sequence"])


def test_a_part_left_out_is_out_of_sequence(case):
    assert record(case, part(0, MESSAGE[:3]), part(2, MESSAGE[3:])) == ("bad_sequence", [*TOOK_ONE, "bad_sequence"])


def test_another_message_within_a_stream_is_out_of_sequence(case):
    assert record(case, part(0, MESSAGE[:3]), part(0, MESSAGE, identifier=b"5678")) == ("bad_sequence", [*TOOK_ONE, "bad_sequence"])


def test_more_than_the_first_part_said_is_too_much(case):
    assert record(case, part(0, MESSAGE[:3]), part(1, MESSAGE)) == ("too_much_data", [*TOOK_ONE, "too_much_data"])


def test_another_message_than_was_signed_is_a_mismatch(case):
    assert record(case, part(0, MESSAGE[:3]), part(1, MESSAGE[:3] + MESSAGE[6:])) == \
        ("auth_mismatch", [*TOOK_ONE, "part_accepted", "auth_mismatch"])


def test_a_compressor_that_was_never_offered_is_unknown(case):
    assert record(case, whole(MESSAGE, 7), kind=NOTIFY, options=["--compression"], zstd=True) == \
        ("unknown_compressor", ["received", "part_accepted", "auth_accepted", "unknown_compressor"])


def test_what_is_not_compressed_cannot_be_decompressed(case):
    assert record(case, whole(MESSAGE, 1), kind=NOTIFY, options=["--compression"], zstd=True) == \
        ("bad_decompress", ["received", "part_accepted", "auth_accepted", "bad_decompress"])


def test_the_same_of_streams(case):
    broadcaster = peers.start_broadcaster(case, "--compression")
    recorder = Recorder(case, [broadcaster])
    for headers in (part(0, MESSAGE, compressor=7), part(0, MESSAGE, compressor=1), part(0, MESSAGE, compressor=1, digest=bytes(64))):
        connection = Socket(case, broadcaster, zstd=True)
        connection.send(NOTIFY_STREAM, **headers)
        connection.closed()
    recorder.read_until("SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'closed') = 3")
    session = recorder.stop()
    assert [events(s) for s in spans(session, "handle_stateful_notify")] == [
        ["received", "auth_accepted", "unknown_compressor"], ["received", "auth_accepted", "bad_decompress"],
        ["received", "auth_mismatch"]]
    peers.check_conforms(session)


def test_a_message_waits_for_its_dictionary(case):
    broadcaster = peers.start_broadcaster(case, "--compression", "--dictionary-delay", "2")
    recorder = Recorder(case, [broadcaster])
    connection = Socket(case, broadcaster, zstd=True, dictionary=2)
    connection.send(NOTIFY, **whole(MESSAGE, 2))
    connection.closed()
    recorder.read_until("SELECT 1 FROM event WHERE name = 'closed'")
    session = recorder.stop()
    span, = spans(session, "handle_stateful_notify")
    assert events(span) == ["received", "auth_accepted", "waiting_compressor", "bad_decompress"]
    assert span["end_ns"] - span["start_ns"] > 1e9
    peers.check_conforms(session)


def test_a_preset_that_the_broadcaster_does_not_have_cannot_be_prepared(case):
    broadcaster = peers.start_broadcaster(case, "--compression")
    recorder = Recorder(case, [broadcaster])
    Socket(case, broadcaster, zstd=True, dictionary=9).closed()
    recorder.read_until("SELECT 1 FROM event WHERE name = 'closed'")
    session = recorder.stop()
    offer, = [s for s in spans(session, "compressor") if s["name"] == "compressor 9"]
    assert (offer["status"], offer["code"], events(offer)) == ("error", "prepare_failed", ["preparing", "prepare_failed"])
    assert spans(session, "handle_stateful_session")[0]["code"] == "PROTOCOL_ERROR"
    peers.check_conforms(session)


def test_a_publisher_that_goes_in_the_middle_of_a_stream_is_lost(case):
    broadcaster = peers.start_broadcaster(case)
    recorder = Recorder(case, [broadcaster])
    connection = Socket(case, broadcaster)
    connection.send(NOTIFY_STREAM, **part(0, MESSAGE[:3]))
    connection.came(7)  # go on
    connection.process.line("quit")
    recorder.read_until("SELECT 1 FROM event WHERE name = 'closed'")
    session = recorder.stop()
    span, = spans(session, "handle_stateful_notify")
    assert (span["code"], events(span)) == ("connection_lost", ["received", "connection_lost"])
    assert spans(session, "handle_stateful_session")[0]["status"] == "ok"
    peers.check_conforms(session)


def test_a_message_with_a_wrong_token_is_refused_and_joins_nothing(case):
    broadcaster = peers.start_broadcaster(case, auth="token")
    recorder = Recorder(case, [broadcaster])
    connection = Socket(case, broadcaster, auth=TOKEN)
    connection.auth = b"Bearer another"
    connection.send(NOTIFY, **whole(MESSAGE))
    connection.closed()
    recorder.read_until("SELECT 1 FROM event WHERE name = 'closed'")
    session = recorder.stop()
    span, = spans(session, "handle_stateful_notify")
    assert (span["code"], events(span), span["links"]) == ("bad_auth", ["received", "bad_auth_result"], [])
    peers.check_conforms(session)


def test_an_answer_that_is_not_due_and_one_with_a_wrong_token_fail_the_delivery(case):
    broadcaster = peers.start_broadcaster(case, auth="token")
    recorder = Recorder(case, [broadcaster])
    publisher = peers.start_client(case, broadcaster, auth="token")
    for auth, identifier in ((TOKEN, b"none"), (b"Bearer another", None)):
        connection = Socket(case, broadcaster, b"a/b", auth=TOKEN)
        publisher.publish("a/b", 5)
        head = connection.process.wait_for(r"^came ([0-9a-f]{4}0008\w*)$", "out").group(1)
        connection.auth = auth
        # minimal headers: authorization, tracing, identifier
        due = bytes.fromhex(head.decode())[4 + 2 + len(TOKEN) + 2 + 2:][:4]
        connection.send(CONFIRM_RECEIVE, x_identifier=identifier or due, x_num_subscribers=b"\1")
        connection.closed()
    recorder.read_until("SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'closed') = 2")
    session = recorder.stop()
    sent = ["queued", "compressor_skipped", "sending_first_part"]
    assert [(s["status"], s["code"], events(s)) for s in spans(session, "stateful_deliver")] == [
        ("error", "ack_mismatch", [*sent, "ack_mismatch"]), ("error", "bad_auth", [*sent, "bad_auth_result"])]
    peers.check_conforms(session)


def test_a_delivery_is_lost_when_its_connection_ends_for_something_else(case):
    broadcaster = peers.start_broadcaster(case)
    recorder = Recorder(case, [broadcaster])
    publisher = peers.start_client(case, broadcaster)
    connection = Socket(case, broadcaster, b"a/b")
    publisher.publish("a/b", 5)
    connection.came(RECEIVE_STREAM)
    connection.send(NOTIFY_STREAM, **part(1, MESSAGE))
    connection.closed()
    recorder.read_until("SELECT 1 FROM event WHERE name = 'closed'")
    session = recorder.stop()
    assert [(s["code"], events(s)[-1]) for s in spans(session, "stateful_deliver")] == [("connection_lost", "connection_lost")]
    assert [s["code"] for s in spans(session, "handle_stateful_notify")] == ["bad_sequence"]
    peers.check_conforms(session)


def test_a_connection_for_which_too_much_waits_is_ended(case):
    broadcaster = peers.start_broadcaster(case, "--pending-max", "2")
    recorder = Recorder(case, [broadcaster])
    publisher = peers.start_client(case, broadcaster)
    connection = Socket(case, broadcaster, b"a/b")
    for size in range(1, 8):  # 3 go, and one more waits to be sent until these are confirmed
        publisher.publish("a/b", size)
    connection.closed()
    recorder.read_until("SELECT 1 FROM event WHERE name = 'closed'")
    session = recorder.stop()
    keep, = spans(session, "handle_stateful_session")
    assert (keep["status"], keep["code"], events(keep)[-3:]) == \
        ("error", "PENDING_SENDS_FULL", ["pending_sends_full", "receiver_unregistered", "closed"])
    assert [s["code"] for s in spans(session, "stateful_deliver")] == ["connection_lost"] * 7
    peers.check_conforms(session)


def test_a_connection_of_which_too_much_has_come_is_ended(case):
    broadcaster, subscribers = peers.start_broadcaster(case, "--unprocessed-max", "2"), Subscribers()
    subscribe(broadcaster, subscribers.url + "/takes-its-time", "")
    recorder = Recorder(case, [broadcaster])
    connection = Socket(case, broadcaster)
    connection.send(NOTIFY, **whole(MESSAGE))
    assert subscribers.asked.wait(harness.PATIENCE)
    for topic in (b"1", b"2", b"3"):
        connection.send(2, x_topic=topic)
    connection.closed()
    recorder.read_until("SELECT 1 FROM event WHERE name = 'closed'")
    session = recorder.stop()
    subscribers.patience.set()
    subscribers.server.close()
    keep, = spans(session, "handle_stateful_session")
    assert (keep["status"], keep["code"], events(keep)[-3:]) == \
        ("error", "UNPROCESSED_FULL", ["unprocessed_full", "receiver_unregistered", "closed"])
    handle, = session.with_root("handle a/b")
    assert handle.table() == [(0, "handle_stateful_notify", "error", None), (1, "deliver", "error", None)], handle.table()
    peers.check_conforms(session)


# ---- the fan-out ---------------------------------------------------------------------------------------


def confirm(identifier, auth):
    return b"\0\x08" + v16(auth) + v16(b"") + v8(identifier) + (1).to_bytes(4, "big")


class Subscribers:
    """Answers each message by the path that it comes to."""

    def __init__(self):
        self.asked, self.patience = threading.Event(), threading.Event()  # of /takes-its-time
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.server.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as asked:
                line, _, body = read_message(asked)
                topic = 2 + int.from_bytes(body[:2], "big")
                at = topic + 2 + int.from_bytes(body[topic:topic + 2], "big")
                identifier = body[at + 1:at + 1 + body[at]]
                path = line.split()[1]
                if path == b"/takes-its-time":
                    self.asked.set()
                    assert self.patience.wait(harness.PATIENCE)
                answer = {b"/takes": confirm(identifier, TOKEN), b"/takes-its-time": confirm(identifier, TOKEN),
                          b"/is-another": confirm(identifier, b"Bearer another"), b"/leaves": b"\0\x0a",
                          b"/talks-junk": b"junk"}[path]
                write_message(connection, b"HTTP/1.1 200 OK\r\n", {"Content-Length": len(answer), "Connection": "close"}, answer)


def subscribe(broadcaster, url, recovery, kind="exact"):
    body = v16(url.encode()) + v16(b"a/*" if kind == "glob" else b"a/b") + v16(recovery.encode()) + v16(b"")
    assert post(f"{broadcaster.url}/v1/subscribe/{kind}", body, TOKEN.decode())[0] == 200


def test_each_delivery_over_http_ends_as_its_subscriber_answers(case):
    broadcaster, subscribers = peers.start_broadcaster(case, auth="token"), Subscribers()
    recovery = subscribers.url + "/recover"
    gone = socket.socket()
    gone.bind(("127.0.0.1", 0))  # and does not listen
    nowhere = "http://127.0.0.1:%d" % gone.getsockname()[1]
    for url in (subscribers.url + "/takes", subscribers.url + "/talks-junk", subscribers.url + "/is-another",
                nowhere + "/refuses"):
        subscribe(broadcaster, url, recovery)
    subscribe(broadcaster, subscribers.url + "/leaves", recovery, "glob")
    subscribe(broadcaster, nowhere + "/has-no-recovery", "")
    publisher = peers.start_client(case, broadcaster, "--websocket", auth="token")
    recorder = Recorder(case, [broadcaster])
    publisher.publish("a/b", 5, 1)
    session = recorder.stop()
    subscribers.server.close()
    trace, = session.with_root("handle a/b")
    missed = ["handle_missed_start", "handle_missed_success"]
    assert [s["name"].rsplit("/", 1)[1] for s in trace.find("deliver ") if events(s)[0] == "glob_subscriber_found"] == ["leaves"]
    assert {s["name"].rsplit("/", 1)[1]: (s["status"], s["code"], events(s)[2:]) for s in trace.find("deliver ")} == {
        "takes": ("ok", None, ["receive_confirmed"]),
        "talks-junk": ("error", "bad_response", ["bad_receive_response", *missed]),
        "is-another": ("error", "bad_auth", ["bad_receive_auth_result", *missed]),
        "refuses": ("error", "network_error", ["network_error", *missed]),
        "leaves": ("unset", "unsubscribed", ["unsubscribe_immediate_requested", "unsubscribe_immediate_success"]),
        "has-no-recovery": ("error", "network_error", ["network_error", "handle_missed_start", "handle_missed_skipped"])}
    assert trace.roots()[0]["status"] == "ok"
    peers.check_conforms(session, "handle_stateful_notify.response_received")


def test_a_message_is_delivered_though_its_publisher_has_gone(case):
    broadcaster, subscribers = peers.start_broadcaster(case), Subscribers()
    subscribe(broadcaster, subscribers.url + "/takes-its-time", "")
    recorder = Recorder(case, [broadcaster])
    publisher = Socket(case, broadcaster)
    publisher.send(NOTIFY, **whole(MESSAGE))
    assert subscribers.asked.wait(harness.PATIENCE)
    publisher.process.line("quit")
    publisher.closed()
    subscribe(broadcaster, subscribers.url + "/takes", "")  # takes longer than to see that
    subscribers.patience.set()
    recorder.read_until("SELECT 1 FROM event WHERE name = 'closed'")
    session = recorder.stop()
    subscribers.server.close()
    trace, = session.with_root("handle a/b")
    assert trace.table() == [(0, "handle_stateful_notify", "ok", None), (1, "deliver", "ok", None)]
    handle, keep = trace.roots()[0], spans(session, "handle_stateful_session")[0]
    assert events(handle)[-1] == "sending_confirm_notify"
    disconnected, = [e["time_ns"] for e in keep["events"] if e["name"] == "disconnected"]
    assert handle["start_ns"] < disconnected < handle["end_ns"]
    peers.check_conforms(session, "handle_stateful_notify.response_received")


harness.main(globals())

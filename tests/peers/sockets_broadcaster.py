#!/usr/bin/python3
"""What the real lonelypss does over web sockets, on its own side: messages, their parts and compressors, news of missed ones."""
import signal

import peers  # first: it shows where the others are

import harness
from pubsub import Recorder, attribute, check_link, events, identifier, post, start_subscriber, v16

peers.require()

MIB = 1 << 20
TAKEN = (0, "handle_stateful_notify", "ok", None)
# A message to one subscriber with a web socket of the same broadcaster, which posts it to itself.
DELIVERED = [TAKEN, (1, "deliver", "ok", None), (2, "receive_for_websockets", "ok", "200"), (3, "queue", "ok", None),
             (4, "stateful_deliver", "ok", None)]


def start_socket(case, broadcaster, recorder, *args, auth="none"):
    """A client on a web socket that gets messages of a/b."""
    client = peers.start_client(case, broadcaster, "--websocket", "--exact", "a/b", *args, auth=auth)
    recorder.read_until("SELECT 1 FROM event WHERE name = 'registered'")
    return client


def quit_all(recorder, *clients):
    for client in clients:
        client.quit()
    recorder.read_until(f"SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'closed') = {len(clients)}")
    return recorder.stop()


def find(session, operation):
    """The spans of this operation, in the order of their begins."""
    return sorted((s for t in session.traces for s in t.find(operation=operation) if events(s)[:1] in (
        ["received"], ["queued"], ["preparing"], ["sampling"], ["accepted"])), key=lambda s: s["start_ns"])


def values(span, event, name):
    """What each of these events says of this."""
    return [e["attributes"]["lonelypsp." + name] for e in span["events"] if e["name"] == event]


def connection_of(session):
    return values(find(session, "handle_stateful_session")[0], "sending_confirm_configure", "connection")[0]


# ---- messages ------------------------------------------------------------------------------------------


def check_message(session, size):
    """One message of a client to itself: who it is from, what it is, and to whom."""
    trace, = session.with_root("handle a/b")
    assert trace.table() == DELIVERED
    handle, deliver, receive, queue, sent = trace.spans
    assert (attribute(handle, "messaging.destination.name"), attribute(handle, "messaging.message.body.size")) == ("a/b", size)
    assert len(bytes.fromhex(identifier(handle))) == 4 and values(handle, "sending_confirm_notify", "num_subscribers") == [1]
    assert len(bytes.fromhex(identifier(deliver))) == 8 and identifier(receive) == identifier(deliver)
    assert [(l["span_id"], l["evidence"], l["grade"], l["also"]) for l in receive["links"]] == \
        [(deliver["span_id"], "message_id", "strong", None)]
    assert [(l["span_id"], l["evidence"], l["grade"], l["also"]) for l in sent["links"]] == \
        [(queue["span_id"], "message_id", "strong", "content")]
    assert (attribute(sent, "messaging.message.body.size"), values(sent, "queued", "source_receive_identifier")) == \
        (size, [identifier(receive)])
    assert len(bytes.fromhex(identifier(sent))) == 4 and values(sent, "receive_confirmed", "num_subscribers") == [1]
    connection = connection_of(session)
    for span, event in ((handle, "received"), (handle, "auth_accepted"), (queue, "websocket_matched"), (sent, "queued"),
                        (sent, "sending_first_part")):
        assert values(span, event, "connection") == [connection], (event, span)
    return handle, sent


def test_a_small_message_is_taken_from_a_web_socket_and_delivered_to_it_with_hmac(case):
    broadcaster = peers.start_broadcaster(case, auth="hmac")
    recorder = Recorder(case, [broadcaster])
    client = start_socket(case, broadcaster, recorder, auth="hmac")
    client.publish("a/b", 100)
    client.check_received("a/b", 100)
    session = quit_all(recorder, client)
    handle, sent = check_message(session, 100)
    assert events(handle) == ["received", "auth_accepted", "compressor_skipped", "no_more_subscribers", "sending_confirm_notify"]
    assert events(sent) == ["queued", "compressor_skipped", "sending_first_part", "receive_confirmed"]
    assert values(handle, "received", "part_length") == values(sent, "sending_first_part", "part_length") == [100]
    assert (values(sent, "sending_first_part", "ctr"), values(sent, "receive_confirmed", "ctr")) == ([1], [-2])
    peers.check_conforms(session, "handle_stateful_notify.response_received")


def test_a_large_message_comes_and_goes_in_parts(case):
    broadcaster = peers.start_broadcaster(case, auth="token")
    recorder = Recorder(case, [broadcaster], "--level", "debug")
    client = start_socket(case, broadcaster, recorder, auth="token")
    client.publish("a/b", 8 * MIB)
    client.check_received("a/b", 8 * MIB)
    session = quit_all(recorder, client)
    handle, sent = check_message(session, 8 * MIB)
    assert events(handle) == ["received", "part_accepted", "sending_continue_notify", "received_part", "part_accepted",
                              "sending_continue_notify", "received_part", "part_accepted", "auth_accepted", "compressor_skipped",
                              "no_more_subscribers", "sending_confirm_notify"]
    taken = values(handle, "received", "part_length") + values(handle, "received_part", "part_length")
    assert sum(taken) == 8 * MIB and all(3 * MIB - 1024 < length < 3 * MIB for length in taken[:2])
    assert values(handle, "part_accepted", "received_so_far") == [taken[0], taken[0] + taken[1], 8 * MIB]
    assert [values(handle, e, "part_id") for e in ("part_accepted", "sending_continue_notify", "received_part")] == \
        [[0, 1, 2], [0, 1], [1, 2]]
    gone = values(sent, "sending_first_part", "part_length") + values(sent, "sending_part", "part_length")
    assert sum(gone) == 8 * MIB and all(3 * MIB - 1024 < length < 3 * MIB for length in gone[:2])
    assert values(sent, "sending_first_part", "ctr") + values(sent, "sending_part", "ctr") == [1, 2, 3]
    assert [values(sent, e, "part_id") for e in ("sending_part", "continue_receive")] == [[1, 2], [0, 1]]
    assert values(sent, "continue_receive", "ctr") + values(sent, "receive_confirmed", "ctr") == [-2, -3, -4]
    assert values(sent, "part_sent", "part_id")[:2] == [0, 1]  # the last one's answer may be faster
    peers.check_conforms(session, "handle_stateful_notify.response_received")


def test_a_message_beyond_the_spool_is_copied_for_a_slow_subscriber(case):
    broadcaster = peers.start_broadcaster(case)
    recorder = Recorder(case, [broadcaster])
    slow = start_socket(case, broadcaster, recorder)
    publisher = peers.start_client(case, broadcaster, "--websocket")
    slow.process.signal(signal.SIGSTOP)
    publisher.publish("a/b", 12 * MIB)  # confirmed when it is copied: nobody has it yet
    slow.process.signal(signal.SIGCONT)
    slow.check_received("a/b", 12 * MIB)
    session = quit_all(recorder, slow, publisher)
    sent, = find(session, "stateful_deliver")
    assert [e for e in events(sent) if e != "ack_slot_waiting"] == \
        ["queued", "compressor_skipped", "sending_first_part", "spooled", "receive_confirmed"]
    queue, = session.with_root("handle a/b")[0].find("queue ")
    assert events(queue) == ["websocket_matched", "queued_large", "large_released"]
    peers.check_conforms(session, "handle_stateful_notify.response_received")


def test_with_3_parts_unconfirmed_the_next_message_waits(case):
    broadcaster = peers.start_broadcaster(case)
    recorder = Recorder(case, [broadcaster])
    slow = start_socket(case, broadcaster, recorder)
    publisher = peers.start_client(case, broadcaster)
    publisher.publish("a/b", 0)
    recorder.read_until("SELECT 1 FROM event WHERE name = 'receive_confirmed'")
    slow.process.signal(signal.SIGSTOP)
    for size in range(1, 6):
        publisher.publish("a/b", size)
    recorder.read_until("SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'queued') = 6")
    slow.process.signal(signal.SIGCONT)
    for size in range(1, 6):
        slow.check_received("a/b", size)
    session = quit_all(recorder, slow)
    sent = find(session, "stateful_deliver")[1:]
    assert [attribute(s, "messaging.message.body.size") for s in sent] == [1, 2, 3, 4, 5]
    assert [("ack_slot_waiting" in events(s)) for s in sent][:4] == [False, False, False, True]
    assert events(sent[3]) == ["queued", "compressor_skipped", "ack_slot_waiting", "sending_first_part", "receive_confirmed"]
    assert values(sent[3], "ack_slot_waiting", "outstanding") == [3]
    peers.check_conforms(session)


def test_what_was_sent_and_what_waits_is_lost_with_the_subscriber(case):
    broadcaster = peers.start_broadcaster(case)
    recorder = Recorder(case, [broadcaster])
    gone = start_socket(case, broadcaster, recorder)
    publisher = peers.start_client(case, broadcaster)
    gone.process.signal(signal.SIGSTOP)
    for size in range(1, 6):
        publisher.publish("a/b", size)
    recorder.read_until("SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'queued') = 5")
    gone.process.signal(signal.SIGKILL)
    gone.process.wait()
    recorder.read_until("SELECT 1 FROM event WHERE name = 'closed'")
    session = recorder.stop()
    sent = find(session, "stateful_deliver")
    assert [(s["status"], s["code"]) for s in sent] == [("error", "connection_lost")] * 5
    begun, waits = ["queued", "compressor_skipped"], ["queued", "connection_lost"]
    assert [events(s) for s in sent] == [[*begun, "sending_first_part", "connection_lost"]] * 3 + \
        [[*begun, "ack_slot_waiting", "connection_lost"], waits]
    peers.check_conforms(session)


def test_a_message_goes_on_to_a_subscriber_over_http(case):
    broadcaster = peers.start_broadcaster(case, auth="hmac")
    subscriber = start_subscriber(case, broadcaster, "--exact", "a/b", auth=peers.c_auth("hmac"))
    recorder = Recorder(case, [broadcaster, subscriber])
    publisher = peers.start_client(case, broadcaster, "--websocket", auth="hmac")
    publisher.publish("a/b", 10)
    subscriber.wait_log("receive")
    session = quit_all(recorder, publisher)
    trace, = session.with_root("handle a/b")
    assert trace.table() == [TAKEN, (1, "deliver", "ok", None), (2, "receive", "ok", "200"), (3, "handler", "ok", None)]
    check_link(trace, trace.only("deliver "), trace.only("receive "), "message_id", "strong")
    peers.check_conforms(session, "handle_stateful_notify.response_received")


def test_a_delivery_that_failed_is_noted_and_told_of(case):
    broadcaster = peers.start_broadcaster(case, "--sweep", "0.5", "--max-retries", "2")
    subscriber = start_subscriber(case, broadcaster, "--exact", "a/b", auth=[])
    subscriber.stop(signal.SIGKILL)
    recorder = Recorder(case, [broadcaster])
    publisher = peers.start_client(case, broadcaster, "--websocket")
    publisher.publish("a/b", 10, 0)
    recorder.read_until("SELECT 1 FROM event WHERE name = 'retries_exhausted'")
    session = quit_all(recorder, publisher)
    trace, = session.with_root("handle a/b")
    deliver = trace.only("deliver ")
    assert (deliver["status"], deliver["code"], events(deliver)[2:]) == \
        ("error", "network_error", ["network_error", "handle_missed_start", "handle_missed_success"])
    told = min((s for t in session.traces for s in t.find("tell ")), key=lambda s: s["start_ns"])
    assert [(l["span_id"], l["evidence"], l["grade"]) for l in told["links"]] == [(deliver["span_id"], "missed_mark", "strong")]
    session.check_no_loss()


# ---- compression ---------------------------------------------------------------------------------------


def test_messages_are_compressed_with_the_preset_both_ways(case):
    broadcaster = peers.start_broadcaster(case, "--compression", auth="hmac")
    recorder = Recorder(case, [broadcaster])
    client = start_socket(case, broadcaster, recorder, "--compression", auth="hmac")
    client.publish("a/b", 20000)
    client.check_received("a/b", 20000)
    session = quit_all(recorder, client)
    handle, sent = check_message(session, 20000)
    assert events(handle) == ["received", "auth_accepted", "decompressed", "no_more_subscribers", "sending_confirm_notify"]
    assert events(sent) == ["queued", "compressed", "sending_first_part", "receive_confirmed"]
    assert values(handle, "received", "compressor") == values(sent, "compressed", "compressor") == [2]
    length, = values(sent, "compressed", "compressed_length")
    assert values(sent, "sending_first_part", "part_length") == values(handle, "received", "part_length") == [length] and length < 100
    keep, = session.with_root("keep a connection")
    lost = ("unset", "connection_lost")
    assert keep.table() == [(0, "handle_stateful_session", "ok", None), (1, "compressor", *lost), (1, "compressor", *lost),
                            (1, "train_compressor", *lost)]
    offers = find(session, "compressor")
    assert [events(s) for s in offers] == [["preparing", "ready", "sending_enable", "connection_lost"]] * 2
    assert [s["name"] for s in offers] == ["compressor 1", "compressor 2"]
    assert [values(s, "preparing", "dictionary") for s in offers] == [["NONE"], ["PRESET"]]
    assert [[values(s, "ready", n)[0] for n in ("compression_level", "min_size", "max_size", "dict_length")] for s in offers] == \
        [[3, 16384, str(2**64 - 1), 0], [5, 32, str(2**64 - 1), 1664]]
    assert [values(s, "sending_enable", "ctr") for s in offers] == [[1], [2]]
    assert events(find(session, "train_compressor")[0]) == ["sampling", "connection_lost"]
    peers.check_conforms(session, "handle_stateful_notify.response_received")


def test_a_large_compressed_message_is_as_long_as_it_was(case):
    broadcaster = peers.start_broadcaster(case, "--compression")
    recorder = Recorder(case, [broadcaster])
    client = start_socket(case, broadcaster, recorder, "--compression")
    client.publish("a/b", 8 * MIB)
    client.check_received("a/b", 8 * MIB)
    session = quit_all(recorder, client)
    handle, sent = check_message(session, 8 * MIB)
    assert "decompressed" in events(handle) and values(sent, "compressed", "compressed_length")[0] < 4096
    peers.check_conforms(session, "handle_stateful_notify.response_received")


def test_dictionaries_that_are_trained_take_each_others_place(case):
    program = case.start(peers.PYTHON, f"{peers.HERE}/peer_training.py", stdin=True)
    program.wait_for("^ready")
    recorder = Recorder(case, [program])
    program.line("")
    program.wait_for("^done$", "out")
    low, high = (int(program.wait_for(rf"^{name} (\d+)$", "out").group(1)) for name in ("low", "high"))
    session = recorder.stop()
    offers, trainings = find(session, "compressor"), find(session, "train_compressor")
    assert [(s["name"], s["status"], events(s)) for s in offers] == [
        ("compressor 1", "unset", ["preparing", "connection_lost"]),
        ("compressor 65536", "ok", ["preparing", "ready", "sending_enable", "rotated_out", "sending_disable"]),
        ("compressor 65537", "unset", ["preparing", "ready", "sending_enable", "connection_lost"])]
    assert [values(s, "preparing", "dictionary") for s in offers] == [["NONE"], ["TRAINED"], ["TRAINED"]]
    assert [values(s, "ready", "dict_length") for s in offers[1:]] == [[low], [high]] and 0 < low < high
    assert (values(offers[1], "sending_enable", "ctr"), values(offers[1], "sending_disable", "ctr")) == ([1], [2])
    assert [(s["status"], events(s)) for s in trainings] == [
        ("ok", ["sampling", "watermark", "trained"]), ("ok", ["sampling", "watermark", "trained"]),
        ("error", ["sampling", "watermark", "train_failed"])]
    assert [[values(s, "watermark", n)[0] for n in ("mark", "num_samples")] for s in trainings] == \
        [["LOW", 1000], ["HIGH", 5000], ["HIGH", 0]]
    assert [values(s, "trained", "dict_length") for s in trainings] == [[low], [high], []]
    enabled, = [e["time_ns"] for e in offers[1]["events"] if e["name"] == "sending_enable"]
    assert trainings[1]["start_ns"] < enabled < trainings[2]["start_ns"]  # samples are kept on behind the first dictionary
    peers.check_conforms(session)


# ---- missed --------------------------------------------------------------------------------------------


def test_a_connection_is_told_what_it_missed(case):
    broadcaster = peers.start_broadcaster(case)
    recorder = Recorder(case, [broadcaster])
    client = start_socket(case, broadcaster, recorder)
    assert post(broadcaster.url + "/v1/missed_for_websockets", v16(b"") + v16(b"a/b"))[0] == 200
    recorder.read_until("SELECT 1 FROM event WHERE name = 'sent'")
    session = quit_all(recorder, client)
    trace, = session.with_root("missed a/b")
    assert trace.table() == [(0, "missed_for_websockets", "ok", "200"), (1, "stateful_missed", "ok", None)]
    news, = find(session, "stateful_missed")
    assert events(news) == ["queued", "sending_missed", "sent"]
    assert (values(news, "sending_missed", "connection"), values(news, "sending_missed", "ctr")) == ([connection_of(session)], [1])
    peers.check_conforms(session)


harness.main(globals())

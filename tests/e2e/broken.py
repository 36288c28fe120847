#!/usr/bin/python3
"""What goes wrong over web sockets, recorded from both sides: stores that are locked, messages that were changed on their way,
dictionaries that are none, ends that are gone."""
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import stat
import threading

import harness
from pubsub import (HMAC, Program, Recorder, attribute, events, post_missed, publish, start_broadcaster, start_publisher,
                    start_subscriber)

CHANGES = [("subscribe", "exact", "t/1"), ("subscribe", "glob", "t/*"), ("unsubscribe", "exact", "u/1"), ("unsubscribe", "glob", "u/*")]
RECEIVE_STREAM, ENABLE_ZSTD_PRESET, MISSED = 8, 9, 12  # messages to the subscriber
MIB = 1 << 20


def start_stored(case):
    """A broadcaster with its subscriptions in a file, apart from the used authorizations."""
    path = case.path("subscriptions.db")
    return start_broadcaster(case, "--db", path, "--replay-db", case.path("replay.db")), path


def start_connected(case, broadcaster, *args):
    subscriber = start_subscriber(case, broadcaster, "--ws", *args, stdin=True)
    subscriber.process.wait_for("^connection receiving", "out")
    return subscriber


@contextlib.contextmanager
def locked(path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


def ends(session, operation):
    """How the operations of this kind ended, in the order of their begins: (status, code, the last step)."""
    spans = sorted((s for t in session.traces for s in t.find(operation=operation) if s["parent_id"] not in t.by_id or
                    t.by_id[s["parent_id"]]["operation"] != operation), key=lambda s: s["start_ns"])
    return [(s["status"], s["code"], events(s)[-1]) for s in spans]


# ---- stores ------------------------------------------------------------------------------------------


def test_a_change_that_cannot_be_stored_ends_the_connection_and_is_made_over_the_next(case):
    broadcaster, path = start_stored(case)
    subscribers = [start_connected(case, broadcaster, "--retries", "5", *(["--" + kind, key] if verb == "unsubscribe" else []))
                   for verb, kind, key in CHANGES]
    recorder = Recorder(case, [broadcaster, *subscribers])
    for (verb, kind, key), subscriber in zip(CHANGES, subscribers):
        with locked(path):
            subscriber.process.line(f"{verb} {kind} {key}")
            broadcaster.wait_log("stateful_" + verb, kind=kind, outcome="unavailable")
        subscriber.process.wait_for("^connection lost\n(.*\n)*connection receiving$", "out")
        subscriber.process.wait_for(f"^{verb}d {kind} ", "out")
        assert subscriber.stop() == 0
    session = recorder.stop()
    for verb, kind, _ in CHANGES:
        assert ("error", "unavailable", "unavailable") in ends(session, f"handle_stateful_{verb}_{kind}"), session.traces
    for kind in ("exact", "glob"):
        assert ("error", "connection_lost", "connection_lost") in ends(session, "stateful_unsubscribe_" + kind), session.traces
    failed = [e for e in ends(session, "handle_stateful_session") if e[0] == "error"]
    assert failed and {code for _, code, _ in failed} == {"BACKGROUND_ERROR"}, failed
    session.check_no_loss()
    harness.check_accepts(session, attach_began_in_the_middle=None)


def test_a_message_whose_subscribers_cannot_be_read_ends_its_connection(case):
    broadcaster, path = start_stored(case)
    publisher = start_publisher(case, broadcaster, "t", "--ws", "--retries", "1")
    publish(publisher, "connects")
    recorder = Recorder(case, [broadcaster, publisher])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("ALTER TABLE subscription_exact RENAME TO away")
        publisher.process.line("comes to nobody")
        publisher.process.wait_for("^failed ", "out")
    session = recorder.stop()
    found = ends(session, "handle_stateful_notify")
    assert found and set(found) == {("error", "unavailable", "unavailable")}, found
    (status, code, last), = ends(session, "stateful_notify")
    assert (status, code, last) == ("error", "ambiguous", "dropped_sent")
    session.check_no_loss()
    harness.check_accepts(session, attach_began_in_the_middle=None)


# ---- on the way ----------------------------------------------------------------------------------------


class Spoiler:
    """Sits between web sockets and a broadcaster; `spoil` is the type of its next message that arrives with another last byte."""

    def __init__(self, broadcaster):
        self.port, self.spoil = broadcaster.port, None
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.server.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self.server.accept()
                far = socket.create_connection(("127.0.0.1", self.port))
                for work, ends_of in ((self.to_broadcaster, (near, far)), (self.to_subscriber, (far, near))):
                    threading.Thread(target=self.relay, args=(work, *ends_of), daemon=True).start()

    @staticmethod
    def relay(work, source, target):
        with contextlib.suppress(OSError):  # either end is gone
            work(source, target)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def to_broadcaster(source, target):
        while data := source.recv(65536):
            target.sendall(data)

    def to_subscriber(self, source, target):
        with source.makefile("rb") as f:
            while line := f.readline():
                target.sendall(line)
                if line == b"\r\n":
                    break
            while head := f.read(2):
                size, more = head[1], {126: 2, 127: 8}.get(head[1], 0)
                length = f.read(more)
                message = bytearray(f.read(int.from_bytes(length, "big") if more else size))
                if self.spoil is not None and message[2:4] == self.spoil.to_bytes(2, "big"):
                    message[-1] ^= 1
                    self.spoil = None
                target.sendall(head + length + message)

    def close(self):
        self.server.close()


def lose_by(subscriber, spoiler, kind, cause):
    """The next message of this type arrives spoilt; until there is another connection."""
    said = len(subscriber.process.out)
    spoiler.spoil = kind
    cause()
    subscriber.process.wait_for("^connection lost\n(.*\n)*connection receiving$", "out", after=said)


def test_messages_that_were_changed_on_the_way_end_the_connection(case):
    broadcaster = start_broadcaster(case)
    spoiler = Spoiler(broadcaster)
    recorder = Recorder(case, [broadcaster], "-e", os.path.join(harness.BUILD, "psp-subscriber"))
    spoiler.spoil = ENABLE_ZSTD_PRESET
    subscriber = start_connected(case, spoiler, "--zstd", "--exact", "t", "--stable-after", "1ms", "--retries", "10")
    subscriber.process.wait_for("^connection lost\n(.*\n)*connection receiving$", "out")
    publisher = start_publisher(case, broadcaster, "t")
    url = broadcaster.url + "/v1/missed_for_websockets"
    lose_by(subscriber, spoiler, MISSED, lambda: post_missed(url, b"t"))
    subscriber.wait_log("subscribe", 2)
    lose_by(subscriber, spoiler, RECEIVE_STREAM, lambda: publish(publisher, "hello"))
    subscriber.wait_log("subscribe", 3)
    sent = publish(publisher, "hello again")
    assert sent["subscribers"] == "1"
    subscriber.wait_log("receive", outcome="ok", sha512=sent["sha512"])
    assert subscriber.stop() == 0
    spoiler.close()
    session = recorder.stop()
    assert [c["outcome"] for c in subscriber.log("connection")] == ["bad_auth", "bad_auth", "hash_mismatch", "cancelled"]
    lost = ("unset", "connection_lost", "connection_lost")
    assert ends(session, "handle_compressor") == [("error", "bad_auth", "bad_auth_result")] + [lost] * 3
    assert ends(session, "handle_stateful_missed") == [("error", "bad_auth", "bad_auth_result")]
    assert [e[:2] for e in ends(session, "stateful_receive")] == [("error", "hash_mismatch"), ("ok", None)]
    connections = [s for t in session.traces for s in t.find("connection to ")]
    assert sorted(str(s["code"]) for s in connections) == ["None"] + ["protocol_error"] * 3, connections
    session.check_no_loss()
    harness.check_accepts(session)


# ---- dictionaries --------------------------------------------------------------------------------------


def write_trainer(folder, body):
    """Another psp-train beside a broadcaster."""
    path = os.path.join(folder, "psp-train")
    with open(path, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\ncat >/dev/null\n" + body + "\n")
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)


def test_a_dictionary_that_cannot_be_made_or_used_is_done_without(case):
    shutil.copy(os.path.join(harness.BUILD, "psp-broadcaster"), case.dir)
    broadcaster = Program(case, case.path("psp-broadcaster"), "--listen", "127.0.0.1:0", *HMAC, "--train-first", "10K",
                          "--train-second", "30K").ready()
    recorder = Recorder(case, [broadcaster])
    subscriber = start_connected(case, broadcaster, "--zstd-training", "--exact", "t")
    publisher = start_publisher(case, broadcaster, "t", "--ws")
    for mark, body in (("low", "exit 1"), ("high", r"printf '\067\244\060\354 is how those of zstd begin'")):
        write_trainer(case.dir, body)
        for i in range(50):
            publish(publisher, f"{mark} {i} " * 100)
            if broadcaster.log("training", mark=mark):
                break
        broadcaster.wait_log("training", mark=mark)
    broadcaster.wait_log("compressor", id=65536)
    sent = publish(publisher, "goes on")
    subscriber.wait_log("receive", sha512=sent["sha512"])
    assert [(t["mark"], t["outcome"]) for t in broadcaster.log("training")] == [("low", "failed"), ("high", "ok")]
    assert publisher.process.wait() == 0 and subscriber.stop() == 0 and broadcaster.stop() == 0
    session = recorder.stop()
    assert [e[:2] for e in ends(session, "train_compressor")] == [("error", "train_failed"), ("ok", None), ("unset", "connection_lost")]
    assert ("error", "prepare_failed", "prepare_failed") in ends(session, "compressor")
    session.check_no_loss()
    harness.check_accepts(session)


# ---- ends that are gone --------------------------------------------------------------------------------


def test_changes_that_a_broadcaster_does_not_answer_end_with_their_connection(case):
    broadcaster = start_broadcaster(case)
    subscriber = start_connected(case, broadcaster, "--exact", "u/1", "--glob", "u/*", "--answer-timeout", "1s",
                                 "--connect-timeout", "1s", "--retries", "1")
    recorder = Recorder(case, [subscriber])
    broadcaster.process.signal(signal.SIGSTOP)
    subscriber.process.line("\n".join(f"{verb} {kind} {key}" for verb, kind, key in CHANGES))
    subscriber.process.wait_for("^connection lost$", "out")
    assert subscriber.process.wait() == 1
    broadcaster.stop(signal.SIGKILL)
    session = recorder.stop()
    for verb, kind, _ in CHANGES:
        found = ends(session, f"stateful_{verb}_{kind}")
        assert found and set(found) == {("error", "connection_lost", "connection_lost")}, found
    assert subscriber.log("connection")[0]["outcome"] == "timeout"
    session.check_no_loss()
    harness.check_accepts(session, attach_began_in_the_middle=1)


def test_what_waits_for_a_subscriber_that_is_killed_is_lost_with_it(case):
    broadcaster = start_broadcaster(case)
    subscriber = start_connected(case, broadcaster, "--exact", "t")
    with open(case.path("big"), "wb") as f:
        f.write(bytes(24 * MIB))
    recorder = Recorder(case, [broadcaster])
    subscriber.process.signal(signal.SIGSTOP)
    sender = case.start("psp-notify", "--broadcaster", broadcaster.url, *HMAC, "--file", case.path("big"), "t")
    broadcaster.wait_log("notify")
    assert post_missed(broadcaster.url + "/v1/missed_for_websockets", b"t")[0] == 200
    subscriber.stop(signal.SIGKILL)
    broadcaster.wait_log("session")
    assert sender.wait() == 0
    session = recorder.stop()
    lost = ("error", "connection_lost", "connection_lost")
    assert ends(session, "stateful_deliver") == [lost] and ends(session, "stateful_missed") == [lost]
    assert [attribute(s, "lonelypsp.connection") for t in session.traces for s in t.find(operation="stateful_missed")] == [None]
    session.check_no_loss()
    harness.check_accepts(session, attach_began_in_the_middle=1)


harness.main(globals())

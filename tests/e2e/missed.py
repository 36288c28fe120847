#!/usr/bin/python3
"""What subscribers missed: marked, told when it is due, confirmed or tried again, recorded."""
import contextlib
import http.server
import signal
import sqlite3
import threading

import harness
from pubsub import (OTHER_SECRET, SECRET, Recorder, check_link, check_tables, check_time, events, hmac_options, post,
                    post_missed, post_receive, post_set, publish, set_body, sign, start_broadcaster, start_publisher, start_subscriber, v16)

FAST = ["--sweep-interval", "50ms", "--missed-factor", "100ms", "--missed-constant", "0ms", "--missed-jitter", "0ms",
        "--connect-timeout", "2s", "--read-timeout", "2s"]
TOPIC = "a/b"


def start_stored(case, *args, **options):
    """A broadcaster that tells soon, with its subscriptions in a file, apart from the used authorizations."""
    path = case.path("subscriptions.db")
    return start_broadcaster(case, "--db", path, "--replay-db", case.path("replay.db"), *FAST, *args, **options), path


def marks(path, kind="exact"):
    """[(url, topic that was missed, attempts, time of the next, locked)] of each subscription, None without a mark"""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT url, missed_topic, missed_attempts, missed_next_retry_at, missed_lock_id IS NOT NULL"
                          f" FROM subscription_{kind} ORDER BY id").fetchall()


class Peer:
    """A subscriber by hand: refuses every message, and answers each MISSED as `answer(topic)` says."""

    def __init__(self, broadcaster, answer, topic=TOPIC):
        self.told = []
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answered = 500, b""
                if self.path == "/recover":
                    peer.told.append((self.headers, body))
                    status, answered = answer(peer)
                with contextlib.suppress(ConnectionError):  # the broadcaster did not wait
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(answered)))
                    self.end_headers()
                    self.wfile.write(answered)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        url, recovery, key = (self.url + "/receive").encode(), (self.url + "/recover").encode(), topic.encode()
        status, _ = post(broadcaster.url + "/v1/subscribe/exact", v16(url) + v16(key) + v16(recovery) + v16(b""),
                         sign(1, v16(url) + v16(recovery) + v16(key)))
        assert status == 200

    def confirm(self, key=SECRET, topic=TOPIC):
        authorization = sign(9, v16(topic.encode()) + v16((self.url + "/recover").encode()), key=key)
        return 200, b"\0\x09" + v16(authorization.encode()) + v16(b"")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def publish_once(case, broadcaster, topic=TOPIC, text="x"):
    p = start_publisher(case, broadcaster, topic)
    entry = publish(p, text)
    assert p.process.wait() == 0
    return entry


MARKED = [(0, "notify", "ok", None), (1, "attempt", "ok", None), (2, "handle_notify", "ok", "200")]


def check_tell(trace, broadcaster, span, entry):
    """A MISSED as the broadcaster's log has it."""
    assert (span["operation"], span["kind"], span["process"]["pid"]) == ("tell_missed", "CLIENT", broadcaster.pid)
    assert span["name"] == f"tell {entry['recovery']} of {entry['topic']}"
    due = span["events"][0]["attributes"]
    assert due["lonelypsp.attempts"] == int(entry["attempts"])
    assert round(due["lonelypsp.next_retry_at"] * 1000) * 1000000 == int(entry["due"])
    check_time(span, entry)


def test_a_subscriber_that_comes_back_is_told_what_it_missed(case):
    broadcaster, path = start_stored(case)
    gone = start_subscriber(case, broadcaster, "--exact", TOPIC)
    publisher = start_publisher(case, broadcaster, TOPIC)
    gone.stop(signal.SIGKILL)
    recorder = Recorder(case, [broadcaster, publisher], "-e", gone.process.argv[0])
    entry = publish(publisher, "x")
    failed = broadcaster.wait_log("missed", count=2, outcome="network_error")
    (url, topic, attempts, _, _), = marks(path)
    assert (url, topic) == (gone.url + "/v1/receive", TOPIC.encode()) and attempts >= 2, attempts
    back = start_subscriber(case, broadcaster, "--listen", f"127.0.0.1:{gone.port}")
    told, = broadcaster.wait_log("missed", outcome="ok")
    back.process.wait_for(r"^missed topic=a/b\nconnection lost\nconnection receiving\n", "out")
    session = recorder.stop()
    assert marks(path) == [(gone.url + "/v1/receive", None, None, None, 0)], "the row stays, without a mark"
    heard, = back.log("missed")
    assert (heard["status"], heard["outcome"], told["release"], told["deleted"]) == ("200", "ok", "ok", "0")
    trace, = [t for t in session.traces if t.find(operation="tell_missed")]
    tells = sorted(trace.find(operation="tell_missed"), key=lambda s: s["start_ns"])
    failed = broadcaster.log("missed", outcome="network_error")
    assert len(tells) == len(failed) + 1
    deliver, = trace.find("deliver ")
    for i, (span, line) in enumerate(zip(tells, [*failed, told])):
        check_tell(trace, broadcaster, span, line)
        before, rule = (deliver, "failed_delivery") if i == 0 else (tells[i - 1], "missed_retry")
        assert [(l["span_id"], l["rule"], l["evidence"], l["grade"]) for l in span["links"]] == \
            [(before["span_id"], rule, "missed_mark", "strong")], (i, span["links"])
    assert [events(s) for s in tells] == [["due", "sending_missed", "network_error", "waiting_to_retry", "release_ok"]] * len(failed) + \
        [["due", "sending_missed", "response_received", "missed_confirmed", "release_ok"]]
    handled = trace.only("missed ")
    check_link(trace, tells[-1], handled, "trace_context", "exact", "recovery_topic")
    assert (handled["name"], handled["kind"], handled["process"]["pid"]) == ("missed " + TOPIC, "SERVER", back.pid)
    assert events(handled) == ["received", "auth_accepted", "connection_lost", "connection_established", "sending_response"]
    check_time(handled, heard)
    sweeps = broadcaster.log("sweep")
    assert [e["due"] for e in sweeps] == ["1"] * len(tells)
    check_tables(session, MARKED + [(3, "deliver", "error", "network_error")] +
                 [(0, "tell_missed", "error", "unconfirmed")] * len(failed) +
                 [(0, "tell_missed", "ok", None), (1, "handle_missed", "ok", "200")],
                 *[[(0, "sweep_missed", "ok", None)]] * len(tells))
    assert entry["subscribers"] == "0"
    session.check_no_loss()
    harness.check_accepts(session)


def test_what_was_missed_is_marked_with_a_time(case):
    broadcaster, path = start_stored(case, "--sweep-interval", "1h", "--missed-constant", "250ms")
    peer = Peer(broadcaster, Peer.confirm)
    publish_once(case, broadcaster)
    delivered, = broadcaster.log("deliver")
    (_, topic, attempts, at, locked), = marks(path)
    assert (delivered["outcome"], topic, attempts, locked) == ("bad_response", TOPIC.encode(), 0, 0)
    assert int(delivered["begin"]) / 1e6 + 349 <= at <= int(delivered["end"]) / 1e6 + 350 + 1000, "100 ms * 2^0 + 250 ms later"
    publish_once(case, broadcaster)
    assert marks(path)[0][3] == at, "the earlier time stays"
    assert not broadcaster.log("missed") and not peer.told
    peer.close()


def check_schedule(entries, delays):
    """Each is due when the one before said, and says the next after these delays in ms."""
    for i, (entry, delay) in enumerate(zip(entries, delays)):
        assert int(entry["attempts"]) == i
        assert int(entry["begin"]) >= int(entry["due"])
        assert (int(entry["retry"]) // 1000000 - delay) * 1000000 in range(int(entry["begin"]) - 1000000, int(entry["end"]) + 1)
        assert entries[i + 1]["due"] == entry["retry"]


def test_attempts_follow_at_growing_times_and_end_without_removing_the_subscription(case):
    broadcaster, path = start_stored(case, "--missed-retries", "5", "--missed-exponent", "2")
    peer = Peer(broadcaster, lambda _: (500, b""))
    recorder = Recorder(case, [broadcaster])
    publish_once(case, broadcaster)
    broadcaster.wait_log("missed", count=5)
    session = recorder.stop()
    entries = broadcaster.log("missed")
    check_schedule(entries, [200, 400, 400, 400])
    assert [(e["outcome"], e["release"], e["deleted"]) for e in entries] == [("bad_response", "ok", "0")] * 5
    assert int(entries[4]["attempts"]) == 4 and "retry" not in entries[4]
    assert marks(path) == [(peer.url + "/receive", None, None, None, 0)]
    spans = sorted((s for t in session.traces for s in t.find(operation="tell_missed")), key=lambda s: s["start_ns"])
    head = ["due", "sending_missed", "response_received", "bad_response"]
    assert [events(s) for s in spans] == [[*head, "waiting_to_retry", "release_ok"]] * 4 + [[*head, "retries_exhausted", "release_ok"]]
    assert [(s["status"], s["code"]) for s in spans] == [("error", "unconfirmed")] * 5
    assert len(peer.told) == 5
    peer.close()
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_subscription_is_removed_after_the_last_attempt_only_if_told_so(case):
    broadcaster, path = start_stored(case, "--missed-retries", "2", "--missed-remove")
    peer = Peer(broadcaster, lambda _: (500, b""))
    other = Peer(broadcaster, lambda p: p.confirm(topic="other"), topic="other")
    publish_once(case, broadcaster)
    broadcaster.wait_log("missed", count=2)
    assert [e["deleted"] for e in broadcaster.log("missed")] == ["0", "1"]
    assert [url for url, *_ in marks(path)] == [other.url + "/receive"]
    publish_once(case, broadcaster, "other")
    broadcaster.wait_log("missed", outcome="ok")
    assert marks(path) == [(other.url + "/receive", None, None, None, 0)], "confirmed: it stays"
    peer.close()
    other.close()


def test_what_a_subscriber_answers_is_judged(case):
    broadcaster, path = start_stored(case, "--missed-base", "1", "--missed-factor", "10ms")
    answers = iter([
        lambda p: p.confirm(OTHER_SECRET),
        lambda p: p.confirm(topic="other"),
        lambda p: (200, b"\0\x09\0\0\0\0"),
        lambda p: (200, p.confirm()[1][:-1]),
        lambda p: (200, p.confirm()[1] + b"x"),
        lambda p: (200, b"\0\x08" + p.confirm()[1][2:]),
        lambda p: (200, b"\0\x0a"),
        lambda p: (302, b""),
        lambda p: (500, p.confirm()[1]),  # only the body counts
    ])
    recorder = Recorder(case, [broadcaster])
    peer = Peer(broadcaster, lambda p: next(answers)(p))
    publish_once(case, broadcaster)
    broadcaster.wait_log("missed", outcome="ok")
    session = recorder.stop()
    outcomes = ["bad_auth"] * 3 + ["bad_response"] * 5 + ["ok"]
    assert [e["outcome"] for e in broadcaster.log("missed")] == outcomes
    spans = sorted((s for t in session.traces for s in t.find(operation="tell_missed")), key=lambda s: s["start_ns"])
    assert [events(s)[3] for s in spans] == ["bad_auth_result"] * 3 + ["bad_response"] * 5 + ["missed_confirmed"]
    assert all(body[2 + body[1]:] == v16(TOPIC.encode()) for _, body in peer.told)
    assert marks(path) == [(peer.url + "/receive", None, None, None, 0)]
    peer.close()
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_locked_database_delays_what_came_of_it_and_never_ends_the_sweeping(case):
    broadcaster, path = start_stored(case, "--missed-lock", "300ms")
    locks = []

    def lock_and_confirm(peer):
        if not locks:
            locks.append(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
            locks[0].execute("BEGIN IMMEDIATE")
        return peer.confirm()

    peer = Peer(broadcaster, lock_and_confirm)
    recorder = Recorder(case, [broadcaster])
    publish_once(case, broadcaster)
    first, = broadcaster.wait_log("missed")
    assert (first["outcome"], first["release"]) == ("ok", "unavailable")
    broadcaster.wait_log("sweep", outcome="unavailable")
    locks[0].close()
    broadcaster.wait_log("missed", release="ok")
    session = recorder.stop()
    entries = broadcaster.log("missed")
    assert [e["release"] for e in entries] == ["unavailable", "ok"] and len(peer.told) == 2
    assert int(entries[1]["begin"]) - int(entries[0]["begin"]) >= 299000000, "the claim holds for its time"
    assert marks(path) == [(peer.url + "/receive", None, None, None, 0)]
    spans = sorted((s for t in session.traces for s in t.find(operation="tell_missed")), key=lambda s: s["start_ns"])
    assert [(s["status"], s["code"], events(s)[-1]) for s in spans] == \
        [("error", "unavailable", "release_unavailable"), ("ok", None, "release_ok")]
    sweeps = [(s["status"], s["code"]) for t in session.traces for s in t.find(operation="sweep_missed")]
    assert ("error", "unavailable") in sweeps and sweeps.count(("ok", None)) == 2, sweeps
    peer.close()
    session.check_no_loss()
    harness.check_accepts(session)


def test_what_is_missed_while_one_is_being_told_is_told_again(case):
    broadcaster, path = start_stored(case)

    def miss_again(peer):
        if len(peer.told) == 1:
            publish_once(case, broadcaster, text="again")
        return peer.confirm()

    peer = Peer(broadcaster, miss_again)
    recorder = Recorder(case, [broadcaster])
    publish_once(case, broadcaster)
    broadcaster.wait_log("missed", release="ok")
    session = recorder.stop()
    assert [(e["outcome"], e["release"], e["attempts"]) for e in broadcaster.log("missed")] == [("ok", "conflict", "0"), ("ok", "ok", "0")]
    spans = sorted((s for t in session.traces for s in t.find(operation="tell_missed")), key=lambda s: s["start_ns"])
    assert [(s["status"], s["code"], events(s)[-1]) for s in spans] == \
        [("ok", "release_conflict", "release_conflict"), ("ok", None, "release_ok")]
    assert marks(path) == [(peer.url + "/receive", None, None, None, 0)]
    peer.close()
    session.check_no_loss()
    harness.check_accepts(session)


def test_who_does_not_want_to_know_any_more_is_not_told(case):
    broadcaster, path = start_stored(case, "--missed-constant", "1s")
    peer = Peer(broadcaster, Peer.confirm)
    recorder = Recorder(case, [broadcaster])
    publish_once(case, broadcaster)
    url = (peer.url + "/receive").encode()
    assert post_set(broadcaster, set_body(url, [(TOPIC.encode(), b"")], []))[0] == 200
    entry, = broadcaster.wait_log("missed")
    session = recorder.stop()
    assert (entry["outcome"], entry["release"], entry["recovery"]) == ("no_recovery", "ok", "") and not peer.told
    assert marks(path) == [(url.decode(), None, None, None, 0)]
    span, = [s for t in session.traces for s in t.find(operation="tell_missed")]
    assert events(span) == ["due", "no_recovery", "release_ok"] and (span["status"], span["code"]) == ("ok", None)
    peer.close()
    session.check_no_loss()
    harness.check_accepts(session)


def test_marks_survive_a_restart_of_the_broadcaster(case):
    broadcaster, path = start_stored(case, "--missed-constant", "200ms")
    answered = threading.Event()
    peer = Peer(broadcaster, lambda p: p.confirm() if answered.wait(harness.PATIENCE) else None)
    publish_once(case, broadcaster)
    while not peer.told:
        pass
    assert broadcaster.stop() == 0  # while the subscriber is being told
    (_, topic, attempts, _, locked), = marks(path)
    assert (topic, attempts, locked) == (TOPIC.encode(), 0, 0), "given back as it was"
    answered.set()
    again = start_broadcaster(case, "--db", path, "--replay-db", case.path("replay.db"), *FAST)
    again.wait_log("missed", release="ok", attempts=0)
    assert marks(path) == [(peer.url + "/receive", None, None, None, 0)]
    peer.close()


def test_a_subscriber_judges_who_tells_it(case):
    broadcaster = start_broadcaster(case)
    replay = case.path("subscriber-replay.db")
    subscriber = start_subscriber(case, broadcaster, "--replay-db", replay)
    url = subscriber.url + "/v1/recover"
    recorder = Recorder(case, [subscriber])
    body = v16(b"") + v16(TOPIC.encode())
    header = sign(11, v16(url.encode()) + v16(TOPIC.encode()))
    assert post_missed(url, TOPIC.encode(), key=None) == (403, b"")
    assert post_missed(url, TOPIC.encode(), key=OTHER_SECRET) == (403, b"")
    assert post_missed(url, TOPIC.encode(), known_as="http://other/v1/recover") == (403, b"")
    assert post(url, body[:-1], header) == (400, b"")
    assert post(url, body + b"x", header) == (400, b"")
    assert post(url, body, header)[0] == 200
    assert post(url, body, header) == (403, b""), "a replay"
    with contextlib.closing(sqlite3.connect(replay, isolation_level=None)) as locked:
        locked.execute("BEGIN IMMEDIATE")
        assert post_missed(url, TOPIC.encode()) == (503, b"")
    session = recorder.stop()
    codes = ["403", "403", "403", "400", "400", "200", "403", "503"]
    assert [e["status"] for e in subscriber.log("missed")] == codes
    check_tables(session, *[[(0, "handle_missed", "ok" if c == "200" else "error", c)] for c in codes])
    assert subscriber.stop() == 0 and subscriber.process.out.count(b"connection receiving\n") == 1
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_subscriber_that_cannot_check_messages_says_so_until_it_can(case):
    broadcaster = start_broadcaster(case)
    replay = case.path("subscriber-replay.db")
    subscriber = start_subscriber(case, broadcaster, "--replay-db", replay)
    url = subscriber.url + "/v1/receive"
    recorder = Recorder(case, [subscriber])
    with contextlib.closing(sqlite3.connect(replay, isolation_level=None)) as locked:
        locked.execute("BEGIN IMMEDIATE")
        assert [post_receive(url, b"t", b"hello", b"%d" % i)[0] for i in range(2)] == [503, 503]
    assert [post_receive(url, b"t", b"hello", b"%d" % i)[0] for i in range(2)] == [200, 200]
    session = recorder.stop()
    assert subscriber.stop() == 0
    assert subscriber.process.out == b"connection lost\nconnection receiving\n", "once each"
    told = [s["events"][2]["attributes"] for t in session.traces for s in t.find(operation="receive")]
    assert sorted(map(str, told)) == sorted(map(str, [
        {"lonelypsp.connection_lost": True}, {"lonelypsp.connection_lost": False},
        {"lonelypsp.connection_established": True}, {"lonelypsp.connection_established": False}])), told
    session.check_no_loss()
    harness.check_accepts(session)


harness.main(globals())

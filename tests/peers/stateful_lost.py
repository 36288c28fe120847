#!/usr/bin/python3
"""Web sockets between C and Python that end: a broadcaster that is killed, a wrong secret, counters that differ."""
import signal

import peers  # first: it shows where the others are
from peers import AUTH, c_auth
from peers_stateful import MIB, PART, CPublisher, CSubscriber, PythonPublisher, PythonSubscriber, brief, everybody, text

import harness
from pubsub import OTHER_SECRET, Program, Recorder, attribute, events, hmac_options, publish, start_broadcaster

peers.require()

CONTEXT = ("trace_context", "exact")
LARGE, SMALL = text(8 * MIB, 3), text(1024, 4)
TWICE = [(0, "stateful_notify", "ok", None), (1, "attempt", "error", "connection_lost"), (1, "attempt", "ok", None)]


def is_c(span):
    return span["process"]["comm"] != "python"


def spans_of(session, operation, pid=None):
    """(trace, span), in the order of their times"""
    found = [(t, s) for t in session.traces for s in t.spans if s["operation"] == operation and pid in (None, s["process"]["pid"])]
    return sorted(found, key=lambda pair: pair[1]["start_ns"])


def restart(case, broadcaster):
    """The real one again, with the same address, who knows nothing of what was before."""
    return peers.start_broadcaster(case, "--db", case.path("again.db"), "--port", str(broadcaster.port), auth="hmac")


# ---- a broadcaster that is killed ----------------------------------------------------------------------


def test_the_real_broadcaster_is_killed_and_found_again_with_all_that_was_wanted(case):
    broadcaster = peers.start_broadcaster(case, auth="hmac")
    recorder = Recorder(case, [], "--level", "debug", "--immediate", *everybody())
    subscriber = Program(case, "psp-subscriber", "--broadcaster", broadcaster.url, "--quiet", "--ws", "--exact", "t",
                         "--glob", "u/*", "--retries", "10", *c_auth("hmac"), stdin=True).ready()
    publisher = CPublisher(case, broadcaster, "t", "hmac", ["--retries", "10", "--in-flight", "3"]).program
    publish(publisher, "first, that the connection is there")
    subscriber.wait_log("receive")
    broadcaster.process.signal(signal.SIGSTOP)  # takes everything, answers nothing
    for command in "subscribe exact v", "unsubscribe glob u/*":
        subscriber.process.line(command)
    for message in b"one", LARGE, b"three":
        publisher.process.line(message)
    recorder.read_until("SELECT 1 FROM event WHERE name = 'sending_first_part'")
    broadcaster.stop(signal.SIGKILL)
    again = restart(case, broadcaster)
    publisher.process.wait_for("(^published .*\n){4}", "out")
    subscriber.process.wait_for("^connection lost\n(.*\n)*connection receiving$", "out")
    recorder.read_until("SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'registered') = 4")
    last = publish(publisher, "last")
    received = subscriber.wait_log("receive", sha512=last["sha512"])
    assert publisher.process.wait() == 0 and subscriber.stop() == 0
    session = recorder.stop()
    assert last["subscribers"] == "1" and received[0]["outcome"] == "ok"
    check_resent(publisher, session)
    check_folded(subscriber, session)
    again.stop()
    session.check_no_loss()
    assert harness.check(case, session.path)["genuine"] == 0


def check_resent(publisher, session):
    """What was not confirmed goes again, from its first part, in its order and with its identifier."""
    first, *entries, last = publisher.log("publish")
    assert [(int(e["bytes"]), e["sha512"]) for e in entries] == [brief(m) for m in (b"one", LARGE, b"three")]
    attempts = publisher.log("attempt")[1:-1]
    lost, resent = [[a for a in attempts if a["outcome"] == outcome] for outcome in ("connection_lost", "ok")]
    assert [a["identifier"] for a in resent] == [e["identifier"] for e in entries]
    assert [a["identifier"] for a in lost] == [e["identifier"] for e in entries[:len(lost)]] and len(lost) >= 2
    assert [a["parts"] for a in resent] == ["1", "3", "1"] and int(lost[1]["parts"]) < 3
    assert {a["connection"] for a in lost}.isdisjoint({a["connection"] for a in resent})
    published = spans_of(session, "stateful_notify", publisher.pid)
    tables = [t.table(s, is_c) for t, s in published if s["name"].startswith("publish ")]
    assert tables[1:1 + len(lost)] == [TWICE] * len(lost), tables
    assert all(table == TWICE[:1] + TWICE[2:] for table in [tables[0], *tables[1 + len(lost):]]), tables


def check_folded(subscriber, session):
    """The change under way counts as made; then all that is wanted is asked for again."""
    assert sorted((s["key"], s["outcome"]) for s in subscriber.log("subscribe")[-2:]) == [("t", "ok"), ("v", "ok")]
    said = [line.split(" status=")[0] for line in subscriber.process.text().splitlines()]
    assert "subscribed exact v outcome=ok" in said and "unsubscribed glob u/* outcome=ok" in said, said
    connections = [s for _, s in spans_of(session, "stateful_session", subscriber.pid) if s["name"].startswith("connection to ")]
    first, last = connections[0], connections[-1]
    assert events(first)[-3:] == ["disconnected", "state_changed", "closed"], events(first)
    counts = [attribute(last, "lonelypsp." + n) for n in ("resubscribe_exact", "resubscribe_glob", "resending")]
    assert counts == [2, 0, 0], counts


def test_the_c_broadcaster_is_killed_and_found_again_by_python_clients(case):
    broadcaster = start_broadcaster(case, "--max-ws-message", PART)
    subscriber = PythonSubscriber(case, broadcaster, "exact", "t", "hmac", [])
    publisher = PythonPublisher(case, broadcaster, "t", "hmac", [])
    broadcaster.wait_log("stateful_subscribe", outcome="ok")
    publisher.publish(SMALL, 1)
    broadcaster.process.signal(signal.SIGSTOP)
    with open(publisher.path, "wb") as f:
        f.write(LARGE)
    publisher.program.process.line(f"publish t @{publisher.path}")
    broadcaster.stop(signal.SIGKILL)
    recorder = Recorder(case, [], "--level", "debug", *everybody())
    again = start_broadcaster(case, "--listen", f"127.0.0.1:{broadcaster.port}", "--max-ws-message", PART)
    delivered = int(again.wait_log("stateful_notify", outcome="ok", bytes=len(LARGE))[0]["subscribers"])  # who was there by then
    again.wait_log("stateful_subscribe", outcome="ok")
    publisher.program.process.wait_for(r"^published \d\n", "out", after=len("published 1\n"))
    publisher.publish(SMALL, 1)
    assert subscriber.received(2 + delivered) == [brief(m) for m in [SMALL] + [LARGE] * delivered + [SMALL]]
    publisher.quit(), subscriber.quit()
    again.wait_log("session", changes=1, notifies=0)
    again.wait_log("session", changes=0, notifies=2)
    assert again.stop() == 0
    session = recorder.stop()
    # lonelypsc resends a large message from where it was, finds that wrong, and begins once more
    assert {s["outcome"] for s in again.log("session")} == {"disconnected"}
    sizes = [attribute(s, "messaging.message.body.size") for _, s in spans_of(session, "handle_stateful_notify")
             if s["name"].startswith("handle ")]
    assert sizes == [len(LARGE), len(SMALL)]
    session.check_no_loss()


# ---- a wrong secret ------------------------------------------------------------------------------------


def test_a_c_client_with_a_wrong_secret_gets_no_connection_to_the_real_broadcaster(case):
    broadcaster = peers.start_broadcaster(case, auth="hmac")
    recorder = Recorder(case, [], *everybody())
    for auth, outcome in ((hmac_options(to_broadcaster=OTHER_SECRET), "disconnected"),
                          (hmac_options(to_subscriber=OTHER_SECRET), "bad_auth")):
        subscriber = Program(case, "psp-subscriber", "--broadcaster", broadcaster.url, "--ws", "--exact", "t", "--retries", "2",
                             *auth)
        assert subscriber.process.wait() == 1
        assert [c["outcome"] for c in subscriber.log("connection")] == [outcome] * 2
        assert b"refused subscribe exact t outcome=retries_exhausted" in subscriber.process.out
    session = recorder.stop()
    connected = [t for t, s in spans_of(session, "stateful_session") if s["name"].startswith("stay ")]
    assert [t.table(wanted=is_c) for t in connected] == [
        [(0, "stateful_session", "error", "retries_exhausted")] + [(1, "connection", "error", outcome)] * 2
        for outcome in ("disconnected", "bad_auth")], connected
    # who does not prove who it is joins no trace; the broadcaster does, and the subscriber's context is in its own
    assert [t.find(operation="handle_stateful_session") for t in connected][0] == []
    taken = spans_of(session, "handle_stateful_session")
    assert [(s["status"], s["code"]) for _, s in taken] == [("error", "BAD_AUTH")] * 2 + [("ok", None)] * 2
    for trace, span in taken[2:]:
        assert trace.id == connected[1].id and [(l["evidence"], l["grade"]) for l in span["links"]] == [CONTEXT], trace
    session.check_no_loss()


def test_a_python_client_with_a_wrong_secret_is_counted_by_the_c_broadcaster(case):
    broadcaster = start_broadcaster(case, "--stats")
    client = case.start(peers.PYTHON, peers.HERE + "/peer_client.py", "--broadcaster", broadcaster.url, "--websocket", "--auth",
                        "hmac:" + OTHER_SECRET, stdin=True)
    assert broadcaster.wait_log("session", 2, outcome="bad_auth", why="forbidden")
    client.stop(signal.SIGKILL)
    count = len(broadcaster.log("session"))
    assert broadcaster.stop() == 0
    assert f"connections={count} bad_auth={count}\n".encode() in broadcaster.process.err


# ---- what is counted of a message in parts -------------------------------------------------------------


def test_a_subscriber_that_was_told_wrong_loses_the_message_in_parts_and_nothing_else(case):
    """lonelypss counts parts, by default a subscriber learns so."""
    broadcaster = peers.start_broadcaster(case, auth="hmac")
    recorder = Recorder(case, [], *everybody())
    told = {what: CSubscriber(case, broadcaster, "exact", "t", "hmac", ["--stream-counter", what]) for what in ("part", "message")}
    recorder.read_until("SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'registered') = 2")
    publisher = PythonPublisher(case, broadcaster, "t", "hmac", [])
    publisher.publish(SMALL, 2)
    publisher.publish(LARGE, 2)
    recorder.read_until("SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'registered') = 3")
    publisher.publish(SMALL, 2)
    assert told["part"].received(3) == [brief(SMALL), brief(LARGE), brief(SMALL)]
    assert told["message"].received(3) == [brief(SMALL), brief(SMALL)]
    wrong = told["message"].program.log("receive")[1]
    assert (wrong["outcome"], wrong["parts"]) == ("bad_auth", "3")
    for s in told.values():
        s.quit()
    session = recorder.stop()
    assert [c["outcome"] for c in told["part"].program.log("connection")] == ["cancelled"]
    assert [c["outcome"] for c in told["message"].program.log("connection")] == ["bad_auth", "cancelled"]
    refused, = [s for _, s in spans_of(session, "stateful_receive", told["message"].pid) if s["status"] == "error"]
    assert (refused["code"], events(refused)[-1]) == ("bad_auth", "bad_auth_result")
    session.check_no_loss()


def lose_one(case, broadcaster, recorder):
    """A real subscriber gets a message in parts, and not the one behind it; then it is there again."""
    subscriber = PythonSubscriber(case, broadcaster, "exact", "t", "hmac", [])
    recorder.read_until("SELECT 1 FROM event WHERE name = 'registered'")
    publisher = CPublisher(case, broadcaster, "t", "hmac", [])
    publisher.publish(LARGE, 1)
    subscriber.received(1)
    publisher.publish(b"lost", 1)
    recorder.read_until("SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'registered') = 2")
    publisher.publish(SMALL, 1)
    assert subscriber.received(2) == [brief(LARGE), brief(SMALL)]
    subscriber.quit(), publisher.quit()


def test_a_real_subscriber_loses_a_message_where_parts_are_counted(case):
    """So does lonelypss, whose subscribers are."""
    recorder = Recorder(case, [], *everybody())
    lose_one(case, peers.start_broadcaster(case, auth="hmac"), recorder)
    recorder.stop().check_no_loss()


def test_a_broadcaster_that_is_told_to_counts_parts_and_its_real_subscriber_goes(case):
    recorder = Recorder(case, [], *everybody())
    broadcaster = start_broadcaster(case, "--max-ws-message", PART, "--stream-counter", "part")
    lose_one(case, broadcaster, recorder)
    assert broadcaster.stop() == 0
    recorder.stop().check_no_loss()


harness.main(globals())

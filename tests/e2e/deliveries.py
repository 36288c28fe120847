#!/usr/bin/python3
"""`outspan deliveries`, held against what the programs' own logs say of every delivery. Prints TAP; needs root and BPF."""
import json
import signal

import harness
from pubsub import OTHER_SECRET, Recorder, hmac_options, publish, start_broadcaster, start_publisher, start_subscriber

MESSAGES = 7
REASONS = {"ok": None, "network_error": "network_error", "timeout": "network_error", "bad_auth": "bad_auth", "unsubscribed": "unsubscribed"}
FIELDS = ["subscriber", "found", "state", "reason", "receipts", "receipt", "is_confirmed", "again"]


class Shift:
    """A publisher and a broadcaster with subscribers of every kind: fine, twice subscribed, dead, and refusing."""

    def __init__(self, case):
        self.broadcaster = start_broadcaster(case)
        self.fine = start_subscriber(case, self.broadcaster, "--exact", "a/b")
        self.twice = start_subscriber(case, self.broadcaster, "--exact", "a/b", "--glob", "a/*")
        self.dead = start_subscriber(case, self.broadcaster, "--glob", "a/?", "--keep")
        refusing = start_subscriber(case, self.broadcaster, "--exact", "a/b", "--keep")
        assert self.dead.stop() == 0 and refusing.stop() == 0
        self.refusing = start_subscriber(case, self.broadcaster, "--listen", f"127.0.0.1:{refusing.port}",
                                         auth=hmac_options(to_subscriber=OTHER_SECRET))
        self.publisher = start_publisher(case, self.broadcaster, "a/b")
        self.subscribers = [self.fine, self.twice, self.refusing]

    def expected(self, entry, recorded):
        """What the logs say of one message: a row of FIELDS per delivery, in the broadcaster's order."""
        rows, had = [], set()
        known = {s.url + "/v1/receive" for s in recorded if s.log("receive", outcome="ok")}
        for d in self.broadcaster.log("deliver", notify=entry["identifier"]):
            receipts = sum(len(s.log("receive", identifier=d["identifier"], outcome="ok")) for s in recorded)
            delivered = bool(receipts or d["outcome"] == "ok")
            receipt = "seen" if receipts else "none" if d["url"] in known else "unrecorded"
            rows.append([d["url"], d["kind"], "delivered" if delivered else "missing", REASONS[d["outcome"]], receipts, receipt,
                         d["outcome"] == "ok", delivered and d["url"] in had])
            had |= {d["url"]} if delivered else set()
        return rows


def told(case, session, *options, status=0):
    """The messages and the sums that the command tells."""
    *messages, last = map(json.loads, case.run("outspan", "deliveries", "--json", session.path, *options, status=status).text().splitlines())
    return messages, last["sums"]


def check(case, shift, session, entries, recorded):
    messages, sums = told(case, session)
    rows = [shift.expected(entry, recorded) for entry in entries]
    assert [[[d[f] for f in FIELDS] for d in m["deliveries"]] for m in messages] == rows, (messages, rows)
    assert all(m["messaging.destination.name"] == "a/b" and not m["failed"] for m in messages)
    every = [row for message in rows for row in message]
    assert len(rows[0]) == 5 and len(rows[1]) == 4, rows  # the one that refuses is unsubscribed by the first
    assert sums["messages"] == MESSAGES and sums["deliveries"] == len(every)
    assert sums["delivered"] == sum(r[2] == "delivered" for r in every) == 3 * MESSAGES
    assert sums["missing"] == MESSAGES + 1 and sums["reasons"] == {"network_error": MESSAGES, "unsubscribed": 1}, sums
    assert sums["again"] == MESSAGES and sums["with_confirmation"] == 3 * MESSAGES
    assert sums["with_receipt"] == sum(r[4] for r in every), sums
    return sums


def test_every_delivery_is_told_as_the_logs_have_it(case):
    shift = Shift(case)
    recorder = Recorder(case, [shift.broadcaster, shift.publisher, *shift.subscribers])
    entries = [publish(shift.publisher, f"message {n}") for n in range(MESSAGES)]
    session = recorder.stop()
    harness.check_accepts(session)
    sums = check(case, shift, session, entries, shift.subscribers)
    assert sums["with_receipt"] == 3 * MESSAGES and sums["unknown"] == sums["open"] == 0
    missing, again = told(case, session, "--missing", status=1)
    assert again == sums
    assert sorted({d["subscriber"] for m in missing for d in m["deliveries"]}) == \
        sorted(s.url + "/v1/receive" for s in (shift.dead, shift.refusing))
    assert told(case, session, "--topic", "a/[!b]", "--missing") == ([], {**dict.fromkeys(sums, 0), "reasons": {}})


def test_receivers_that_nobody_records_are_told_as_such(case):
    shift = Shift(case)
    recorder = Recorder(case, [shift.broadcaster, shift.publisher])
    entries = [publish(shift.publisher, f"message {n}") for n in range(MESSAGES)]
    session = recorder.stop()
    harness.check_accepts(session)
    sums = check(case, shift, session, entries, [])
    assert sums["with_receipt"] == 0
    text = case.run("outspan", "deliveries", session.path).text()
    assert text.count("receiver not recorded") == sums["deliveries"] and "not received" not in text, text


def test_a_message_that_comes_to_nobody_is_missing(case):
    broadcaster = start_broadcaster(case)
    heard, unheard = start_publisher(case, broadcaster, "quiet"), start_publisher(case, broadcaster, "wrong", "--retries", "1", auth=[])
    recorder = Recorder(case, [broadcaster, heard, unheard])
    publish(heard, "nobody wants it")
    publish(unheard, "nobody may have it", "failed")
    session = recorder.stop()
    harness.check_accepts(session)
    messages, sums = told(case, session, "--missing", status=1)
    assert [(m["name"], m["failed"], m["code"]) for m in messages] == [("publish wrong", True, "retries_exhausted")], messages
    assert (sums["messages"], sums["failed"], sums["deliveries"]) == (2, 1, 0), sums
    text = case.run("outspan", "deliveries", session.path).text()
    assert "nobody is subscribed" in text and "failed: retries_exhausted" in text, text


def websocket_subscriber(case, broadcaster, *args):
    subscriber = start_subscriber(case, broadcaster, "--ws", *args)
    subscriber.process.wait_for("^connection receiving", "out")
    return subscriber


def test_web_sockets_behind_the_broadcaster_count_one_by_one(case):
    broadcaster = start_broadcaster(case)
    fine, both, killed = (websocket_subscriber(case, broadcaster, *wants) for wants in
                          (["--exact", "a/b"], ["--exact", "a/b", "--glob", "a/*"], ["--glob", "a/?"]))
    http = start_subscriber(case, broadcaster, "--exact", "a/b")
    publisher = start_publisher(case, broadcaster, "a/b", "--ws")
    recorder = Recorder(case, [broadcaster, fine, both, killed, http, publisher])
    publish(publisher, "reaches all")
    connections = {s: s.wait_log("receive")[0]["connection"] for s in (fine, both, killed)}
    broadcaster.wait_log("stateful_deliver", 3)
    killed.process.popen.send_signal(signal.SIGSTOP)
    publish(publisher, "does not reach one")
    broadcaster.wait_log("stateful_deliver", 5)
    killed.stop(signal.SIGKILL)
    broadcaster.wait_log("stateful_deliver", 6)
    session = recorder.stop()
    harness.check_accepts(session, attach_began_in_the_middle=1)
    messages, sums = told(case, session)
    own, reached = broadcaster.url + "/v1/receive_for_websockets", ["delivered", None, 1, "seen", True, False]
    for message, last in zip(messages, (reached, ["missing", "connection_lost", 0, "none", False, False]), strict=True):
        assert sorted([d[f] for f in FIELDS] + [d["relay"]] for d in message["deliveries"]) == sorted([
            [own, "exact", *reached, True], [http.url + "/v1/receive", "exact", *reached, False],
            *([connections[s], "websocket", *reached, False] for s in (fine, both)),
            [connections[killed], "websocket", *last, False]]), message
    assert (sums["messages"], sums["deliveries"], sums["relays"], sums["again"]) == (2, 8, 2, 0), sums
    assert (sums["delivered"], sums["missing"], sums["reasons"]) == (7, 1, {"connection_lost": 1}), sums
    missing, _ = told(case, session, "--missing", status=1)
    assert [d["subscriber"] for m in missing for d in m["deliveries"]] == [connections[killed]], missing



harness.main(globals())

#!/usr/bin/python3
"""What the broadcaster's answer to a publisher tells of the fan-out (--answer-tracing), byte by byte. Prints TAP."""
import base64
import json
import struct
import time

import harness
from pubsub import OTHER_SECRET, Bytes, Wire, context_of, hmac_options, make_context, post_change, post_notify, publish, \
    start_broadcaster, start_publisher, start_subscriber, tracing_of

# What lonelypsp's simple tracer calls what the broadcaster's log calls so, between sending and the next subscriber.
MISSED = ["handle_missed_start", "handle_missed_success"]
AFTER = {"ok": ["response_received", "receive_confirmed"], "network_error": ["network_error", *MISSED],
         "bad_auth": ["response_received", "bad_auth_result", *MISSED],
         "unsubscribed": ["response_received", "unsubscribe_immediate_requested", "unsubscribe_immediate_success"]}


class Report:
    def __init__(self, tracing):
        b = Bytes(tracing)
        self.truncated = b.number(1)
        self.records = [(b.string(2).decode(), json.loads(b.string(2)), struct.unpack(">d", b.take(8))[0]) for _ in range(b.number(2))]
        self.received_ns, self.sent_ns = b.number(8), b.number(8)
        assert b.data == b"", "something stands behind the report"
        self.names = [name for name, _, _ in self.records]

    def values(self, name):
        return [extra for n, extra, _ in self.records if n == name]


def answer(broadcaster, identifier, tracing=b""):
    status, body = post_notify(broadcaster, b"a/b", b"hello", identifier, tracing)
    assert status == 200, status
    return tracing_of("answer", body)


def test_simple_tells_every_step_of_the_fan_out(case):
    broadcaster = start_broadcaster(case, "--answer-tracing", "simple")
    fine = start_subscriber(case, broadcaster, "--exact", "a/b", "--glob", "a/*")
    dead, refusing = (start_subscriber(case, broadcaster, "--exact", "a/b", "--keep") for _ in range(2))
    assert dead.stop() == 0 and refusing.stop() == 0
    start_subscriber(case, broadcaster, "--listen", f"127.0.0.1:{refusing.port}", auth=hmac_options(to_subscriber=OTHER_SECRET))
    before = time.time_ns()
    report = Report(answer(broadcaster, b"identifier"))
    assert not report.truncated
    assert before <= report.received_ns <= report.sent_ns <= time.time_ns()
    delivers = broadcaster.log("deliver")
    assert sorted(d["outcome"] for d in delivers) == ["network_error", "ok", "ok", "unsubscribed"], delivers
    expected = ["auth_tentatively_accepted", "auth_accepted"]
    for d in delivers:
        expected += [d["kind"] + "_subscriber_found", "sending_receive", *AFTER[d["outcome"]]]
    assert report.names == expected + ["no_more_subscribers"], report.names
    times = [t for _, _, t in report.records]
    assert times == sorted(times) and report.received_ns <= times[0] * 1e9 + 1000 and times[-1] * 1e9 <= report.sent_ns + 1000, report
    url = fine.url + "/v1/receive"
    assert report.values("glob_subscriber_found") == [{"glob": "a/*", "url": url}]
    assert [v["url"] for v in report.values("exact_subscriber_found")] == [d["url"] for d in delivers if d["kind"] == "exact"]
    assert [base64.urlsafe_b64decode(v["identifier_b64url"] + "==").hex() for v in report.values("sending_receive")] == \
        [d["identifier"] for d in delivers]
    assert report.values("response_received") == [{"status_code": int(d["status"])} for d in delivers if d["outcome"] != "network_error"]
    assert report.values("receive_confirmed") == [{"num_subscribers": 1}] * 2
    noted, = report.values("handle_missed_success")
    assert noted["recovery"] == dead.url + "/v1/recover" and noted["next_retry_at"] * 1e9 > before, noted


def test_who_does_not_want_to_hear_of_what_it_missed_is_skipped(case):
    broadcaster = start_broadcaster(case, "--answer-tracing", "simple")
    assert post_change(broadcaster, "subscribe/exact", b"http://127.0.0.1:1/v1/receive", b"a/b")[0] == 200
    report = Report(answer(broadcaster, b"identifier"))
    assert report.values("handle_missed_skipped") == [{"recovery": None, "next_retry_at": None}], report.records


def test_a_report_that_finds_no_room_says_so_and_stays_whole(case):
    broadcaster = start_broadcaster(case, "--answer-tracing", "simple")
    for n in range(4):
        url = b"http://127.0.0.1:1/%d/" % n + b"x" * 20000
        assert post_change(broadcaster, "subscribe/exact", url, b"a/b")[0] == 200
    tracing = answer(broadcaster, b"identifier")
    report = Report(tracing)
    assert report.truncated == 1 and report.names.count("exact_subscriber_found") == 3, report.names
    assert report.names[:2] == ["auth_tentatively_accepted", "auth_accepted"] and len(tracing) <= 65535
    assert len(broadcaster.log("deliver")) == 4


def test_a_context_is_answered_with_one_and_only_then(case):
    simple, own, none = (start_broadcaster(case, *options) for options in
                         (["--answer-tracing", "simple"], ["--answer-tracing", "own"], ["--answer-tracing", "none"]))
    default = start_broadcaster(case)
    context = make_context()
    for broadcaster in (simple, own, default):
        assert context_of(answer(broadcaster, b"with", context))[0] == context_of(context)[0]
    assert answer(none, b"with", context) == b""
    for broadcaster in (own, none, default):
        assert answer(broadcaster, b"without") == b""
    assert Report(answer(simple, b"without")).names == ["auth_tentatively_accepted", "auth_accepted", "no_more_subscribers"]
    assert Report(answer(simple, b"foreign", b"anything")).names[0] == "auth_tentatively_accepted"
    wrong = case.run("psp-broadcaster", "--answer-tracing", "all", status=2)
    assert b"--answer-tracing all: expected own, simple or none" in wrong.err, wrong.err


def asking():
    context = bytearray(make_context())
    context[4] |= 0x80
    return bytes(context)


def test_a_context_that_asks_is_answered_with_one_and_a_report(case):
    simple, own, none = (start_broadcaster(case, "--answer-tracing", mode) for mode in ("simple", "own", "none"))
    for broadcaster in (simple, own, start_broadcaster(case)):
        tracing = answer(broadcaster, b"asking", asking())
        assert context_of(tracing[:29]) and tracing[4] == 1, tracing
        assert Report(tracing[29:]).names == ["auth_tentatively_accepted", "auth_accepted", "no_more_subscribers"]
    assert answer(none, b"asking", asking()) == b""


def test_what_asks_is_not_handed_on_to_subscribers(case):
    broadcaster, wire = start_broadcaster(case), Wire()
    wire.port = start_subscriber(case, broadcaster, "--url", wire.url, "--exact", "a/b").port
    answer(broadcaster, b"asking", asking())
    (_, body, _), = wire.exchanges
    assert tracing_of("receive", body) == make_context()
    wire.close()


def test_a_publisher_asks_only_while_it_is_recorded(case):
    broadcaster = start_broadcaster(case)
    wire = Wire(broadcaster.port)
    publish(start_publisher(case, wire.url, "a/b", "--ask-report"), "nobody looks")
    (_, asked, answered), = wire.exchanges
    assert tracing_of("notify", asked) == tracing_of("answer", answered) == b""
    wire.close()


def test_over_a_web_socket_nothing_is_kept_for_the_answer(case):
    broadcaster = start_broadcaster(case, "--answer-tracing", "simple")
    start_subscriber(case, broadcaster, "--exact", "a/b")
    entry = publish(start_publisher(case, broadcaster, "a/b", "--ws"), "hello")
    assert (entry["outcome"], entry["subscribers"]) == ("ok", "1"), entry


harness.main(globals())

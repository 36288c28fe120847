#!/usr/bin/python3
"""What is recorded on request only: samples of traces. What is left out is left out whole, and counted."""
import json
import os
import re

import harness
from pubsub import (EXACT, Pair, Recorder, Session, check_publish, publish, start_broadcaster, start_publisher, start_subscriber)

MESSAGES = 61
# points that a message passes once, in the process of the operation
ONCE = ("notify__sending_request", "notify__response_notify_accepted", "handle_notify__auth_accepted", "receive__auth_accepted")


def losses(session):
    """{(point, reason): steps} of all processes"""
    return {(probe, reason): lost for probe, reason, lost in session.sql(
        "SELECT b.probe, r.reason, sum(r.lost) FROM loss_reason r JOIN probe b ON b.key = r.probe GROUP BY 1, 2")}


def check_left_out(session, kept, reason="sampled"):
    """What is not stored is `reason`, exactly, at the points that every message passes once."""
    session.check_books()
    harness.check(session.case, session.path)  # what is left out is no finding
    hits = session.hits()
    for point in ONCE:
        counts = [c for (_, p), c in hits.items() if p == point and c[0]]
        assert [sum(x) for x in zip(*counts)] == [MESSAGES, kept, MESSAGES - kept], (point, counts)
    assert {r for (_, r), n in losses(session).items() if n} == {reason}, losses(session)


def check_whole(session, pair, entries):
    """These messages are whole traces, and nothing else is in the session."""
    for entry in entries:
        trace = check_publish(session, pair, entry, EXACT)
        assert len(trace.spans) == 6 and trace.line["processes"] == 3 and trace.marks() == [], trace
    assert len(session.traces) == len(entries)


def identifiers(session):
    return {s["attributes"].get("messaging.message.id") for t in session.traces for s in t.find("attempt ")}


def sample(case, *form):
    pair = Pair(case, [["--exact", "a/b"]])
    recorder = Recorder(case, pair.programs, "--sample", "1/3", *form)
    entries = pair.publish(MESSAGES)
    session = recorder.stop()
    pair.stop()
    stored = identifiers(session)
    kept = [e for e in entries if e["identifier"] in stored]
    assert MESSAGES / 10 < len(kept) < MESSAGES * 0.6, len(kept)
    check_whole(session, pair, kept)
    check_left_out(session, len(kept))
    assert session.sql("SELECT value FROM session WHERE name = 'sample'") == [("1/3",)]


def test_a_sample_holds_whole_traces_and_nothing_of_others(case):
    sample(case)


def test_a_light_sample_too(case):
    sample(case, "--light")


def test_an_immediate_sample_too(case):
    sample(case, "--immediate")


def test_recorders_of_different_samples_agree(case):
    pair = Pair(case, [["--exact", "a/b"]])
    recorders = [Recorder(case, pair.programs, "--sample", f"1/{n}", name=f"{n}.db") for n in (2, 6)]
    pair.publish(MESSAGES)
    two, six = (identifiers(r.stop()) for r in recorders)
    pair.stop()
    assert len(six) < len(two) < MESSAGES and six <= two, (len(six), len(two))


def two_topics(case, *options, subscribers=(("--glob", "a/*"),)):
    """Messages on two topics, alternating, recorded with these options: session, pair, entries by topic."""
    pair = Pair(case, [list(s) for s in subscribers])
    other = start_publisher(case, pair.broadcaster, "a/other")
    recorder = Recorder(case, [*pair.programs, other], *options)
    entries = {"a/b": [], "a/other": []}
    for i in range(MESSAGES):
        publisher = other if i % 3 == 0 else pair.publisher
        entry = publish(publisher, "m" * (i + 1))
        entries[entry["topic"]].append(entry)
    session = recorder.stop()
    other.stop()
    pair.stop()
    return session, pair, entries


def check_topic(case, *form):
    session, pair, entries = two_topics(case, "--match-topic", "x*", "--match-topic", "[a-c]/?", *form)
    assert len(entries["a/b"]) == 40
    check_whole(session, pair, entries["a/b"])
    check_left_out(session, 40, "filtered")
    assert session.sql("SELECT value FROM session WHERE name = 'match_topic'") == [("x* [a-c]/?",)]


def test_a_topic_pattern_takes_whole_traces(case):
    check_topic(case)


def test_a_topic_pattern_takes_them_in_the_light_form(case):
    check_topic(case, "--light")


def test_a_topic_pattern_takes_them_in_the_immediate_form(case):
    check_topic(case, "--immediate")


def test_a_capture_holds_what_is_filtered_too(case):
    raw, replayed = case.path("all.raw"), case.path("replayed.db")
    session, pair, entries = two_topics(case, "--light", "--match-topic", "a/b", "--raw", raw)
    check_whole(session, pair, entries["a/b"])
    check_left_out(session, 40, "filtered")
    case.run("outspan", "replay", raw, "-o", replayed)
    assert len(Session(case, replayed).traces) == MESSAGES


def test_subscribing_is_taken_by_its_topic_and_without_one(case):
    broadcaster = start_broadcaster(case)
    subscriber = start_subscriber(case, broadcaster, stdin=True)
    recorder = Recorder(case, [broadcaster, subscriber], "--match-topic", "a/?")
    for key in ("exact a/b", "exact a/other", "glob a/*"):
        assert " outcome=ok " in subscriber.command("subscribe " + key)
    session = recorder.stop()
    subscriber.stop(), broadcaster.stop()
    roots = sorted(t.line["root"] for t in session.traces)
    assert roots == ["subscribe a/*", "subscribe a/b"], roots
    assert all(t.line["processes"] == 2 and not t.marks() for t in session.traces), session.traces
    session.check_books()
    harness.check(session.case, session.path)  # what is left out is no finding


def test_conditions_take_what_they_hold_for(case):
    conditions = ("notify.start_without_hash.length >= 0x10", "handle_notify.auth_accepted.length > 15",
                  "receive.auth_accepted.length >= 16", "notify.start_without_hash.length<32",
                  "handle_notify.auth_accepted.length < 32", "receive__auth_accepted.length < 32")
    session, pair, entries = two_topics(case, "--match-topic", "a/b", *(w for c in conditions for w in ("--where", c)))
    kept = [e for e in entries["a/b"] if 16 <= int(e["bytes"]) < 32]
    assert len(kept) == 10
    check_whole(session, pair, kept)
    check_left_out(session, 10, "filtered")


def check_limit(case, *form):
    """Two topics, of which one has two deliveries: what is beyond the limit is left out as whole messages."""
    session, pair, entries = two_topics(case, "--limit", "3/s:topic", *form,
                                        subscribers=(("--glob", "a/*"), ("--exact", "a/b")))
    stored = identifiers(session)
    kept = {topic: [e for e in of if e["identifier"] in stored] for topic, of in entries.items()}
    for entry in kept["a/b"]:
        check_publish(session, pair, entry, EXACT)
    assert len(session.traces) == len(stored) == sum(map(len, kept.values())), (len(session.traces), kept)
    wholes = sorted((len(t.spans), t.line["processes"], t.marks()) for t in session.traces)
    assert wholes == [(6, 3, [])] * len(kept["a/other"]) + [(9, 4, [])] * len(kept["a/b"]), wholes
    session.check_books()
    harness.check(session.case, session.path)  # what is left out is no finding
    assert {r for (_, r), n in losses(session).items() if n} == {"limited"}, losses(session)
    # each message is decided about where its first operation ends: within the seconds of the recording
    (first, last), = session.sql("SELECT min(start_ns), max(start_ns + duration_ns) FROM bundle")
    for topic, of in kept.items():
        assert 3 <= len(of) <= 3 * ((last - first) // 1000000000 + 2), (topic, len(of), last - first)
    assert len(stored) < MESSAGES, len(stored)
    assert session.sql("SELECT value FROM session WHERE name = 'limit'") == [("3/s:topic",)]


def test_a_limit_takes_whole_traces_of_each_topic(case):
    check_limit(case)


def test_a_limit_takes_them_in_the_light_form(case):
    check_limit(case, "--light")


def test_a_limit_takes_them_in_the_immediate_form(case):
    check_limit(case, "--immediate")


def test_limits_that_mean_nothing_are_refused(case):
    for limit in ("topic", "0/s:topic", "-1/s:topic", "5/s:", "5/m:topic", "5:topic", "5/s:no_such_argument", "99999999999/s:topic"):
        said = case.run("outspan", "record", "--all", "--limit", limit, status=2).err.decode()
        assert "--limit" in said, (limit, said)


def test_aggregates_count_and_time_without_traces(case):
    pair = Pair(case, [["--exact", "a/b"]])
    recorder = Recorder(case, pair.programs, "--aggregate")
    entries = pair.publish(MESSAGES)
    session = recorder.stop()
    pair.stop()
    assert session.sql("SELECT count(*) FROM trace") == [(0,)]
    check_left_out(session, 0, "aggregated")
    said = case.run("outspan", "ls", session.path).text()
    assert "holds aggregates only" in said
    told = map(json.loads, case.run("outspan", "ls", "--json", session.path).out.splitlines())
    rows = {(r["pid"], r["operation"]): r for r in told if not r["point"]}
    for (pid, operation), row in rows.items():
        shown = re.search(rf"^{row['comm']}/{pid}\n  {operation} +{MESSAGES} +0((?: +\d+(?:\.\d)? [num]?s){{4}})$", said, re.M)
        assert shown, (row, said)
        for text, name in zip(re.findall(r"\S+ [num]?s", shown[1]), ("p50_ns", "p90_ns", "p99_ns", "max_ns")):
            number, unit = text.split()
            ns = float(number) * {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[unit]
            assert abs(ns - row[name]) <= row[name] * 0.08 and len(number.replace(".", "").rstrip("0")) <= 2, (text, row)
    assert "ROOT" not in said, said
    said = case.run("outspan", "show", session.path, "last", status=1).err.decode()
    assert "it holds aggregates only - outspan ls shows them" in said, said
    assert set(rows) == {(pair.publisher.pid, "notify"), (pair.broadcaster.pid, "handle_notify"),
                         (pair.subscribers[0].pid, "receive")}, said
    for row in rows.values():
        assert row["count"] == MESSAGES and row["errors"] == row["untimed"] == 0, rows
        assert 0 < row["p50_ns"] <= row["p90_ns"] <= row["p99_ns"] <= row["max_ns"], rows
    took = sorted(int(e["end"]) - int(e["begin"]) for e in entries)
    notify = rows[pair.publisher.pid, "notify"]
    # the log's times are taken around the operation, by another clock
    assert took[MESSAGES // 2] * 0.5 < notify["p50_ns"] < took[MESSAGES // 2] * 1.1, (took, notify)
    assert took[-1] * 0.5 < notify["max_ns"] < took[-1] + 5_000_000, (took, notify)


    check_ways(case, session, pair)


def least(row):
    """The sum of all its times, each as the least of its bucket: less than 1/16 too small."""
    return sum(ns * n for ns, n in row["buckets"])


def check_ways(case, session, pair):
    """From step to step: each point that a message passes once has a time for each, and they add up to the operations' times."""
    rows = [json.loads(line) for line in case.run("outspan", "ls", "--json", session.path).out.splitlines()]
    by = {(r["pid"], r["operation"], r["point"]): r for r in rows}
    assert len(by) == len(rows)
    once = {(pair.publisher.pid, "notify"): {"hashed", "sending_request", "response_received", "response_notify_accepted"},
            (pair.broadcaster.pid, "handle_notify"): {"auth_tentatively_accepted", "auth_accepted", "sending_receive", "response_received",
                                                      "receive_confirmed", "sending_response"},
            (pair.subscribers[0].pid, "receive"): {"request_parsed", "auth_accepted", "sending_response"}}
    for (pid, operation), points in once.items():
        found = {point: r for (p, o, point), r in by.items() if (p, o) == (pid, operation)}
        whole = found.pop(None)
        assert points <= set(found), (points, sorted(found))
        for r in [whole, *(found[p] for p in points)]:
            assert (r["count"], r["untimed"], sum(n for _, n in r["buckets"])) == (MESSAGES, 0, MESSAGES), r
            assert r["buckets"][0][0] <= r["p50_ns"] <= r["p90_ns"] <= r["p99_ns"] <= r["max_ns"], r
        assert sum(map(least, found.values())) <= least(whole) * 17 / 16 + MESSAGES, (operation, found)
        assert least(whole) <= sum(map(least, found.values())) * 17 / 16 + MESSAGES, (operation, found)
    columns = ("pid", "operation", "point", "count", "errors", "untimed", "p50_ns", "p90_ns", "p99_ns", "max_ns")
    assert session.sql(f"SELECT {', '.join(columns)} FROM latency") == [tuple(r[c] for c in columns) for r in rows]
    # the first step of an operation comes from none
    assert not [k for k in by if k[1:] == ("notify", "start_without_hash")], by
    # what the publisher waits for, the broadcaster and the subscriber do
    wait = by[pair.publisher.pid, "notify", "response_received"]
    assert least(by[pair.broadcaster.pid, "handle_notify", None]) < least(wait) * 17 / 16, (wait, by)
    answer = by[pair.broadcaster.pid, "handle_notify", "response_received"]
    assert least(by[pair.subscribers[0].pid, "receive", None]) < least(answer) * 17 / 16, answer


def test_conditions_that_mean_nothing_are_refused(case):
    def refused(status, *options):
        return case.run("outspan", "record", "-o", case.path("no.db"), *options, "--", "true", status=status).err.decode()
    assert "--where 'notify.nothing.length > 1'" in refused(2, "--where", "notify.nothing.length > 1")
    assert "give --level" in refused(2, "--level", "essential", "--where", "notify.response_received.status_code == 200")
    shop = os.path.join(harness.ROOT, "tests/e2e/shop.yaml")
    assert "another program's point" in refused(3, "--catalogue", shop, "--where", "query__done.rows > 1")


harness.main(globals())

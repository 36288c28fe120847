#!/usr/bin/python3
"""Changes of subscriptions, recorded while they are made: each one trace over both processes."""
import contextlib
import sqlite3

import harness
from pubsub import (HMAC, OTHER_SECRET, Recorder, attribute, check_link, check_tables, check_time, events, hmac_options,
                    post_change, start_broadcaster, start_subscriber)

KINDS = {"exact": ("t/1", "messaging.destination.name"), "glob": ("t/*", "messaging.destination.template")}
CONTEXT = ("trace_context", "exact")


class Change:
    """One of the four operations, as its two sides name it."""

    def __init__(self, verb, kind):
        self.verb, self.kind = verb, kind
        self.key, self.argument = KINDS[kind]
        self.command = f"{verb} {kind} {self.key}"
        self.operation = f"{verb}_{kind}"
        self.path = f"{verb}/{kind}"

    def log(self, program, **fields):
        return program.log(self.verb, kind=self.kind, key=self.key, **fields)

    def answer(self, outcome, status, count):
        word = self.verb + "d"
        return f"{word} {self.kind} {self.key} outcome={outcome} status={status} count={count}"


CHANGES = [Change(verb, kind) for verb in ("subscribe", "unsubscribe") for kind in KINDS]


def prepare(case, broadcaster, change, auth=HMAC):
    """A subscriber that can make the change, having subscribed if it is to unsubscribe."""
    subscriber = start_subscriber(case, broadcaster, auth=auth, stdin=True)
    if change.verb == "unsubscribe":
        assert " outcome=ok " in subscriber.command(change.command.removeprefix("un"))
    return subscriber


def check_change(session, subscriber, broadcaster, change, mine, theirs):
    """The trace of the change that both logs tell of by these lines: the broadcaster's in the subscriber's attempt."""
    trace, = [t for t in session.traces if t.find(operation=change.operation)
              and t.roots()[0]["process"]["pid"] == subscriber.pid]
    root, = trace.roots()
    assert (root["name"], root["kind"], attribute(root, change.argument)) == (f"{change.verb} {change.key}", "CLIENT", change.key)
    check_time(root, mine)
    attempts = trace.children(root)
    assert len(attempts) == len(theirs) == int(mine["attempts"]), trace
    for attempt, entry in zip(attempts, theirs):
        assert attempt["name"] == "attempt " + broadcaster.url
        assert (attribute(attempt, "url.full"), attribute(attempt, change.argument)) == (mine["url"], change.key)
        check_time(attempt, mine)
        span, = trace.children(attempt)
        check_link(trace, attempt, span, *CONTEXT, "hmac,url_topic" if change.kind == "exact" else "hmac,url_glob")
        assert span["process"]["pid"] == broadcaster.pid and span["kind"] == "SERVER"
        assert span["name"] == f"handle {change.verb} {change.key}"
        assert (attribute(span, "url.full"), attribute(span, change.argument)) == (mine["url"], change.key)
        assert (span["status"], span["code"]) == ("ok" if entry["status"] == "200" else "error", entry["status"])
        assert attempt["start_ns"] <= span["start_ns"] <= span["end_ns"] <= attempt["end_ns"]
        check_time(span, entry)
    assert trace.line["processes"] == 2 and len(trace.spans) == 1 + 2 * len(theirs) and trace.marks() == []
    return trace


def tree(change, root, *attempts):
    """The table of a trace: root and each attempt with its (status, code), and that of the broadcaster in it."""
    rows = [(0, change.operation, *root)]
    for attempt, handled in attempts:
        rows += [(1, "attempt", *attempt), (2, "handle_" + change.operation, *handled)]
    return rows


def test_a_change_there_and_back_is_one_trace_over_both_processes(case):
    broadcaster = start_broadcaster(case)
    subscribers = [prepare(case, broadcaster, change) for change in CHANGES]
    recorder = Recorder(case, [broadcaster, *subscribers])
    for change, subscriber in zip(CHANGES, subscribers):
        count = int(change.verb == "subscribe")
        assert subscriber.command(change.command) == change.answer("ok", 200, count)
    session = recorder.stop()
    for change, subscriber in zip(CHANGES, subscribers):
        mine, = change.log(subscriber)
        theirs = change.log(broadcaster, url=mine["url"])
        assert [e["outcome"] for e in theirs] == ["ok"]
        trace = check_change(session, subscriber, broadcaster, change, mine, theirs)
        assert events(trace.only("handle ")) == ["received", "auth_accepted", "stored", "sending_response"]
        assert events(trace.roots()[0]) == ["start", "use_direct", "lock_acquired"]
        assert events(trace.only("attempt ")) == ["sending_request", "response_received", "response_generic_accepted"]
        recovery = subscriber.url + "/v1/recover" if change.verb == "subscribe" else ""
        assert attribute(trace.only("handle "), "lonelypsp.recovery") == recovery
    check_tables(session, *[tree(c, ("ok", None), (("ok", None), ("ok", "200"))) for c in CHANGES])
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_change_by_reference_count_stays_in_its_process(case):
    broadcaster = start_broadcaster(case)
    subscribers = {kind: start_subscriber(case, broadcaster, "--" + kind, KINDS[kind][0], stdin=True) for kind in KINDS}
    recorder = Recorder(case, [broadcaster, *subscribers.values()])
    logged = len(broadcaster.log())
    for change in CHANGES:
        count = 2 if change.verb == "subscribe" else 1
        assert subscribers[change.kind].command(change.command) == change.answer("counted", 0, count)
    session = recorder.stop()
    assert len(broadcaster.log()) == logged
    check_tables(session, *[tree(c, ("ok", "refcount_only")) for c in CHANGES])
    for change in CHANGES:
        span, = [s for t in session.traces for s in t.find(operation=change.operation)]
        assert span["name"] == f"{change.verb} {change.key}" and span["process"]["pid"] == subscribers[change.kind].pid
        assert events(span) == ["start", "refcount_only"]
        assert attribute(span, "lonelypsp.new_count") == (2 if change.verb == "subscribe" else 1)
        check_time(span, change.log(subscribers[change.kind], outcome="counted")[0])
    assert not [t for t in session.traces if t.marks()]
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_conflicting_change_is_one_trace_that_says_409(case):
    broadcaster = start_broadcaster(case)
    subscribers = [prepare(case, broadcaster, change) for change in CHANGES]
    for change, subscriber in zip(CHANGES, subscribers):
        # by hand, so that the subscriber does not know: the row is there, or gone, already
        url = subscriber.url.encode() + b"/v1/receive"
        status, _ = post_change(broadcaster, change.path, url, change.key.encode(), subscribe=change.verb == "subscribe")
        assert status == 200
    recorder = Recorder(case, [broadcaster, *subscribers])
    for change, subscriber in zip(CHANGES, subscribers):
        count = int(change.verb == "subscribe")
        assert subscriber.command(change.command) == change.answer("conflict", 409, count)
    session = recorder.stop()
    for change, subscriber in zip(CHANGES, subscribers):
        mine, = change.log(subscriber)
        theirs = change.log(broadcaster, status=409, url=mine["url"])
        trace = check_change(session, subscriber, broadcaster, change, mine, theirs)
        point = "already_subscribed" if change.verb == "subscribe" else "not_subscribed"
        assert events(trace.only("handle ")) == ["received", "auth_accepted", point]
    check_tables(session, *[tree(c, ("ok", "409"), (("ok", "409"), ("error", "409"))) for c in CHANGES])
    session.check_no_loss()
    harness.check_accepts(session)


def test_an_unauthorized_change_is_shown_as_refused_on_both_sides_and_joins_nothing(case):
    first = start_broadcaster(case)
    subscribers = [prepare(case, first, change) for change in CHANGES]
    assert first.stop() == 0
    broadcaster = start_broadcaster(case, "--listen", f"127.0.0.1:{first.port}", auth=hmac_options(to_broadcaster=OTHER_SECRET))
    recorder = Recorder(case, [broadcaster, *subscribers])
    for change, subscriber in zip(CHANGES, subscribers):
        assert subscriber.command(change.command).startswith(f"refused {change.command} outcome=refused status=403 ")
    session = recorder.stop()
    for change in CHANGES:
        assert [e["outcome"] for e in change.log(broadcaster)] == ["forbidden"]
    check_tables(session, *[rows for c in CHANGES for rows in (
        [(0, c.operation, "error", "refused"), (1, "attempt", "error", "refused")],
        [(0, "handle_" + c.operation, "error", "403")])])
    assert not [s for t in session.traces for s in t.spans if s["links"]]
    assert not [t for t in session.traces if t.marks()]
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_change_that_the_broadcaster_cannot_store_is_one_trace_with_every_attempt(case):
    database = case.path("subscriptions.db")
    # (authorizations in a file of their own: what is not authorized would join nothing)
    broadcaster = start_broadcaster(case, "--db", database, "--replay-db", case.path("replay.db"))
    subscribers = [prepare(case, broadcaster, change) for change in CHANGES]
    recorder = Recorder(case, [broadcaster, *subscribers])
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as locked:
        locked.execute("BEGIN IMMEDIATE")
        for change, subscriber in zip(CHANGES, subscribers):
            subscriber.process.line(change.command)
        for change, subscriber in zip(CHANGES, subscribers):
            subscriber.process.wait_for(f"^refused {change.verb} ", "out")
    session = recorder.stop()
    for change, subscriber in zip(CHANGES, subscribers):
        mine, = change.log(subscriber)
        assert (mine["outcome"], mine["attempts"]) == ("retries_exhausted", "2")
        theirs = change.log(broadcaster, status=503, url=mine["url"])
        trace = check_change(session, subscriber, broadcaster, change, mine, theirs)
        assert [events(s) for s in trace.find("handle ")] == [["received", "auth_accepted", "unavailable"]] * 2
    unavailable = ("error", "retryable_status"), ("error", "503")
    check_tables(session, *[tree(c, ("error", "retries_exhausted"), unavailable, unavailable) for c in CHANGES])
    session.check_no_loss()
    harness.check_accepts(session)


harness.main(globals())

#!/usr/bin/python3
"""Whole sets of subscriptions, set and compared: what is stored, what is logged, what is recorded."""
import contextlib
import os
import sqlite3
import struct

import harness
from pubsub import (HMAC, OTHER_SECRET, Bytes, Recorder, attribute, check_link, check_tables, check_time, etag, events,
                    hmac_options, post, post_change, post_check, post_set, set_body, sign, start_broadcaster,
                    start_subscriber, v16)

SET = [("set_subscriptions", "ok", None), ("attempt", "ok", None), ("handle_set_subscriptions", "ok", "200")]
CHECK = [(0, "check_subscriptions", "ok", None), (1, "attempt", "ok", None), (2, "handle_check_subscriptions", "ok", "200")]
URL = b"http://127.0.0.1:9/v1/receive"


def below(depth, rows):
    """A table's rows, each below the one before, from this depth on."""
    return [(depth + i, *row) for i, row in enumerate(rows)]


def start_stored(case, *args, **options):
    """A broadcaster with its subscriptions in a file, apart from the used authorizations."""
    path = case.path("subscriptions.db")
    return start_broadcaster(case, "--db", path, "--replay-db", case.path("replay.db"), *args, **options), path


def stored(path, url, kind="exact"):
    """[(key, recovery)] of a url, in the order of the keys."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.text_factory = bytes
        return [(bytes(k), r or b"") for k, r in
                db.execute(f"SELECT key, recovery FROM subscription_{kind} WHERE url = ? ORDER BY key", (url.decode(),))]


def receive_url(subscriber):
    return subscriber.url.encode() + b"/v1/receive"


def recovery_url(subscriber):
    return subscriber.url.encode() + b"/v1/recover"


def check_set(session, subscriber, broadcaster, mine, theirs):
    """The trace in which the subscriber's line `mine` is answered by the broadcaster's line `theirs`."""
    trace, = [t for t in session.traces for s in t.find(operation="handle_set_subscriptions")
              if attribute(s, "lonelypsp.etag").startswith(mine["etag"]) and s["process"]["pid"] == broadcaster.pid]
    (span,), (handled,) = trace.find(operation="set_subscriptions", name="set "), trace.find("handle set")
    attempt, = [s for s in trace.children(span) if s["name"].startswith("attempt ")]
    assert (span["kind"], attempt["kind"], handled["kind"]) == ("CLIENT", "CLIENT", "SERVER")
    assert span["process"]["pid"] == subscriber.pid
    assert span["name"] == f"set {mine['exact']} topics and {mine['globs']} globs", span["name"]
    assert attempt["name"] == "attempt " + broadcaster.url and attribute(attempt, "url.full") == mine["url"]
    check_link(trace, attempt, handled, "trace_context", "exact", "url_etag")
    assert handled["name"] == "handle set of " + theirs["url"] and theirs["url"] == mine["url"]
    assert [attribute(handled, "lonelypsp." + word) for word in ("num_exact", "num_globs", "added", "removed", "kept")] == \
        [int(theirs[word]) for word in ("exact", "globs", "added", "removed", "kept")]
    assert (mine["etag"], mine["exact"], mine["globs"]) == (theirs["etag"], theirs["exact"], theirs["globs"])
    for one, entry in ((span, mine), (attempt, mine), (handled, theirs)):
        check_time(one, entry)
    return trace


def test_a_change_in_bulk_sends_the_whole_set_as_its_child(case):
    broadcaster, path = start_stored(case)
    subscriber = start_subscriber(case, broadcaster, "--bulk", "--exact", "kept", stdin=True)
    recorder = Recorder(case, [broadcaster, subscriber])
    before = len(subscriber.log("set"))
    assert subscriber.command("subscribe exact a/b") == "subscribed exact a/b outcome=ok status=200 count=1"
    assert subscriber.command("subscribe exact a/b") == "subscribed exact a/b outcome=counted status=0 count=2"
    assert subscriber.command("subscribe glob a/*") == "subscribed glob a/* outcome=ok status=200 count=1"
    assert stored(path, receive_url(subscriber)) == [(b"a/b", recovery_url(subscriber)), (b"kept", recovery_url(subscriber))]
    assert stored(path, receive_url(subscriber), "glob") == [(b"a/*", recovery_url(subscriber))]
    assert subscriber.command("unsubscribe exact a/b") == "unsubscribed exact a/b outcome=counted status=0 count=1"
    assert subscriber.command("unsubscribe exact a/b") == "unsubscribed exact a/b outcome=ok status=200 count=0"
    assert stored(path, receive_url(subscriber)) == [(b"kept", recovery_url(subscriber))]
    session = recorder.stop()
    mine, theirs = subscriber.log("set")[before:], broadcaster.log("set")[before:]
    assert [(e["exact"], e["globs"], e["added"], e["removed"], e["kept"]) for e in theirs] == \
        [("2", "0", "1", "0", "1"), ("2", "1", "1", "0", "2"), ("1", "1", "0", "1", "2")]
    for m, t, change in zip(mine, theirs, ("subscribe a/b", "subscribe a/*", "unsubscribe a/b")):
        trace = check_set(session, subscriber, broadcaster, m, t)
        root, = trace.roots()
        assert root["name"] == change and events(root) == ["start", "use_bulk", "lock_acquired", "bulk_accepted"], events(root)
        assert [attribute(root, "lonelypsp." + w) for w in ("num_exact", "num_globs")] == [int(m["exact"]), int(m["globs"])]
        assert events(trace.only("set ")) == ["start", "etag_computed"]
        assert events(trace.only("handle ")) == \
            ["received", "auth_tentatively_accepted", "auth_accepted", "set_done", "sending_response"]
    check_tables(session, *[[(0, change, "ok", "bulk"), *below(1, SET)] for change in
                            ("subscribe_exact", "subscribe_glob", "unsubscribe_exact")],
                 *[[(0, change, "ok", "refcount_only")] for change in ("subscribe_exact", "unsubscribe_exact")])
    assert not [t for t in session.traces if t.marks()]
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_set_of_any_number_is_stored_and_kept(case):
    broadcaster, path = start_stored(case)
    for count in (1, 16, 17, 40):
        topics = sorted(f"t/{i}".encode() for i in range(count))
        # given in an order that is none
        given = [word for i in range(count) for word in ("--exact", f"t/{i * 7 % count}")]
        before = len(broadcaster.log("set"))
        subscriber = start_subscriber(case, broadcaster, "--bulk", *given, stdin=True)
        url, wanted = receive_url(subscriber), [(t, recovery_url(subscriber)) for t in topics]
        sets = broadcaster.log("set")[before:]
        assert [(e["exact"], e["added"], e["removed"], e["kept"]) for e in sets] == [(str(count), str(count), "0", "0")], sets
        assert len(subscriber.log("subscribe", outcome="ok")) == count
        assert stored(path, url) == wanted
        # the etag by hand; at the broadcaster, computed from what is stored
        assert sets[-1]["etag"] == etag(url, wanted, [])[:8].hex()
        assert subscriber.command("check") == "checked equal outcome=ok status=200"
        assert subscriber.stop() == 0
        left = broadcaster.log("set")[before + 1:]
        assert [(e["exact"], e["globs"], e["added"], e["removed"], e["kept"]) for e in left] == [("0", "0", "0", str(count), "0")]
        assert stored(path, url) == []


def test_what_is_subscribed_at_the_start_is_one_set_of_which_each_change_has_its_end(case):
    broadcaster, path = start_stored(case)
    recorder = Recorder(case, [broadcaster], "-e", os.path.join(harness.BUILD, "psp-subscriber"))
    subscriber = start_subscriber(case, broadcaster, "--bulk", "--exact", "b", "--exact", "a", "--exact", "b", "--glob", "c*", "--exact", "d")
    session = recorder.stop()
    (mine,), (theirs,) = subscriber.log("set"), broadcaster.log("set")
    assert (mine["exact"], mine["globs"], theirs["added"]) == ("3", "1", "4"), (mine, theirs)
    assert [k for k, _ in stored(path, receive_url(subscriber))] == [b"a", b"b", b"d"]
    assert [k for k, _ in stored(path, receive_url(subscriber), "glob")] == [b"c*"]
    trace = check_set(session, subscriber, broadcaster, mine, theirs)
    root, = trace.roots()
    assert root["name"] == "subscribe b", root
    others = sorted((s["name"], events(s)) for t in session.traces for s in t.roots() if s is not root)
    bulk = ["start", "use_bulk", "lock_acquired", "bulk_accepted"]
    assert events(root) == bulk and others == sorted([("subscribe a", bulk), ("subscribe c*", bulk), ("subscribe d", bulk),
                                                      ("subscribe b", ["start", "refcount_only"])]), others
    harness.check_accepts(session)
    session.check_no_loss()


def test_a_set_at_the_start_that_is_refused_fails_every_change(case):
    broadcaster, path = start_stored(case, auth=hmac_options(to_broadcaster=OTHER_SECRET))
    subscriber = case.start("psp-subscriber", "--broadcaster", broadcaster.url, "--bulk", "--exact", "a", "--glob", "b*",
                            *hmac_options())
    assert subscriber.wait() == 1
    said = subscriber.text().splitlines()
    assert [l.split(" outcome=")[0] for l in said] == ["refused subscribe exact a", "refused subscribe glob b*"], said
    assert len(broadcaster.log("set")) == 1, broadcaster.log("set")


def test_a_set_holds_what_the_changes_before_it_made_and_no_others(case):
    broadcaster, path = start_stored(case)
    subscriber = start_subscriber(case, broadcaster, "--bulk", "--exact", "x", stdin=True)
    subscriber.process.line("subscribe exact y\nsubscribe exact z\nunsubscribe exact x\nsubscribe exact w")
    subscriber.process.wait_for(r"^subscribed exact w ", "out")
    entries = broadcaster.log("set")[1:]
    assert [(e["exact"], e["added"], e["removed"]) for e in entries] == \
        [("2", "1", "0"), ("3", "1", "0"), ("2", "0", "1"), ("3", "1", "0")], entries
    assert [k for k, _ in stored(path, receive_url(subscriber))] == [b"w", b"y", b"z"]


def test_each_subscription_of_a_set_is_a_step(case):
    broadcaster, path = start_stored(case)
    first = [(b"t/%02d" % i, b"") for i in range(20)]
    second = [(b"t/%02d" % i, b"") for i in range(3, 40)]
    assert post_set(broadcaster, set_body(URL, first, [(b"g*", b"")]))[0] == 200
    recorder = Recorder(case, [broadcaster], "--level", "debug")
    assert post_set(broadcaster, set_body(URL, second, []))[0] == 200
    session = recorder.stop()
    span, = [s for t in session.traces for s in t.spans]
    steps = ["subscription_removed"] * 3 + ["subscription_kept"] * 17 + ["subscription_added"] * 20 + ["subscription_removed"]
    assert events(span) == ["received", "auth_tentatively_accepted", "auth_accepted", *steps, "set_done", "sending_response"]
    topics = [e["attributes"]["lonelypsp.subscribed"] for e in span["events"] if e["name"].startswith("subscription_")]
    assert topics == [f"t/{i:02}" for i in range(40)] + ["g*"], topics
    entry = broadcaster.log("set")[-1]
    assert (entry["added"], entry["removed"], entry["kept"], entry["updated"]) == ("20", "4", "17", "0")
    assert stored(path, URL) == second and stored(path, URL, "glob") == []
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_changed_recovery_url_is_stored(case):
    broadcaster, path = start_stored(case)
    old, new = [(b"a", b"http://old/"), (b"b", b"http://same/")], [(b"a", b"http://new/"), (b"b", b"http://same/")]
    assert post_set(broadcaster, set_body(URL, old, [(b"g", b"http://old/")]))[0] == 200
    status, answer = post_set(broadcaster, set_body(URL, new, [(b"g", b"")], tracing=b"foreign"))
    b = Bytes(answer)
    assert (status, b.number(2), b.string(2)[:7], b.string(2), b.data) == (200, 3, b"X-HMAC ", b"", b"")
    entry = broadcaster.log("set")[-1]
    assert (entry["added"], entry["removed"], entry["kept"], entry["updated"]) == ("0", "0", "3", "2")
    assert stored(path, URL) == new and stored(path, URL, "glob") == [(b"g", b"")]
    status, answer = post_check(broadcaster, URL)
    b = Bytes(answer)
    assert (status, b.number(2), b.string(2)[:7], b.string(2), b.number(1)) == (200, 5, b"X-HMAC ", b"", 0)
    assert b.take(64) == etag(URL, new, [(b"g", b"")]) and b.data == b""


def test_a_set_that_is_refused_changes_nothing_and_is_told(case):
    broadcaster, path = start_stored(case)
    before = [(b"a", b""), (b"b", b"")]
    assert post_set(broadcaster, set_body(URL, before, []))[0] == 200
    good = set_body(URL, [(b"x", b"")], [])
    swapped = [(b"b", b""), (b"a", b"")]
    mangled = v16(b"") + v16(URL) + b"\0" + bytes(64)
    recorder = Recorder(case, [broadcaster])
    cases = [  # what is sent, its status, the steps
        (set_body(URL, swapped, []), "400", "bad_request"),
        (set_body(URL, [], swapped), "400", "bad_request"),
        (set_body(URL, [(b"a", b""), (b"a", b"")], []), "400", "bad_request"),
        (set_body(URL, [], [(b"\xff", b"")]), "400", "bad_request"),
        (set_body(URL, [(b"a", b"ftp://x/")], []), "400", "bad_request"),
        (good[:-1], "400", "bad_request"),
        (good + b"x", "400", "bad_request"),
        (mangled + struct.pack(">I", 0xffffffff), "400", "bad_request"),
        (set_body(URL, [(b"x", b"")], [], digest=etag(URL, [], [])), "400", "auth_mismatch"),
    ]
    for body, status, _ in cases:
        assert post_set(broadcaster, body) == (int(status), b""), body
    early = [  # refused at the head
        (post_set(broadcaster, set_body(URL, [], [], form=1)), 400, "bad_request"),
        (post_set(broadcaster, set_body(b"ftp://x/", [], [])), 400, "bad_request"),
        (post(broadcaster.url + "/v1/set_subscriptions", good[:40]), 400, "bad_request"),
        (post_set(broadcaster, good, key=None), 401, "bad_auth_result"),
        (post_set(broadcaster, good, key=OTHER_SECRET), 403, "bad_auth_result"),
        # signed for another etag
        (post(broadcaster.url + "/v1/set_subscriptions", good,
              sign(6, v16(URL) + b"\0" + etag(URL, [], []))), 403, "bad_auth_result"),
    ]
    assert [got for got, *_ in early] == [(status, b"") for _, status, _ in early]
    session = recorder.stop()
    assert stored(path, URL) == before
    check_tables(session, *[[(0, "handle_set_subscriptions", "error", status)] for _, status, _ in cases],
                 *[[(0, "handle_set_subscriptions", "error", str(status))] for _, status, _ in early])
    found = sorted(events(s) for t in session.traces for s in t.spans)
    assert found == sorted([["received", "auth_tentatively_accepted", last] for *_, last in cases] +
                           [["received", last] for *_, last in early])
    assert not [s for t in session.traces for s in t.spans if s["links"]]
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_set_that_the_broadcaster_cannot_store_fails_the_change(case):
    broadcaster, path = start_stored(case)
    subscriber = start_subscriber(case, broadcaster, "--bulk", "--exact", "kept", stdin=True)
    recorder = Recorder(case, [broadcaster, subscriber])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as locked:
        locked.execute("BEGIN IMMEDIATE")
        assert subscriber.command("subscribe exact a") == \
            "refused subscribe exact a outcome=retries_exhausted status=503 count=0 reason=unavailable"
    session = recorder.stop()
    assert [e["outcome"] for e in broadcaster.log("set", status=503)] == ["unavailable"] * 2
    assert stored(path, receive_url(subscriber)) == [(b"kept", recovery_url(subscriber))]
    # nobody believes to have it: the next set is without it
    assert subscriber.command("subscribe exact b").startswith("subscribed exact b outcome=ok ")
    assert [k for k, _ in stored(path, receive_url(subscriber))] == [b"b", b"kept"]
    unavailable = [(2, "attempt", "error", "retryable_status"), (3, "handle_set_subscriptions", "error", "503")]
    check_tables(session, [(0, "subscribe_exact", "error", "bulk_failed"),
                           (1, "set_subscriptions", "error", "retries_exhausted"), *unavailable, *unavailable])
    assert [events(s)[-1] for t in session.traces for s in t.find("handle ")] == ["unavailable"] * 2
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_set_that_is_not_authorized_fails_the_change(case):
    first = start_broadcaster(case)
    subscriber = start_subscriber(case, first, "--bulk", stdin=True)
    assert first.stop() == 0
    broadcaster = start_broadcaster(case, "--listen", f"127.0.0.1:{first.port}", auth=hmac_options(to_broadcaster=OTHER_SECRET))
    recorder = Recorder(case, [broadcaster, subscriber])
    assert subscriber.command("subscribe exact a").startswith("refused subscribe exact a outcome=refused status=403 ")
    session = recorder.stop()
    check_tables(session, [(0, "subscribe_exact", "error", "bulk_failed"), (1, "set_subscriptions", "error", "refused"),
                           (2, "attempt", "error", "refused")], [(0, "handle_set_subscriptions", "error", "403")])
    assert not [s for t in session.traces for s in t.spans if s["links"]]
    session.check_no_loss()
    harness.check_accepts(session)


def test_an_answer_with_a_wrong_authorization_is_not_believed(case):
    broadcaster = start_broadcaster(case, auth=hmac_options(to_subscriber=OTHER_SECRET))
    subscriber = start_subscriber(case, broadcaster, "--bulk", "--retries", "1", stdin=True)
    recorder = Recorder(case, [broadcaster, subscriber])
    assert subscriber.command("subscribe exact a").endswith("outcome=retries_exhausted status=200 count=0 reason=bad_auth")
    assert subscriber.command("check").startswith("refused check outcome=refused status=200 reason=bad_auth")
    session = recorder.stop()
    check_tables(session, [(0, "subscribe_exact", "error", "bulk_failed"), (1, "set_subscriptions", "error", "retries_exhausted"),
                           (2, "attempt", "error", "bad_auth"), (3, "handle_set_subscriptions", "ok", "200")],
                 [(0, "check_subscriptions", "error", "bad_auth"), (1, "attempt", "error", "bad_auth"),
                  (2, "handle_check_subscriptions", "ok", "200")])
    session.check_no_loss()
    harness.check_accepts(session)


# ---- comparing ---------------------------------------------------------------------------------------


def check_compared(session, subscriber, broadcaster, mine, theirs):
    trace, = [t for t in session.traces for s in t.find(operation="handle_check_subscriptions")
              if int(mine["begin"]) <= int(theirs["begin"]) <= int(mine["end"]) and t.find(operation="check_subscriptions")]
    root, = trace.roots()
    attempt, = [s for s in trace.children(root) if s["name"].startswith("attempt ")]
    handled = trace.only("handle check")
    check_link(trace, attempt, handled, "trace_context", "exact", "url_etag,url")
    assert (root["process"]["pid"], handled["process"]["pid"]) == (subscriber.pid, broadcaster.pid)
    assert handled["name"] == "handle check of " + theirs["url"] and theirs["url"] == mine["url"]
    assert attribute(handled, "lonelypsp.etag").startswith(theirs["etag"]) and theirs["etag"] == mine["theirs"]
    assert [attribute(handled, "lonelypsp." + w) for w in ("num_exact", "num_globs")] == [int(theirs["exact"]), int(theirs["globs"])]
    assert events(handled) == ["received", "auth_accepted", "etag_computed", "sending_response"]
    for one, entry in ((root, mine), (attempt, mine), (handled, theirs)):
        check_time(one, entry)
    return trace


def test_equal_sets_compare_equal(case):
    broadcaster = start_broadcaster(case)
    # one by one: the two ways of subscribing come to the same
    subscriber = start_subscriber(case, broadcaster, "--exact", "b", "--exact", "a", "--glob", "c*", stdin=True)
    recorder = Recorder(case, [broadcaster, subscriber])
    assert subscriber.command("check") == "checked equal outcome=ok status=200"
    session = recorder.stop()
    (mine,), (theirs,) = subscriber.log("check"), broadcaster.log("check")
    recovery = recovery_url(subscriber)
    by_hand = etag(receive_url(subscriber), [(b"a", recovery), (b"b", recovery)], [(b"c*", recovery)])[:8].hex()
    assert (mine["outcome"], mine["mine"], mine["theirs"]) == ("equal", by_hand, by_hand)
    check_compared(session, subscriber, broadcaster, mine, theirs)
    check_tables(session, CHECK)
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_difference_is_repaired_by_a_set(case):
    broadcaster, path = start_stored(case)
    subscriber = start_subscriber(case, broadcaster, "--exact", "a", "--exact", "b", stdin=True)
    url, recovery = receive_url(subscriber), recovery_url(subscriber)
    # by hand, so that the subscriber does not know
    assert post_change(broadcaster, "unsubscribe/exact", url, b"b", subscribe=False)[0] == 200
    assert post_change(broadcaster, "subscribe/exact", url, b"foreign")[0] == 200
    recorder = Recorder(case, [broadcaster, subscriber])
    assert subscriber.command("check") == "checked repaired outcome=ok status=200"
    session = recorder.stop()
    assert stored(path, url) == [(b"a", recovery), (b"b", recovery)]
    (mine,), (theirs,), (set_mine,), (set_theirs,) = (subscriber.log("check"), broadcaster.log("check"),
                                                      subscriber.log("set"), broadcaster.log("set"))
    assert (mine["outcome"], theirs["exact"]) == ("different", "2") and mine["mine"] != mine["theirs"]
    assert set_mine["etag"] == mine["mine"]
    assert (set_theirs["added"], set_theirs["removed"], set_theirs["kept"]) == ("1", "1", "1")
    trace = check_compared(session, subscriber, broadcaster, mine, theirs)
    assert check_set(session, subscriber, broadcaster, set_mine, set_theirs) is trace
    assert trace.only("set ")["parent_id"] == trace.only("check ")["span_id"]
    check_tables(session, CHECK + below(1, SET))
    assert subscriber.command("check") == "checked equal outcome=ok status=200"
    session.check_no_loss()
    harness.check_accepts(session)


def test_comparing_at_an_interval_repairs_by_itself(case):
    broadcaster, path = start_stored(case)
    subscriber = start_subscriber(case, broadcaster, "--exact", "a", "--check", "100ms", stdin=True)
    url = receive_url(subscriber)
    assert post_change(broadcaster, "unsubscribe/exact", url, b"a", subscribe=False)[0] == 200
    subscriber.wait_log("check", outcome="different")
    after = len(subscriber.log("check", outcome="equal"))
    subscriber.wait_log("check", outcome="equal", count=after + 2)
    assert stored(path, url) == [(b"a", recovery_url(subscriber))]
    assert len(subscriber.log("check", outcome="different")) == 1 and len(broadcaster.log("set")) == 1
    assert subscriber.stop() == 0
    assert stored(path, url) == []


def test_a_comparison_that_is_refused_is_told(case):
    broadcaster, path = start_stored(case)
    subscriber = start_subscriber(case, broadcaster, "--exact", "a", "--retries", "1", stdin=True)
    recorder = Recorder(case, [broadcaster, subscriber])
    assert post_check(broadcaster, URL, key=None) == (401, b"")
    assert post_check(broadcaster, URL, key=OTHER_SECRET) == (403, b"")
    assert post_check(broadcaster, b"ftp://x/") == (400, b"")
    assert post(broadcaster.url + "/v1/check_subscriptions", v16(b"") + v16(URL) + b"x") == (400, b"")
    assert post(broadcaster.url + "/v1/check_subscriptions", v16(b"") + v16(URL)[:-1]) == (400, b"")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("ALTER TABLE subscription_exact RENAME TO away")
        assert subscriber.command("check") == "refused check outcome=retries_exhausted status=503 reason=unavailable"
        db.execute("ALTER TABLE away RENAME TO subscription_exact")
    session = recorder.stop()
    assert subscriber.command("check") == "checked equal outcome=ok status=200"
    refused = [[(0, "handle_check_subscriptions", "error", code)] for code in ("401", "403", "400", "400", "400")]
    check_tables(session, *refused, [(0, "check_subscriptions", "error", "retries_exhausted"),
                                     (1, "attempt", "error", "retryable_status"), (2, "handle_check_subscriptions", "error", "503")])
    session.check_no_loss()
    harness.check_accepts(session)


harness.main(globals())

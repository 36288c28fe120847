#!/usr/bin/python3
"""Publishing, recorded while it runs: every message one trace over all processes, also when it fails."""
import hashlib
import os
import re
import shutil
import signal
import socket

import harness
from pubsub import (EXACT, HMAC, OTHER_SECRET, Pair, Recorder, check_publish, check_tables, events, hmac_options, publish,
                    start_broadcaster, start_publisher, start_subscriber)

MESSAGES = 23
PROGRAMS = {"notify": "psp-notify", "handle_notify": "psp-broadcaster", "receive": "psp-subscriber"}


def start_counting(case):
    """bpftrace on every site of publishing, counting; it prints its first word when all are attached."""
    if not shutil.which("bpftrace"):
        raise harness.Skip("bpftrace is not installed")
    sites = ", ".join(f"usdt:{os.path.join(harness.BUILD, program)}:lonelypsp:{operation}__*"
                      for operation, program in PROGRAMS.items())
    # Debian's bpftrace wants tracefs, which this mount shows to it alone.
    script = f'mount -t tracefs none /sys/kernel/tracing && exec bpftrace -e \'BEGIN {{ printf("go\\n"); }} {sites} {{ @[pid, probe] = count(); }}\''
    counting = case.start("/usr/bin/unshare", "--mount", "sh", "-c", script)
    counting.wait_for("^go$", "out", 2 * harness.PATIENCE)
    return counting


def counted(counting):
    """{(pid, point): hits}, ending it."""
    assert counting.stop(signal.SIGINT, 2 * harness.PATIENCE) == 0, counting.err
    found = re.findall(r"^@\[(\d+), usdt:[^\]]*:lonelypsp:(\w+)\]: (\d+)$", counting.text(), re.M)
    return {(int(pid), point): int(hits) for pid, point, hits in found}


def test_23_messages_are_23_traces_over_five_processes(case):
    pair = Pair(case, [["--exact", "a/b"]] * 3)
    recorder = Recorder(case, pair.programs)
    counting = start_counting(case)
    entries = pair.publish(MESSAGES)
    counts = counted(counting)
    session = recorder.stop()
    pair.stop()
    assert len({e["identifier"] for e in entries}) == MESSAGES
    assert {e["outcome"] for e in entries} == {"ok"} and {e["subscribers"] for e in entries} == {"3"}
    assert len(session.traces) == MESSAGES
    for entry in entries:
        trace = check_publish(session, pair, entry, EXACT)
        assert trace.line["processes"] == 5 and len(trace.spans) == 12 and trace.line["links"] == 4
        assert trace.line["status"] == "ok" and not trace.line["may_be_cut"] and trace.marks() == []
    assert [t.line["root"] for t in session.traces] == ["publish a/b"] * MESSAGES
    session.check_no_loss()
    harness.check_accepts(session)
    assert {key: hits for key, (hits, _, _) in session.hits().items() if hits} == counts
    # and by the protocol: a message passes these as often as there are subscribers, the others once
    each = {"exact_subscriber_found", "sending_receive", "response_received", "receive_confirmed"}
    assert {(pid, point): hits for (pid, point), hits in counts.items() if pid == pair.broadcaster.pid} == {
        (pair.broadcaster.pid, "handle_notify__" + point): MESSAGES * (3 if point in each else 1) for point in
        each | {"received", "auth_tentatively_accepted", "auth_accepted", "no_more_subscribers", "sending_response"}}


def test_glob_subscribers_are_shown_with_their_glob(case):
    pair = Pair(case, [["--glob", "a/*"], ["--exact", "a/b", "--glob", "a/[a-c]"], ["--glob", "b/*"]])
    recorder = Recorder(case, pair.programs)
    entries = pair.publish(7)
    session = recorder.stop()
    pair.stop()
    assert len(session.traces) == 7 and {e["subscribers"] for e in entries} == {"3"}
    for entry in entries:
        trace = check_publish(session, pair, entry, EXACT)
        found = [(events(d)[0], d["attributes"].get("messaging.destination.template"), d["attributes"]["url.full"])
                 for d in trace.find("deliver ")]
        first, second = (s.url + "/v1/receive" for s in pair.subscribers[:2])
        assert sorted(found, key=str) == sorted([("glob_subscriber_found", "a/*", first), ("exact_subscriber_found", None, second),
                                                 ("glob_subscriber_found", "a/[a-c]", second)], key=str), found
        assert trace.marks() == []
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_publisher_with_a_wrong_secret_is_shown_as_refused(case):
    broadcaster = start_broadcaster(case)
    subscriber = start_subscriber(case, broadcaster, "--exact", "t")
    wrong, none, deaf = (start_publisher(case, broadcaster, "t", "--retries", "1", auth=auth) for auth in
                         (hmac_options(to_broadcaster=OTHER_SECRET), [], hmac_options(to_subscriber=OTHER_SECRET)))
    recorder = Recorder(case, [broadcaster, subscriber, wrong, none, deaf])
    for publisher in (wrong, none, deaf):
        publish(publisher, "x", "failed")
    session = recorder.stop()
    refused = [(0, "notify", "error", "retries_exhausted"), (1, "attempt", "error", "bad_response")]
    check_tables(session,
                 # what is not authorized joins nothing
                 refused, [(0, "handle_notify", "error", "403")],
                 refused, [(0, "handle_notify", "error", "401")],
                 # the message is delivered, but its publisher cannot check the answer
                 [(0, "notify", "error", "retries_exhausted"), (1, "attempt", "error", "bad_auth"),
                  (2, "handle_notify", "ok", "200"), (3, "deliver", "ok", None),
                  (4, "receive", "ok", "200"), (5, "handler", "ok", None)])
    assert [t.line["status"] for t in session.traces] == ["error"] * 5
    assert not [t for t in session.traces if t.marks()]
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_subscriber_with_a_wrong_secret_is_shown_as_refused(case):
    broadcaster = start_broadcaster(case)
    programs = [broadcaster]
    for topic, auth in (("t", hmac_options(to_subscriber=OTHER_SECRET)), ("u", hmac_options(to_broadcaster=OTHER_SECRET))):
        first = start_subscriber(case, broadcaster, "--exact", topic, "--keep")
        assert first.stop() == 0
        programs.append(start_subscriber(case, broadcaster, "--listen", f"127.0.0.1:{first.port}", auth=auth))
    publishers = [start_publisher(case, broadcaster, topic) for topic in "tu"]
    recorder = Recorder(case, programs + publishers)
    for publisher in publishers:
        assert publish(publisher, "x")["subscribers"] == "0"
    session = recorder.stop()
    sent = [(0, "notify", "ok", None), (1, "attempt", "ok", None), (2, "handle_notify", "ok", "200")]
    check_tables(session,
                 # who cannot check a delivery asks to be unsubscribed; no authorization, no link
                 sent + [(3, "deliver", "unset", "unsubscribed")], [(0, "receive", "error", "403")],
                 # who confirms with a wrong secret did receive (and drops: it has not subscribed itself)
                 sent + [(3, "deliver", "error", "bad_auth"), (4, "receive", "ok", "200")])
    assert sorted(t.line["status"] for t in session.traces) == ["error", "error", "ok"]
    assert not [t for t in session.traces if t.marks()]
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_subscriber_killed_in_a_stream_leaves_what_it_had_begun(case):
    pair = Pair(case, [["--exact", "a/b"]] * 3)
    victim = pair.subscribers[1]
    slow = start_subscriber(case, pair.broadcaster, "--exact", "slow", "--handler-delay", "100s")
    publisher = start_publisher(case, pair.broadcaster, "slow")
    recorder = Recorder(case, [*pair.programs, slow, publisher], "--immediate")  # a delivery's begin does not trap otherwise
    before = pair.publish(5)
    publisher.process.line("x")
    # Who reads the session while it grows sees an operation that has been open for a while.
    (status, marks), = recorder.read_until("SELECT status, marks FROM span WHERE name = 'receive slow' AND pid = ?", slow.pid)
    assert (status, marks) == ("unset", "incomplete")
    slow.stop(signal.SIGKILL)
    victim.stop(signal.SIGKILL)
    publisher.process.wait_for("^published ", "out")
    after = pair.publish(6)
    session = recorder.stop()
    assert [e["subscribers"] for e in before + after] == ["3"] * 5 + ["2"] * 6
    for entry in before + after:
        assert check_publish(session, pair, entry, EXACT).marks() == []
    dead = [d for e in after for d in pair.broadcaster.log("deliver", notify=e["identifier"]) if d["url"].startswith(victim.url)]
    assert [d["outcome"] for d in dead] == ["network_error"] * 6
    cut, = session.with_root("publish slow")
    assert cut.table() == [(0, "notify", "ok", None), (1, "attempt", "ok", None), (2, "handle_notify", "ok", "200"),
                           (3, "deliver", "error", "network_error"),
                           (4, "receive", "unset", None), (5, "handler", "unset", None)], cut
    assert {s["span_id"] for s in cut.spans if "incomplete" in s["marks"]} == {s["span_id"] for s in cut.find(operation="receive")}
    assert len(session.traces) == len(before) + 1 + len(after)
    session.check_no_loss()
    harness.check_accepts(session, process_exited=1)


def test_a_subscriber_that_hangs_holds_up_its_message_for_the_time_out(case):
    pair = Pair(case, [["--exact", "a/b"], ["--exact", "a/b", "--handler-delay", "3s"], ["--exact", "a/b"]],
                broadcaster=["--read-timeout", "1s"])
    recorder = Recorder(case, pair.programs)
    entry, = pair.publish(1)
    pair.subscribers[1].wait_log("receive")
    session = recorder.stop()
    outcomes = [d["outcome"] for d in pair.broadcaster.log("deliver")]
    assert sorted(outcomes) == ["ok", "ok", "timeout"] and entry["subscribers"] == "2"
    trace = check_publish(session, pair, entry, EXACT)
    hung, = [d for d in trace.find("deliver ") if d["status"] == "error"]
    assert 0.9e9 < hung["end_ns"] - hung["start_ns"] < 3e9
    assert events(hung)[-3:] == ["network_error", "handle_missed_start", "handle_missed_success"]
    # it took the message all the same, after the broadcaster had given up
    receive, = trace.children(hung)
    assert receive["end_ns"] > hung["end_ns"] and receive["end_ns"] - receive["start_ns"] > 2.9e9
    assert trace.line["status"] == "error" and trace.marks() == []
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_recording_of_the_essential_level_has_no_finding_and_says_what_it_could_not_see(case):
    pair = Pair(case, [["--exact", "a/b"]] * 2)
    recorder = Recorder(case, pair.programs, "--level", "essential")
    pair.publish(7)
    session = recorder.stop()
    pair.stop()
    harness.check_accepts(session)
    found = harness.check(case, session.path)
    assert found["operations"] == 7 * 4
    # of each message: two deliveries, each with the head of its answer
    unseen = {(u["operation"], u["point"], u["why"]): u["operations"] for u in found["unseen"]}
    assert unseen[("handle_notify", "no_more_subscribers", "not observed")] == 7, unseen
    assert unseen[("notify", "hashed", "not observed")] == 7, unseen
    assert not [key for key in unseen if key[2] != "not observed"], unseen


def test_a_message_whose_hash_is_known_is_not_hashed_again_and_a_wrong_one_is_refused(case):
    broadcaster = start_broadcaster(case)
    recorder = Recorder(case, [broadcaster], "-e", os.path.join(harness.BUILD, "psp-notify"))
    right, wrong = (hashlib.sha512(text).hexdigest() for text in (b"hello", b"another"))
    for how in ([], ["--ws"]):
        for digest, status in ((right, 0), (wrong, 1)):
            case.run("psp-notify", "--broadcaster", broadcaster.url, *HMAC, *how, "--retries", "1", "--sha512", digest, "t", "hello",
                     status=status)
    session = recorder.stop()
    for operation, code, handled, mismatch in (("notify", "retries_exhausted", "200", "400"),
                                               ("stateful_notify", "ambiguous", None, "auth_mismatch")):
        spans = sorted((s for t in session.traces for s in t.roots() if s["operation"] == operation), key=lambda s: s["start_ns"])
        assert [(s["status"], s["code"]) for s in spans] == [("ok", None), ("error", code)], spans
        assert all(events(s)[0] == "start_with_hash" and "hashed" not in events(s) for s in spans), spans
        handles = sorted((s for t in session.traces for s in t.find(operation="handle_" + operation)), key=lambda s: s["start_ns"])
        assert [(s["status"], s["code"]) for s in handles] == [("ok", handled), ("error", mismatch)], handles
    session.check_no_loss()
    harness.check_accepts(session)


def closed_url():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return "http://127.0.0.1:%d" % server.getsockname()[1]


def test_a_broadcaster_that_is_down_is_tried_again_and_each_attempt_is_shown(case):
    broadcaster, down = start_broadcaster(case), closed_url()
    pair = Pair.of(broadcaster, [start_subscriber(case, broadcaster, "--exact", "t")],
                   start_publisher(case, f"{down},{broadcaster.url}", "t"))
    alone = start_publisher(case, down, "t", "--retries", "2")
    recorder = Recorder(case, [*pair.programs, alone])
    entries = pair.publish(11)
    exhausted = publish(alone, "x", "failed")
    session = recorder.stop()
    attempts = pair.publisher.log("attempt")
    assert {(a["broadcaster"], a["outcome"]) for a in attempts} == {(down, "network_error"), (broadcaster.url, "ok")}
    assert len({a["identifier"] for a in attempts}) == len(attempts)
    for entry in entries:
        assert check_publish(session, pair, entry, EXACT).marks() == []
    pair.publisher = alone
    trace = check_publish(session, pair, exhausted, EXACT)
    assert trace.table() == [(0, "notify", "error", "retries_exhausted"), (1, "attempt", "error", "network_error"),
                             (1, "attempt", "error", "network_error")]
    assert [e for e in events(trace.roots()[0]) if "retr" in e] == ["waiting_to_retry", "retrying", "retries_exhausted"]
    first, second = trace.find("attempt ")
    assert 1e9 < second["start_ns"] - first["end_ns"] < 2.5e9  # a second and up to one more by chance
    assert len(session.traces) == 12 and trace.marks() == []
    session.check_no_loss()
    harness.check_accepts(session)


harness.main(globals())

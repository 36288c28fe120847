#!/usr/bin/python3
"""Publishing, recorded while it runs: every message one trace over all processes, also when it fails."""
import collections
import os
import re
import shutil
import signal
import socket

import harness
from pubsub import (EXACT, HMAC, OTHER_SECRET, SECRET, Pair, Program, Recorder, check_publish, events, hmac_options,
                    identifier, publish, start_broadcaster, start_publisher, start_subscriber)

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


harness.main(globals())

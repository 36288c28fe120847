#!/usr/bin/python3
"""A recorder that is stopped while the programs go on, with a small ring: what is lost is counted,
and what it touched is marked. Prints TAP; needs root and BPF."""
import collections
import json
import os
import re
import signal
import sqlite3
import time

import harness
import stream


def is_stored(recorder, identifier):
    """The session, still being written, has both operations of a publish: also the one that ends last."""
    db = sqlite3.connect(f"file:{recorder.file}?mode=ro", uri=True)
    try:
        return db.execute("SELECT count(DISTINCT operation_id) FROM attribute WHERE value = ?", (identifier,)).fetchone()[0] == 2
    finally:
        db.close()


def catch_up(recorder, publisher):
    """Until a message is stored that is published now: it tells of the gap, and ends it. One that is
    published too early may be lost, so there may be more of them."""
    sent = []

    def is_one_stored():
        if not sent or time.monotonic() > sent[-1][1] + 0.3:
            sent.append((stream.publish(publisher, "is it over")["identifier"], time.monotonic()))
        return any(is_stored(recorder, identifier) for identifier, _ in sent[-3:])
    stream.wait_until(is_one_stored, "the recorder has caught up")


def burst(case, system, calm, *args):
    """Publishes around a gap: the calm publisher before and after it, a burst of another within it."""
    loud = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", "--ring-size", "64K", "--raw", case.path("f.raw"), *args, pids=system.pids())
    for i in range(7):
        stream.publish(calm, f"before {i}")
    last = stream.publish(loud, "last before")
    # what lies in the ring when the recorder stops was not lost: the gap begins behind it
    stream.wait_until(lambda: is_stored(recorder, last["identifier"]), "the recorder has caught up")
    stopped_at = time.time_ns()
    os.kill(recorder.pid, signal.SIGSTOP)
    for i in range(400):
        stream.publish(loud, f"burst {i}")
    os.kill(recorder.pid, signal.SIGCONT)
    catch_up(recorder, loud)
    over_at = time.time_ns()
    for i in range(7):
        stream.publish(calm, f"after {i}")
        stream.publish(loud, f"after {i}")
    session = recorder.stop()
    return session, [p for p in system.publishes() if int(p["end"]) < stopped_at or int(p["begin"]) > over_at]


def check_marks(session, system, untouched):
    """Whatever is not whole says so, and whatever lies outside the gap is whole."""
    for p in untouched:
        stream.check_complete(session, system, p)
    whole = set()
    for p in system.publishes():
        spans = session.of(p["identifier"])
        if spans and not stream.missing(session, system, p):
            whole.add(spans[0]["trace"])
        elif spans:
            assert "may be cut" in stream.marks(spans), (p, stream.missing(session, system, p), spans)
    for key, spans in session.traces.items():
        assert key in whole or "may be cut" in stream.marks(spans), spans
        # each operation in itself: short of a step, it is marked itself and not only its trace
        for s in spans:
            complete = s["steps"] == stream.STEPS[s["kind_name"]]
            assert complete or "may be cut" in stream.marks(operation_of(session, s)), s
    return whole


def operation_of(session, span):
    """The span with those around and in it that belong to its operation: same process, same ids."""
    return [s for s in session.traces[span["trace"]] if s["span_id"][:12] == span["span_id"][:12]]


def test_what_a_stopped_recorder_lost_is_counted_and_what_it_touched_is_marked(case):
    system = stream.System(case)
    for _ in range(2):
        system.subscriber("news")
    calm = system.publisher("news", lines=True)
    session, untouched = burst(case, system, calm)
    assert len(untouched) >= 22, len(untouched)
    session.check_books()
    assert session.lost() > 1000, session.lost()
    for program in [system.broadcaster, *system.subscribers, *system.publishers]:
        assert session.hits(program.pid) == stream.expected_hits(program), program.exe
    by_process = {r["pid"] for r in session.losses if r["lost"]}
    assert by_process == {p.pid for p in (system.broadcaster, *system.subscribers, system.publishers[1])}, by_process
    assert {r["reasons"].split()[0] for r in session.losses if r["lost"]} == {"ring_full"}
    whole = check_marks(session, system, untouched)
    unmarked = [k for k, spans in session.traces.items() if not stream.marks(spans)]
    assert set(unmarked) <= whole
    gaps = {pid: [g for g in session.gaps if g["process"] == key] for key, pid in
            ((p["key"], p["pid"]) for p in session.processes)}
    for pid in by_process:
        # a gap counts lost records: a few of their steps may have come with the end of their operation
        assert sum(g["lost"] for g in gaps[pid]) >= sum(r["lost"] for r in session.losses if r["pid"] == pid), gaps[pid]
    assert not gaps[calm.pid], "the calm publisher lost nothing"
    assert "may be cut" in recorder_words(case), "the summary says it"
    check_told(case, session, system)
    checked = harness.check(case, session.path)  # status 0: what was lost is no fault of the programs
    assert checked["genuine"] == 0 and checked["operations"] > 100 and checked["explained"]["unknown"], checked
    print(f"# {len(system.publishes())} published, {session.lost()} of {sum(r['hits'] for r in session.losses)} steps lost, "
          f"{len(unmarked)} traces whole, {len(session.traces) - len(unmarked)} marked")
    system.stop()


def told(case, session, *args):
    return json.loads(case.run("outspan", "losses", "--json", *args, session.path).text())


def check_told(case, session, system):
    """`outspan losses` says what the logs say: how much is missing, of whom, when; and how many traces that touched."""
    books = told(case, session)
    counted = {p.pid: stream.expected_hits(p) for p in [system.broadcaster, *system.subscribers, *system.publishers]}
    hits = collections.defaultdict(dict)
    for row in books["points"]:
        if row["hits"]:
            hits[row["process"]["pid"]][row["probe"]] = row["hits"]
    assert dict(hits) == counted, (dict(hits), counted)
    stored = collections.Counter(e["process"] for e in session.events)
    pid_of = {p["key"]: p["pid"] for p in session.processes}
    assert books["steps_stored"] == sum(stored.values()) and books["closes"] and books["ended"]
    assert books["steps_missing"] == sum(sum(h.values()) for h in counted.values()) - books["steps_stored"], books["steps_missing"]
    assert not books["whole"] and sum(r["steps_lost"] for r in books["reasons"]) == books["steps_missing"]
    cut = [k for k, spans in session.traces.items() if "may be cut" in stream.marks(spans)]
    assert books["traces"]["all"] == len(session.traces) and books["traces"]["marked"]["may_be_cut"] == len(cut)
    assert sum(i["steps_lost"] for i in books["intervals"]) == books["steps_missing"] == sum(g["steps_lost"] for g in books["gaps"])
    for i in books["intervals"]:  # steps that are stored and lie within: in the session's own wall time
        there = [e for e in session.events if i["from_ns"] <= e["time_ns"] <= i["to_ns"]]
        assert abs(len(there) - i["steps_stored"]) <= 2, (len(there), i)
    for pid in counted:
        own = told(case, session, "--process", str(pid))
        assert own["steps_stored"] == sum(n for key, n in stored.items() if pid_of[key] == pid), (pid, own["steps_stored"])
        assert own["hits"] == sum(counted[pid].values()) and own["closes"], (pid, own["hits"])
        whole = case.run("outspan", "losses", "--check", "--process", str(pid), session.path, status=None).popen.returncode == 0
        assert whole == (own["hits"] == own["steps_stored"]), pid
    text = case.run("outspan", "losses", session.path).text()
    assert text.startswith(f"missing: {books['steps_missing']} of {books['hits']} steps ("), text
    assert "closes for every point of every process" in text and max(map(len, text.splitlines())) <= 100, text
    summary = re.search(r"losses: (\d+) steps are missing", recorder_words(case))
    assert int(summary[1]) == books["steps_missing"], (summary[0], books["steps_missing"])
    case.run("outspan", "losses", "--check", session.path, status=1)
    return books


def recorder_words(case):
    return next(p.err.decode() for p in case.processes if p.argv[1:2] == ["record"])


def test_losses_without_trace_context_are_counted_and_marked_too(case):
    system = stream.System(case)
    system.subscriber("news")
    calm = system.publisher("news", lines=True)
    session, untouched = burst(case, system, calm, "--no-context")
    session.check_books()
    assert session.lost() > 500, session.lost()
    for program in [system.broadcaster, *system.subscribers, *system.publishers]:
        assert session.hits(program.pid) == stream.expected_hits(program), program.exe
    for p in untouched:
        spans = session.of(p["identifier"])
        assert len(spans) == 6 and not stream.marks(spans), (p, spans)
        assert {x["grade"] for s in spans for x in s["links"]} == {"strong"}, spans
    for spans in session.traces.values():
        whole = sorted(s["kind_name"] for s in spans) == sorted(stream.STEPS) and \
            all(s["steps"] == stream.STEPS[s["kind_name"]] for s in spans)
        assert whole or "may be cut" in stream.marks(spans), spans
    system.stop()


def test_losses_at_the_very_end_are_counted_and_marked(case):
    """Stopped in the burst and never drained again before the end: no later record tells of the gap."""
    system = stream.System(case)
    system.subscriber("news")
    loud = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", "--ring-size", "64K", pids=system.pids())
    for i in range(5):
        stream.publish(loud, f"before {i}")
    before = system.publishes()
    stream.wait_until(lambda: is_stored(recorder, before[-1]["identifier"]), "the recorder has caught up")
    os.kill(recorder.pid, signal.SIGSTOP)
    for i in range(300):
        stream.publish(loud, f"burst {i}")
    recorder.ask_to_stop()
    os.kill(recorder.pid, signal.SIGCONT)
    session = recorder.end()
    session.check_books()
    assert session.lost() > 500, session.lost()
    for program in [system.broadcaster, *system.subscribers, *system.publishers]:
        assert session.hits(program.pid) == stream.expected_hits(program), program.exe
    check_told(case, session, system)
    whole = check_marks(session, system, before)
    assert 5 <= len(whole) < 300, len(whole)
    stream.check_untouched(*system.pids())
    system.stop()


def test_a_session_without_loss_is_one_line(case):
    system = stream.System(case)
    system.subscriber("news")
    calm = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", pids=system.pids())
    for i in range(7):
        stream.publish(calm, f"calm {i}")
    session = recorder.stop()
    programs = [system.broadcaster, *system.subscribers, *system.publishers]
    hits = sum(sum(stream.expected_hits(p).values()) for p in programs)
    line = case.run("outspan", "losses", session.path).text()
    assert re.fullmatch(rf"no step is missing: {hits} hits of \d+ points in 3 processes\n", line), line
    assert case.run("outspan", "losses", "--check", session.path).text() == line
    assert told(case, session)["whole"] and "lost:" not in case.run("outspan", "ls", session.path).text()
    assert "losses: none" in recorder_words(case)
    system.stop()


def test_a_session_whose_recorder_was_killed_says_where_it_ends(case):
    system = stream.System(case)
    system.subscriber("news")
    loud = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", "--ring-size", "64K", pids=system.pids())
    for i in range(5):
        last = stream.publish(loud, f"before {i}")
    stream.wait_until(lambda: is_stored(recorder, last["identifier"]), "the recorder has caught up")
    os.kill(recorder.pid, signal.SIGSTOP)
    for i in range(200):
        stream.publish(loud, f"burst {i}")
    os.kill(recorder.pid, signal.SIGCONT)
    catch_up(recorder, loud)
    recorder.process.stop(signal.SIGKILL)
    session = stream.Session(recorder.file)
    session.check_books()
    books = told(case, session)
    assert not books["ended"] and not books["whole"] and books["closes"] and books["steps_missing"] > 500, books["steps_missing"]
    assert books["steps_stored"] == len(session.events)
    assert books["last_step_ns"] == max(e["time_ns"] for e in session.events), books["last_step_ns"]
    said = case.run("outspan", "losses", "--utc", session.path)
    assert re.search(r"^cut at \d{4}-\d\d-\d\dT[0-9:.]+Z: the recording is under way or was killed,$", said.text(), re.M), said.text()
    assert b": cut at 20" in said.err
    case.run("outspan", "losses", "--check", session.path, status=1)
    # those that lie near the gap may lack what it took, marked or not; the others are as before
    listed = [json.loads(x) for x in case.run("outspan", "ls", "--json", session.path).text().splitlines()]
    assert sum(t["may_be_cut"] for t in listed) == books["traces"]["marked"]["may_be_cut"] > 0
    for t in listed:
        spans = session.traces[next(s["trace"] for s in session.spans if s["trace_id"] == t["trace_id"])]
        whole = sorted(s["kind_name"] for s in spans) == sorted(stream.STEPS) and \
            all(s["steps"] == stream.STEPS[s["kind_name"]] for s in spans)
        assert whole or t["may_be_cut"], spans


def status(case, recorder):
    return json.loads(case.run("outspan", "ctl", recorder.file, "status", "--json").text())


def stopped_while(recorder, system, publisher, messages):
    """The recorder does nothing while these are published: they all wait in the ring."""
    os.kill(recorder.pid, signal.SIGSTOP)
    round_ = [stream.publish(publisher, f"round of {messages}, {i}")["identifier"] for i in range(messages)]
    os.kill(recorder.pid, signal.SIGCONT)
    catch_up(recorder, publisher)
    return [p for p in system.publishes() if p["identifier"] in round_]


def test_keep_last_discards_the_oldest_before_the_kernel_drops_the_newest(case):
    """More and more messages wait in the ring, until it is over the mark, but not full."""
    system = stream.System(case)
    system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", "--ring-size", "256K", "--raw", case.path("f.raw"), "--overload", "keep-last",
                               pids=system.pids())
    catch_up(recorder, publisher)
    messages, losses = 8, {}
    while not losses:
        messages += 1 + messages // 10
        assert messages < 10000, "the ring is never over the mark"
        last_round = stopped_while(recorder, system, publisher, messages)
        losses = status(case, recorder)["losses"]
    assert set(losses) == {"overload"}, losses
    session = recorder.stop()
    session.check_books()
    assert {w for r in session.losses if r["lost"] for w in r["reasons"].split()[::2]} == {"overload"}, session.losses
    assert session.settings["overload"] == "keep-last"
    for program in [system.broadcaster, *system.subscribers, *system.publishers]:
        assert session.hits(program.pid) == stream.expected_hits(program), program.exe
    stream.check_complete(session, system, last_round[-1])
    assert stream.missing(session, system, last_round[0]), "the oldest was discarded"
    kept = [not stream.missing(session, system, p) for p in last_round]
    assert kept == sorted(kept) and sum(kept) > messages // 4, f"the newest survive: {kept}"
    check_marks(session, system, [p for p in system.publishes() if p not in last_round])
    replayed = case.path("replayed.db")
    case.run("outspan", "replay", case.path("f.raw"), "-o", replayed)
    assert stream.Session(replayed).lost() == session.lost()
    print(f"# of {messages} messages in a ring of 256K {sum(kept)} are whole, {session.lost()} steps discarded")
    system.stop()


def test_keep_last_with_a_ring_that_is_full_counts_both_kinds_of_loss(case):
    system = stream.System(case)
    for _ in range(2):
        system.subscriber("news")
    calm = system.publisher("news", lines=True)
    session, untouched = burst(case, system, calm, "--overload", "keep-last")
    session.check_books()
    assert {w for r in session.losses if r["lost"] for w in r["reasons"].split()[::2]} == {"ring_full", "overload"}
    for program in [system.broadcaster, *system.subscribers, *system.publishers]:
        assert session.hits(program.pid) == stream.expected_hits(program), program.exe
    check_marks(session, system, untouched)
    system.stop()


if __name__ == "__main__":
    harness.main(globals())

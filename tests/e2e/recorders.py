#!/usr/bin/python3
"""Recorders that are killed, started again, two at once, told to stop twice; a broadcaster that
starts again under a live one. Prints TAP; needs root and BPF."""
import json
import os
import re
import shutil
import signal
import time

import harness
import stream


def complete(session, system, publishes):
    """Which of them are whole traces without a mark."""
    return [bool(session.of(p["identifier"])) and not stream.missing(session, system, p)
            and not stream.marks(session.of(p["identifier"])) for p in publishes]


# The points of level detail that a delivered message passes (probes/catalogue/lonelypsp.yaml).
DETAIL = {"hashed", "response_received", "auth_tentatively_accepted", "no_more_subscribers", "no_more_handlers"}


def start_stream(case):
    """One publisher that does not end by itself, two subscribers."""
    system = stream.System(case)
    for _ in range(2):
        system.subscriber("news")
    publisher = system.publisher("news", "x", "--numbered", "--count", "1000000", "--rate", "250")
    more(publisher, 10)
    return system, publisher


def more(publisher, count):
    """Until so many more messages are published."""
    seen = len(publisher.log("publish"))
    stream.wait_until(lambda: len(publisher.log("publish")) >= seen + count, f"{count} more messages")


def end_stream(system, publisher):
    publisher.process.signal(signal.SIGTERM)
    publisher.process.wait()
    for p in [*system.subscribers, system.broadcaster]:
        assert p.stop() == 0, p.exe


def kill(recorder):
    """As the kernel does when memory runs out; when it happened."""
    os.kill(recorder.pid, signal.SIGKILL)
    assert recorder.process.wait() == -signal.SIGKILL
    return time.time_ns()


def within(system, recorder, until):
    return [p for p in system.publishes() if int(p["begin"]) > recorder.ready_at and int(p["end"]) < until]


def test_a_killed_recorder_leaves_whole_batches_and_untouched_targets(case):
    system, publisher = start_stream(case)
    recorder = stream.Recorder(case, "f.db", "--level", "debug", pids=system.pids())
    more(publisher, 200)
    for pid in system.pids():
        assert set(stream.semaphores(pid).values()) == {1}, stream.semaphores(pid)
    live = stream.Session(recorder.file)
    seen = [p for p in system.publishes() if complete(live, system, [p]) == [True]]
    assert len(seen) > 50, len(seen)
    killed_at = kill(recorder)
    stream.check_untouched(*system.pids())
    more(publisher, 20)
    listed = case.run("outspan", "ls", "--json", recorder.file)
    assert len(listed.text().splitlines()) >= len(seen)
    assert b": cut at 20" in listed.err, listed.err
    session = stream.Session(recorder.file)
    session.check_books()
    publishes = within(system, recorder, killed_at)
    flags = complete(session, system, publishes)
    assert flags == sorted(flags, reverse=True), "one that is not whole stands before one that is"
    assert all(complete(session, system, seen)), "what was committed is gone"
    first_missing = flags.index(False) if False in flags else len(flags)
    print(f"# {first_missing} of {len(flags)} whole after the kill, {len(seen)} of them seen before it")
    case.run("outspan", "show", recorder.file, "#1")
    end_stream(system, publisher)


def test_a_recorder_started_again_records_the_same_targets(case):
    system, publisher = start_stream(case)
    for turn in range(3):
        recorder = stream.Recorder(case, "f.db", "--overwrite", pids=system.pids())
        more(publisher, 50)
        if turn < 2:
            kill(recorder)
            assert os.path.exists(recorder.file + "-wal"), "killed while it wrote"
    session = recorder.stop()
    assert case.run("outspan", "ls", recorder.file).err == b"", "nothing is said of one that ended"
    publishes = within(system, recorder, recorder.stopped_at)
    assert len(publishes) >= 45
    session.check_books()
    assert session.lost() == 0, session.losses
    assert all(complete(session, system, publishes))
    assert not [p for p in system.publishes() if int(p["end"]) < recorder.began and session.of(p["identifier"])]
    assert not os.path.exists(recorder.file + "-wal")
    stream.check_untouched(*system.pids())
    end_stream(system, publisher)


def test_killed_over_and_over_harms_no_target(case):
    system, publisher = start_stream(case)
    for turn in range(5):
        recorder = stream.Recorder(case, f"{turn}.db", pids=system.pids(), ready=False)
        recorder.process.wait_for("recording|ready") if turn % 2 else more(publisher, 1 + 10 * turn)
        kill(recorder)
    more(publisher, 20)
    stream.check_untouched(*system.pids())
    assert {p["outcome"] for p in system.publishes()} == {"ok"}
    end_stream(system, publisher)


def test_two_recorders_at_once_each_get_everything(case):
    system = stream.System(case)
    for _ in range(2):
        system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    one = stream.Recorder(case, "1.db", "--level", "debug", pids=system.pids())
    two = stream.Recorder(case, "2.db", "--level", "debug", pids=system.pids())
    for pid in system.pids():
        assert set(stream.semaphores(pid).values()) == {1}, "two tracers of one site share its semaphore"
    for i in range(11):
        stream.publish(publisher, str(i))
    first = one.stop()
    everyone = [system.broadcaster, *system.subscribers, *system.publishers]
    for p in everyone:
        assert first.hits(p.pid) == stream.expected_hits(p), p.exe
        assert set(stream.semaphores(p.pid).values()) == {1}, stream.semaphores(p.pid)
    publishes = system.publishes()
    for i in range(5):
        stream.publish(publisher, f"later {i}")
    second = two.stop()
    for p in everyone:
        assert second.hits(p.pid) == stream.expected_hits(p), p.exe
    for session, whole in ((first, publishes), (second, system.publishes())):
        session.check_books()
        assert session.lost() == 0 and len(session.traces) == len(whole)
        for p in whole:
            stream.check_complete(session, system, p)
    stream.check_untouched(*system.pids())
    system.stop()


def test_recorders_of_all_forms_at_once_each_get_every_step_of_their_level(case):
    system = stream.System(case)
    for _ in range(2):
        system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    forms = {"light": ["--light"], "default": [], "immediate": ["--immediate"]}
    full = {form: stream.Recorder(case, f"{form}.db", *how, pids=system.pids()) for form, how in forms.items()}
    essential = stream.Recorder(case, "e.db", "--immediate", "--level", "essential", pids=system.pids())
    for i in range(23):
        stream.publish(publisher, str(i))
    sessions = {form: r.stop() for form, r in full.items()}
    low = essential.stop()
    everyone = [system.broadcaster, *system.subscribers, publisher]
    for form, session in sessions.items():
        session.check_books()
        assert session.settings["form"] == form and session.lost() == 0, (form, session.losses)
        for p in everyone:
            assert session.hits(p.pid) == stream.expected_hits(p), (form, p.exe)
        for p in system.publishes():
            stream.check_complete(session, system, p)
    traps = {form: int(s.settings["cost.hits"]) for form, s in sessions.items()}
    steps = sum(n for p in everyone for n in stream.expected_hits(p).values())
    operations = 23 * (1 + 1 + 2)
    watched = 23 * (1 + 1)  # they wait for a peer; taking a message does not
    assert traps == {"light": operations, "default": operations + watched, "immediate": steps}, (traps, steps)
    low.check_books()
    left_out = {r["reasons"] for r in low.losses if r["lost"]}
    assert all(x.startswith("filtered") for x in left_out), left_out
    stored = {(r["pid"], r["probe"]): r["stored"] for r in low.losses if r["stored"]}
    assert stored == {(p.pid, k): n for p in everyone for k, n in stream.expected_hits(p).items() if k.split("__")[1] not in DETAIL}, stored
    stream.check_untouched(*system.pids())
    system.stop()


def test_a_session_tells_its_form_and_what_it_cost(case):
    system = stream.System(case)
    system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", "--immediate", "--level", "essential", pids=system.pids())
    for i in range(23):
        stream.publish(publisher, str(i))
    session = recorder.stop()
    told = session.settings
    assert (told["form"], told["level"], told["attach_form"]) == ("immediate", "essential", "uprobe_multi"), told
    assert told["no_op"] in ("1 byte", "10 bytes") and told["no_op_10_bytes"], told
    hits = {p.pid: sum(session.hits(p.pid).values()) for p in (system.broadcaster, *system.subscribers, publisher)}
    assert sum(hits.values()) == int(told["cost.hits"]) > 23 * 8, (hits, told)
    targets = {t["pid"]: t for t in json.loads(told["cost.targets"])}
    assert {pid: t["hits"] for pid, t in targets.items()} == hits, (targets, hits)
    each = int(told["cost.empty_hit_ns"]) + int(told["cost.program_ns"])
    assert 50 < int(told["cost.empty_hit_ns"]) < 100_000 and int(told["cost.program_ns"]) < 100_000, told
    most = (recorder.ended_at - recorder.began) / 1e9
    for pid, t in targets.items():
        assert t["slow_down"] > hits[pid] * each / 1e9 / most, (t, each, most)
        assert t["slow_down"] < hits[pid] * each / (recorder.stopped_at - recorder.ready_at), (t, each)
    assert int(told["cost.recorder_cpu_ns"]) > 0 and int(told["cost.wakeups"]) > 0 and int(told["cost.steps_per_second"]) > 0, told
    assert f"overhead: {told['cost.hits']} hits in the targets (immediate form), about {each} ns each" in recorder.said, recorder.said
    for pid in hits:
        assert re.search(rf"^  process {pid} +{hits[pid]} hits  slowed down by about \d+\.\d\d %$", recorder.said, re.M), recorder.said
    system.stop()


def test_the_cost_of_a_program_of_which_only_its_end_is_told(case):
    system = stream.System(case)
    publisher = os.path.join(harness.BUILD, "psp-notify")
    recorder = stream.Recorder(case, "f.db", "--aggregate", "-e", publisher)
    began = time.monotonic()
    case.run(publisher, "--broadcaster", system.url, "--count", "300", "-q", "news", "x")
    took = time.monotonic() - began
    told = recorder.stop().settings
    target, = json.loads(told["cost.targets"])
    spent = target["hits"] * (int(told["cost.empty_hit_ns"]) + int(told["cost.program_ns"])) / 1e9
    assert target["hits"] >= 300 and spent / took < target["slow_down"] < 1, (target, spent, took)
    system.stop()


def test_one_form_at_a_time(case):
    r = case.run("outspan", "record", "--light", "--immediate", "--all", status=2)
    assert b"one of --light and --immediate" in r.err, r.err


def restart(system):
    """The broadcaster ends and starts again on the same port; its subscribers are remembered."""
    port = system.broadcaster.port
    assert system.broadcaster.stop() == 0
    return system.start_broadcaster(port)


def test_a_broadcaster_that_starts_again_is_recorded_by_its_path(case):
    system = stream.System(case)
    system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", "-e", system.broadcaster.exe)
    for turn in range(3):
        for i in range(7):
            stream.publish(publisher, f"{turn} {i}")
        if turn < 2:
            restart(system)
    session = recorder.stop()
    session.check_books()
    assert session.lost() == 0
    for b in system.broadcasters:
        ids = sorted(n["identifier"] for n in b.log("notify", outcome="ok"))
        handled = session.find("handle_notify", pid=b.pid)
        assert len(ids) == 7 and sorted(s["attributes"][stream.MESSAGE_ID] for s in handled) == ids, handled
        assert {k: n for k, n in session.hits(b.pid).items() if k.startswith("handle_notify")} == stream.expected_hits(b)
        assert not stream.marks(handled), handled
    assert {s["pid"] for s in session.spans} == {b.pid for b in system.broadcasters}
    ends = {p["pid"]: p["end_ns"] for p in session.processes}
    assert [ends[b.pid] > 0 for b in system.broadcasters] == [True, True, False], session.processes
    stream.check_untouched(*system.pids())
    system.stop()


def test_a_broadcaster_that_is_killed_and_starts_again_is_recorded_among_all(case):
    system = stream.System(case)
    system.subscriber("news")
    slow = system.subscriber("slow", args=("--handler-delay", "1500ms"))
    publisher = system.publisher("news", lines=True)
    held = system.publisher("slow", "--retries", "1", lines=True)
    recorder = stream.Recorder(case, "f.db", "--all")
    for i in range(7):
        stream.publish(publisher, f"before {i}")
    held.process.line("its broadcaster dies")
    slow.connected()
    stream.publish(publisher, "going by")
    before, port = system.broadcaster, system.broadcaster.port
    assert before.stop(signal.SIGKILL) == -signal.SIGKILL
    killed_at = time.time_ns()
    held.process.wait_for(r"^failed ", "out")
    system.start_broadcaster(port)
    for i in range(7):
        stream.publish(publisher, f"after {i}")
    stream.wait_until(lambda: len(slow.log("receive")) == 1, "the slow subscriber is done")
    session = recorder.stop()
    session.check_books()
    publishes = [p for p in system.publishes() if p["topic"] == "news"]
    assert len(publishes) == 15
    for p in publishes:
        stream.check_complete(session, system, p)
    failed, = [p for p in system.publishes() if p["topic"] == "slow"]
    spans = {s["kind_name"]: s for s in session.of(failed["identifier"])}
    assert sorted(spans) == sorted(stream.STEPS), spans
    assert spans["notify"]["status"] == "error" and not spans["notify"]["marks"], spans["notify"]
    assert spans["attempt"]["code"] == "network_error", spans["attempt"]
    assert "incomplete" in spans["handle_notify"]["marks"], spans["handle_notify"]
    assert spans["handle_notify"]["end_ns"] < killed_at, "it ends when the process does"
    assert spans["handle_notify"]["status"] == "unset", spans["handle_notify"]
    assert not spans["receive"]["marks"] and spans["receive"]["steps"] == stream.DELAYED["receive"], spans["receive"]
    died, = [p for p in session.processes if p["pid"] == before.pid]
    assert died["exit_code"] == signal.SIGKILL and died["end_ns"], died
    stream.check_untouched(*system.pids())
    for p in (publisher, *system.subscribers, system.broadcaster):
        assert p.stop() == 0, p.exe


def test_programs_that_start_while_it_stops_are_not_attached(case):
    """Their notices are read until the end, but nobody would read what comes from their sites."""
    system = stream.System(case)
    known = [shutil.copy(system.broadcaster.exe, case.path(f"known{i}")) for i in range(20)]  # they make the stop long
    running = []

    def start_a_new_one(name):
        program = shutil.copy(os.path.join(harness.BUILD, "psp-notify"), case.path(name))
        running.append(case.start(program, "--broadcaster", system.url, "--count", "1000", "--rate", "100", "-q", "news", "x"))
        if len(running) > 20:
            end_oldest()

    def end_oldest():
        running[0].signal(signal.SIGKILL)
        running.pop(0).wait()

    recorder = stream.Recorder(case, "f.db", "--all", *[x for program in known for x in ("-e", program)])
    recorder.ask_to_stop()
    started = 0
    while recorder.process.popen.poll() is None:
        start_a_new_one(f"new{started}")
        started += 1
    session = recorder.end()
    case.run("outspan", "losses", "--check", recorder.file)
    attached = {exe for exe, in stream.open_copy(session.path).execute(
        "SELECT DISTINCT exe FROM process JOIN attach ON attach.process = process.key")}
    assert system.broadcaster.exe in attached, attached
    # the first may have been there before it knew of the stop
    assert started > 6 and not {case.path(f"new{i}") for i in range(3, started)} & attached, (started, attached)
    while running:
        end_oldest()
    system.stop()


def test_a_second_interrupt_ends_it_at_once(case):
    """The recorder is caught between the two: stopped as soon as it has taken the first."""
    system, publisher = start_stream(case)
    recorder = stream.Recorder(case, "f.db", pids=system.pids())
    os.kill(recorder.pid, signal.SIGSTOP)
    more(publisher, 1000)  # work to do before the end
    recorder.process.signal(signal.SIGINT)
    os.kill(recorder.pid, signal.SIGCONT)

    def has_taken_it():
        with open(f"/proc/{recorder.pid}/status", encoding="ascii") as f:
            blocked = int(next(line.split()[1] for line in f if line.startswith("SigBlk")), 16)
        return not blocked >> (signal.SIGINT - 1) & 1
    stream.wait_until(has_taken_it, "the first interrupt is taken")
    recorder.process.signal(signal.SIGINT)
    assert recorder.process.wait() == -signal.SIGINT, recorder.process.err
    session = stream.Session(recorder.file)
    assert session.integrity == "ok"
    stream.check_untouched(*system.pids())
    more(publisher, 10)
    end_stream(system, publisher)


if __name__ == "__main__":
    harness.main(globals())

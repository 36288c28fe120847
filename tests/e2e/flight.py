#!/usr/bin/python3
"""The flight recorder: copies of a session that is being recorded, made when somebody asks and when
a trace fails or is slow. Prints TAP; needs root and BPF."""
import json
import os
import signal
import sqlite3
import subprocess
import time

import ctl
import failures
import harness
import stream


def start(case, *args):
    system = stream.System(case)
    system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "run.db", *args, pids=system.pids())
    return system, publisher, recorder


def copies(case):
    return sorted(f for f in os.listdir(case.dir) if ".saved-" in f and f.endswith(".db"))


def saved(recorder, name):
    recorder.process.wait_for(rf"^saved \S*{name}: ")


def of(system, *identifiers):
    return [p for p in system.publishes() if p["identifier"] in identifiers]


def test_a_signal_and_an_order_save_copies_of_what_is_there(case):
    system, publisher, recorder = start(case)
    first = ctl.stored(recorder, publisher, "first")["identifier"]
    os.kill(recorder.pid, signal.SIGUSR1)
    saved(recorder, "run.saved-1.db")
    second = ctl.stored(recorder, publisher, "second")["identifier"]
    answer = json.loads(case.run("outspan", "ctl", recorder.file, "save", "--json").text())
    assert answer == {"saved": case.path("run.saved-2.db")}, answer
    case.run("outspan", "ctl", recorder.file, "save", "mine.db")
    third = ctl.stored(recorder, publisher, "third")["identifier"]
    taken = case.run("outspan", "ctl", recorder.file, "save", "mine.db", status=1)
    assert "File exists" in taken.err.decode(), taken.err
    session = recorder.stop()
    session.check_books()
    assert copies(case) == ["run.saved-1.db", "run.saved-2.db"]
    one, two, mine = (stream.Session(case.path(n)) for n in ("run.saved-1.db", "run.saved-2.db", "mine.db"))
    for s, there in ((one, [first]), (two, [first, second]), (mine, [first, second]), (session, [first, second, third])):
        for p in of(system, *there):
            stream.check_complete(s, system, p)
        assert len(s.traces) == len(there)
        s.check_books()
    assert one.settings["saved_1_why"] == "signal" and "saved_2_why" not in one.settings
    assert two.settings["saved_2_why"] == "asked by user 0" and "saved_2_at" in two.settings
    system.stop()


def test_the_user_behind_sudo_may_not_say_where_root_makes_a_file(case):
    system = stream.System(case)
    recorder = case.start("outspan", "record", "-p", str(system.broadcaster.pid), "-o", case.path("run.db"),
                          env=dict(os.environ, SUDO_UID="65534", SUDO_GID="65534"))
    recorder.wait_for("^ready")

    def as_user(*words):
        return subprocess.run([os.path.join(harness.BUILD, "outspan"), "ctl", "-p", str(recorder.pid), *words], user=65534,
                              group=65534, extra_groups=[], capture_output=True, text=True, timeout=harness.PATIENCE, cwd="/")
    refused = as_user("save", case.path("elsewhere.db"))
    assert refused.returncode == 1 and "save without FILE" in refused.stderr, refused
    allowed = as_user("save")
    assert allowed.returncode == 0 and "run.saved-1.db" in allowed.stdout, allowed
    assert copies(case) == ["run.saved-1.db"] and not os.path.exists(case.path("elsewhere.db"))
    assert os.stat(case.path("run.saved-1.db")).st_uid == 65534
    assert os.stat(case.path("run.saved-1.db")).st_mode & 0o777 == 0o600
    assert recorder.stop(signal.SIGINT) == 0
    system.stop()


def test_a_failed_trace_is_saved_with_what_went_before(case):
    system, publisher, recorder = start(case, "--keep-last", "60s", "--save-on", "error")
    good = ctl.stored(recorder, publisher, "good")["identifier"]
    subscriber = system.subscribers[0].process
    os.kill(subscriber.pid, signal.SIGKILL)
    subscriber.wait()
    bad = ctl.stored(recorder, publisher, "nobody takes this")["identifier"]
    saved(recorder, "run.saved-1.db")
    session = recorder.stop()
    assert copies(case) == ["run.saved-1.db"], "one failure, one copy"
    copy = stream.Session(case.path("run.saved-1.db"))
    stream.check_complete(copy, system, of(system, good)[0])
    failed = [s for s in copy.of(bad) if s["status"] == "error"]
    assert failed, copy.of(bad)
    why = copy.settings["saved_1_why"]
    assert why.startswith("error: ") and any(f"{s['span_id']}" in why for s in failed), (why, failed)
    session.check_books()
    system.subscribers.clear()
    system.stop()


def test_a_slow_trace_is_saved_and_quick_ones_are_not(case):
    system = stream.System(case)
    system.subscriber("news")
    slow = system.subscriber("slow", args=("--handler-delay", "700ms"))
    publisher, lame = system.publisher("news", lines=True), system.publisher("slow", lines=True)
    recorder = stream.Recorder(case, "run.db", "--save-on", "slow=500ms", pids=system.pids())
    for i in range(7):
        ctl.stored(recorder, publisher, f"quick {i}")
    assert copies(case) == []
    late = ctl.stored(recorder, lame, "slow")["identifier"]
    saved(recorder, "run.saved-1.db")
    session = recorder.stop()
    copy = stream.Session(case.path("run.saved-1.db"))
    assert copies(case) == ["run.saved-1.db"]
    assert copy.settings["saved_1_why"].startswith("slow, "), copy.settings
    stream.check_complete(copy, system, of(system, late)[0])
    session.check_books()
    assert slow.delayed
    system.stop()


def test_what_is_kept_stays_as_large_as_it_is_however_long_it_goes(case):
    ticker = failures.start_ticker(case, failures.build_ticker(case))
    recorder = stream.Recorder(case, "run.db", "--catalogue", failures.TICKER + ".yaml", "--keep-last", "1s", pids=[ticker.pid])
    began, sizes, rounds = time.monotonic(), [], 0

    def size():
        return sum(os.stat(f).st_size for f in (recorder.file, recorder.file + "-wal") if os.path.exists(f))
    while time.monotonic() < began + 9:
        failures.tick(ticker, 5000)
        rounds += 1
        stream.wait_until(lambda: ctl.ask(recorder, "status")["steps"] == rounds * 15000, "all of it is recorded")
        sizes.append((time.monotonic() - began, size()))
    recorder.process.signal(signal.SIGINT)
    assert recorder.process.wait(2 * harness.PATIENCE) == 0
    early, late = (max(n for t, n in sizes if a <= t < b) for a, b in ((0, 4.5), (4.5, 99)))
    db = sqlite3.connect(recorder.file)
    settings = dict(db.execute("SELECT name, value FROM session"))
    books = db.execute("SELECT hits, stored, lost FROM losses").fetchall()
    process, = db.execute("SELECT DISTINCT process FROM losses").fetchone()
    here, = db.execute("SELECT count(*) FROM span").fetchone()
    print(f"# {rounds * 5000} operations in {sizes[-1][0]:.1f} s, {here} at the end; largest size {early}, then {late} bytes")
    assert late <= 1.3 * early and here < rounds * 5000 / 2, sizes
    assert here >= 5000, "what came last is there"
    assert settings["kept_since"] < settings["ended"]
    assert all(h == s + lost for h, s, lost in books) and sum(b[1] for b in books) == rounds * 15000, books
    there, = db.execute("SELECT count(*) FROM event").fetchone()
    forgotten = settings[f"forgotten_steps.{process}"]
    assert there + int(forgotten) == rounds * 15000, (there, forgotten, rounds)
    said = case.run("outspan", "losses", recorder.file).text()
    assert f"{rounds * 15000} hits = {there} stored + {forgotten} forgotten + 0 lost: closes" in said and "damaged" not in said, said
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    db.close()


def test_options_that_make_no_sense_are_usage_errors(case):
    for words in (["--keep-last", "0"], ["--keep-last", "10ms"], ["--save-on", ""], ["--save-on", "slow"], ["--save-on", "slow=0"],
                  ["--save-on", "error,"], ["--save-on", "errors"], ["--save-most", "0"], ["--overload", "newest"]):
        said = case.run("outspan", "record", "--all", *words, status=2).err.decode()
        assert words[0] in said, said


if __name__ == "__main__":
    harness.main(globals())

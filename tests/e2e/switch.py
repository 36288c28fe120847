#!/usr/bin/python3
"""What is recorded, switched while it is: levels, points, forms, by order and by the governor. What
a program did is known from itself (its log, what it answers, its own memory). Prints TAP; needs
root and BPF."""
import collections
import json
import os
import re
import sqlite3
import struct
import subprocess
import time

import yaml

import ctl
import failures
import harness
import shop
import stream

CATALOGUE = os.path.join(harness.ROOT, "probes", "catalogue", "lonelypsp.yaml")


def order(recorder, *words):
    answer = ctl.ask(recorder, *words)
    assert "error" not in answer, answer
    return answer


def levels_of(catalogue):
    """{probe: level} of all that a catalogue's file says, its fragments included."""
    with open(catalogue, encoding="utf-8") as f:
        text = yaml.safe_load(f)

    def points(part):
        found = {k: v["level"] for k, v in part.get("points", {}).items()}
        for state in part["states"].values():
            if "use" in state:
                found.update(points(text["fragments"][state["use"]]))
        return found
    return {f"{name}__{point}": level for name, op in text["operations"].items() for point, level in points(op).items()}


def words(pid):
    """{probe: (fire, carry)} of our own points, read in the process's memory."""
    notes = subprocess.run(["readelf", "-nW", f"/proc/{pid}/exe"], capture_output=True, text=True, check=True).stdout
    head = subprocess.run(["readelf", "-hW", f"/proc/{pid}/exe"], capture_output=True, text=True, check=True).stdout
    base = stream._base(pid) if re.search(r"Type:\s+DYN", head) else 0
    shift, values = stream._shift(pid), {}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for found in re.finditer(r"Provider: (\S+)\s+Name: (\S+)\s.*Base: (0x[0-9a-f]+), Semaphore: (0x[0-9a-f]+)", notes):
            if found[1] in stream.OWN:
                mem.seek(base + int(found[4], 16) + shift - int(found[3], 16))
                values[found[2]] = struct.unpack("<HH", mem.read(4))
    assert values, f"{pid} has no points of ours"
    return values


def rows(path, query, *args):
    db = stream.open_copy(path)
    try:
        return db.execute(query, args).fetchall()
    finally:
        db.close()


class Busy:
    """A ticker that ticks away while orders are given: in bursts, so that the ring has room for all of it."""

    BURST = 30000

    def __init__(self, case, *args):
        self.ticker = failures.start_ticker(case, failures.build_ticker(case))
        self.recorder = stream.Recorder(case, "f.db", "--catalogue", failures.TICKER + ".yaml", "--ring-size", "256M", *args,
                                        pids=[self.ticker.pid])
        self.ticks = 0

    def order(self, *what):
        """In the middle of a burst."""
        at = len(self.ticker.out)
        self.ticker.line(f"tick {self.BURST}")
        answer = order(self.recorder, *what)
        self.ticker.wait_for(r"^0$", "out", after=at)
        self.ticks += self.BURST
        return answer

    def words(self):
        return {p: w for p, w in words(self.ticker.pid).items() if p.startswith("tick__")}

    def end(self):
        """{probe: (stored, lost, reasons)}, when the session is closed."""
        self.recorder.ask_to_stop()
        assert self.recorder.process.wait(4 * harness.PATIENCE) == 0
        books = {}
        for probe, hits, n, lost, reasons in rows(self.recorder.file, "SELECT probe, hits, stored, lost, reasons FROM losses"):
            print(f"# {probe}: {self.ticks} passed, {n} stored, lost: {reasons or 'none'}")
            assert hits == n + lost, (probe, hits, n, lost, reasons)
            books[probe] = (n, lost, reasons)
        stream.check_untouched(self.ticker.pid)
        return books


def logged(system, *publishes):
    """Their lines in the log, with who wrote them."""
    identifiers = [p["identifier"] for p in publishes]
    return [p for p in system.publishes() if p["identifier"] in identifiers]


def steps_of(session, p, essential=None):
    """The steps of a publish's spans as they should be, and as they are; with the levels: only essential ones."""
    got = sorted((s["kind_name"], s["steps"]) for s in session.of(p["identifier"]))
    kinds = {"notify": "notify", "attempt": "notify", "handle_notify": "handle_notify", "deliver": "handle_notify",
             "receive": "receive", "handler": "receive"}
    want = sorted((k, [x for x in steps if not essential or essential[f"{kinds[k]}__{x}"] == "essential"])
                  for k, steps in stream.STEPS.items())
    return want, got


def test_the_level_is_switched_and_every_trace_has_what_was_recorded_then(case):
    levels = levels_of(CATALOGUE)
    system = stream.System(case)
    system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", pids=system.pids())
    first = ctl.stored(recorder, publisher, "at detail")
    assert all(sum(w) == 1 for p, w in words(publisher.pid).items() if levels.get(p) == "detail"), words(publisher.pid)
    at_essential = order(recorder, "level", "essential")
    for pid in system.pids():
        for probe, (fire, carry) in words(pid).items():
            expected = levels.get(probe, "essential") == "essential"  # spills and the context have no level
            assert fire + carry == expected, (pid, probe, fire, carry)
    assert at_essential["level"] == "essential" and 0 < at_essential["sites"] < recorder.sites, at_essential
    second = ctl.stored(recorder, publisher, "at essential")
    assert order(recorder, "level", "detail")["sites"] == recorder.sites
    third = ctl.stored(recorder, publisher, "at detail again")
    session = recorder.stop()
    session.check_books()
    for p in logged(system, first, third):
        stream.check_complete(session, system, p)
    want, got = steps_of(session, second, levels)
    assert want == got, (want, got)
    assert not stream.marks(session.of(second["identifier"])), "a message between two switches is not touched by them"
    assert not rows(recorder.file, "SELECT * FROM event WHERE unexpected"), "steps that are not attached are missed by nobody"
    assert session.lost() == 0, session.losses
    told = [json.loads(session.settings[f"switched_{n}"]) for n in (1, 2)]
    assert [(t["from"], t["to"], t["by"]) for t in told] == [
        ("default form, detail level", "default form, essential level", "user 0"),
        ("default form, essential level", "default form, detail level", "user 0")], told
    assert "switched_3" not in session.settings
    # attach rows: a detail point was attached twice, an essential one once, for all the time
    spans = dict(rows(recorder.file, "SELECT probe, count(*) FROM attached WHERE pid = ? GROUP BY probe", publisher.pid))
    for probe, n in spans.items():
        assert n == (2 if levels.get(probe) == "detail" else 1), (probe, n)
    detail = next(p for p in spans if levels.get(p) == "detail")
    (_, until), (again, end) = rows(recorder.file, "SELECT from_ns, to_ns FROM attached WHERE pid = ? AND probe = ? ORDER BY from_ns",
                                    publisher.pid, detail)
    assert until < again < end
    stream.check_untouched(*system.pids())
    system.stop()


def test_points_are_switched_by_name_and_ends_stay_while_anything_needs_them(case):
    system = stream.System(case)
    system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", pids=system.pids())
    case.run("outspan", "ctl", recorder.file, "point", "notify__hashed", "off")
    assert words(publisher.pid)["notify__hashed"] == (0, 0)
    without = ctl.stored(recorder, publisher, "without a step")
    # all but one of them off: what ends the operation is held for that one
    case.run("outspan", "ctl", recorder.file, "point", "receive.*", "off")
    receiver = system.subscribers[0].pid
    assert not any(sum(w) for p, w in words(receiver).items() if p.startswith("receive__")), words(receiver)
    unseen = ctl.stored(recorder, publisher, "nobody sees it received")
    case.run("outspan", "ctl", recorder.file, "point", "receive__auth_accepted", "on")
    now = words(receiver)
    assert now["receive__auth_accepted"] == (0, 1) and now["receive__request_parsed"] == (0, 0), now
    assert now["receive__sending_response"][0] == now["receive__spill"][0] == 1, "its end brings it"
    one = ctl.stored(recorder, publisher, "one step and the end")
    case.run("outspan", "ctl", recorder.file, "level", "detail")
    whole = ctl.stored(recorder, publisher, "all again")
    unknown = case.run("outspan", "ctl", recorder.file, "point", "no_such", "on", status=1).err.decode()
    assert 'no point is called "no_such"' in unknown, unknown
    session = recorder.stop()
    session.check_books()
    steps = {s["kind_name"]: s["steps"] for s in session.of(without["identifier"])}
    assert steps["notify"] == ["start_without_hash"] and steps["receive"] == stream.STEPS["receive"], steps
    kinds = {s["kind_name"] for s in session.of(unseen["identifier"])}
    assert "receive" not in kinds and "handler" not in kinds and "deliver" in kinds, kinds
    taken = {s["kind_name"]: s["steps"] for s in session.of(one["identifier"])}
    assert taken["receive"] == ["auth_accepted", "sending_response"] and "handler" not in taken, taken
    stream.check_complete(session, system, *logged(system, whole))
    assert session.lost() == 0, session.losses
    system.stop()


def test_forms_are_switched_under_load_and_no_operation_is_lost(case):
    busy = Busy(case, "--light")
    fires = {"light": 0, "default": 1, "immediate": 2}
    for form in ("default", "immediate", "light", "immediate", "default", "light") * 2:
        busy.order("form", form)
        now = busy.words()
        assert now["tick__ended"] == (1, 0), now
        assert sum(now[p][0] for p in ("tick__begun", "tick__passed")) == fires[form], (form, now)
        assert all(sum(now[p]) == 1 for p in ("tick__begun", "tick__passed")), (form, now)
    books = busy.end()
    assert {p: books[p] for p in ("tick__begun", "tick__passed", "tick__ended")} == dict.fromkeys(
        ("tick__begun", "tick__passed", "tick__ended"), (busy.ticks, 0, "")), books
    settings = dict(rows(busy.recorder.file, "SELECT name, value FROM session"))
    assert "switched_12" in settings and "switched_13" not in settings


def test_levels_and_points_are_switched_under_load_and_nothing_is_invented(case):
    busy = Busy(case)
    for _ in range(2):
        busy.order("level", "essential")
        assert busy.words()["tick__passed"] == (0, 0)
        busy.order("point", "tick__begun", "off")
        assert busy.words()["tick__begun"] == (0, 0) and busy.words()["tick__ended"] == (1, 0)
        busy.order("level", "detail", "tick__passed", "tick__begun")
        busy.order("level", "detail")
        now = busy.words()
        assert [now[p] for p in ("tick__begun", "tick__passed", "tick__ended")] == [(1, 0), (0, 1), (1, 0)], now
    books = busy.end()
    assert not any(lost for _, lost, _ in books.values()), books
    assert books["tick__ended"][0] == busy.ticks
    assert 0 < books["tick__passed"][0] < busy.ticks and 0 < books["tick__begun"][0] < busy.ticks, books
    # an operation that no mark excuses has what was wanted then, in order
    db = sqlite3.connect(busy.recorder.file)
    whole = {i for i, marks in db.execute("SELECT span_id, marks FROM span") if not marks}
    steps = collections.defaultdict(list)
    for i, name, unexpected in db.execute("SELECT span_id, name, unexpected FROM event ORDER BY operation_id, seq"):
        assert i not in whole or not unexpected, (i, name)
        steps[i].append(name)
    db.close()
    kinds = collections.Counter(",".join(steps[i]) for i in whole)
    print(f"# whole operations: {dict(kinds)}, others: {len(steps) - len(whole)}")
    assert set(kinds) <= {"begun,passed,ended", "begun,ended", "ended"} and kinds["begun,passed,ended"], kinds


def test_points_of_a_foreign_program_that_stay_are_counted_once_while_others_are_switched(case):
    system = shop.Shop(case)
    recorder = stream.Recorder(case, "f.db", "--catalogue", shop.CATALOGUE, "--ring-size", "64M", pids=[system.pid])
    jobs, burst = 0, 1000  # as many as the pipe takes while nobody reads
    for n in range(12):
        numbers = range(jobs + 1, jobs + burst + 1)
        for number in numbers:
            system.process.line(str(number))
        order(recorder, "point", ("query__failed", "job__put")[n // 2 % 2], ("off", "on")[n % 2])
        system.process.wait_for(f"^job={numbers[-1]} ", "out", seconds=4 * harness.PATIENCE)
        jobs += burst
    stream.wait_until(lambda: len(system.jobs()) == jobs, "all jobs are done")
    session = recorder.stop()
    session.check_books()
    failed = sum(line["outcome"] == "failed" for line in system.jobs().values())
    hits = session.hits(system.pid)
    print(f"# {jobs} jobs, {failed} failed: {hits}")
    assert {p: n for p, n in hits.items() if p not in ("query__failed", "job__put")} == {
        "job__get": jobs, "job__done": jobs - failed, "job__failed": failed,
        "query__start": 2 * jobs, "query__done": 2 * jobs - failed}, hits
    assert 0 < hits["query__failed"] < failed and 0 < hits["job__put"] < jobs, hits
    stream.check_untouched(system.pid)


def test_the_governor_steps_down_until_the_limit_is_kept_or_nothing_is_left(case):
    ticker = failures.start_ticker(case, failures.build_ticker(case))
    recorder = stream.Recorder(case, "f.db", "--catalogue", failures.TICKER + ".yaml", "--immediate", "--overhead", "0.3%",
                               pids=[ticker.pid])
    ticker.line("spin")
    recorder.process.wait_for(r"^governor: .* to light form, essential level$", seconds=3 * harness.PATIENCE)
    recorder.process.wait_for(r"^warning: governor: .* nothing cheaper is left", seconds=3 * harness.PATIENCE)
    status = ctl.ask(recorder, "status")
    assert (status["form"], status["level"], status["sample"]) == ("light", "essential", "1/64"), status
    assert status["overhead_limit_percent"] == 0.3, status
    assert words(ticker.pid)["tick__passed"] == (0, 0) and words(ticker.pid)["tick__begun"] == (0, 1)
    at, so_far = len(ticker.out), len(recorder.process.err)
    ticker.line("")
    ticker.wait_for(r"^(\d+)$", "out", after=at)
    # now it is idle: it asks for more again, step by step
    recorder.process.wait_for(r"^governor: .* to light form, essential level, 1 of 32 traces$", seconds=3 * harness.PATIENCE,
                              after=so_far)
    recorder.ask_to_stop()
    assert recorder.process.wait(4 * harness.PATIENCE) == 0
    settings = dict(rows(recorder.file, "SELECT name, value FROM session"))
    told = [json.loads(settings[f"switched_{n}"]) for n in range(1, 11)]
    assert [t["to"] for t in told] == ["default form, detail level", "light form, detail level", "light form, essential level",
                                       *(f"light form, essential level, 1 of {n} traces" for n in (2, 4, 8, 16, 32, 64, 32))], told
    assert all(t["by"] == "governor" and (t["share"] > 0.003) == (i < 9) for i, t in enumerate(told)), told
    assert settings["overhead_limit"] == "0.003"
    assert not [r for r in rows(recorder.file, "SELECT probe, hits, stored, lost FROM losses") if r[1] != r[2] + r[3]]


def test_a_recorder_that_has_lost_many_ends_stops_soon_and_waits_for_no_producer(case):
    ticker = failures.start_ticker(case, failures.build_ticker(case))
    recorder = stream.Recorder(case, "f.db", "--catalogue", failures.TICKER + ".yaml", "--immediate", "--ring-size", "64K",
                               pids=[ticker.pid])
    ticker.line("spin")
    # those are stored when they have been open for five seconds, and again when the recording ends
    stream.wait_until(lambda: ctl.ask(recorder, "status")["open"] >= 1000, "many operations lost their ends")
    stream.wait_until(lambda: rows(recorder.file, "SELECT count(*) > 1000 FROM bundle WHERE duration_ns IS NULL")[0][0],
                      "they are stored as open")
    recorder.ask_to_stop()
    assert recorder.process.wait(10) == 0  # took a twentieth of that
    print(f"# stopped in {(time.time_ns() - recorder.stopped_at) / 1e9:.2f} s")
    at = len(ticker.out)
    ticker.line("")
    ticker.wait_for(r"^(\d+)$", "out", after=at)
    books = rows(recorder.file, "SELECT probe, hits, stored, lost FROM losses")
    assert books and all(hits == n + lost for _, hits, n, lost in books), books
    assert sum(lost for *_, lost in books), "the ring was full"


def test_what_makes_no_sense_is_refused(case):
    system = stream.System(case)
    recorder = stream.Recorder(case, "f.db", pids=system.pids())
    for words_ in (["level"], ["level", "all"], ["form", "heavy"], ["form"], ["point", "x", "maybe"], ["point", "notify__hashed"]):
        assert "error" in ctl.ask(recorder, *words_), words_
    for words_ in (["level"], ["form"], ["point", "x"], ["form", "light", "more"]):
        assert "outspan ctl" in case.run("outspan", "ctl", *words_, status=2).err.decode()
    for percent in ("0", "-1%", "101%", "x", "2%%", "nan"):
        said = case.run("outspan", "record", "--all", "--overhead", percent, status=2).err.decode()
        assert "--overhead" in said, said
    session = recorder.stop()
    assert not [s for s in session.settings if s.startswith("switched_")], "nothing was switched"
    system.stop()


if __name__ == "__main__":
    harness.main(globals())

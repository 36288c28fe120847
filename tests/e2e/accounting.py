#!/usr/bin/python3
"""Every reason for a loss, forced on a real program, for every form of recording: the books of the
session against what the program (tally.c) has counted itself, point by point and process by process.
Prints TAP; needs root and BPF.

What no real program can force is forced elsewhere: an argument fault (unit/user_account), and
sampling, which nothing does yet.
"""
import collections
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess

import harness
import stream

HERE = os.path.join(harness.ROOT, "tests", "e2e")
CATALOGUE = os.path.join(HERE, "tally.yaml")
FORMS = [(), ("--light",), ("--immediate",)]


class Tally:
    """The program; `truth` is what it and its children have counted: {pid: {point: steps passed}}."""

    def __init__(self, case):
        self.process = case.start(build(case), stdin=True)
        self.process.wait_for(r"^ready \d+$", "out")
        self.pid = self.process.pid
        self.truth, self.before = collections.defaultdict(dict), {}

    def tell(self, line):
        self.read_to = len(self.process.out)
        self.process.line(line)

    def answer(self, seconds=2 * harness.PATIENCE):
        self.process.wait_for("^done$", "out", seconds, after=self.read_to)
        for line in self.process.out[self.read_to:].decode().splitlines():
            words = line.split()
            if words and words[0].isdigit():
                self.truth[int(words[0])] = {p: int(n) for p, n in zip(words[1::2], words[2::2]) if n != "0"}

    def ask(self, line):
        self.tell(line)
        self.answer()

    def passed(self):
        return sum(sum(counts.values()) for counts in self.truth.values())


def build(case):
    """tally.c with its generated header."""
    include = case.path("include")
    if os.path.exists(case.path("tally")):
        return case.path("tally")
    shutil.copytree(os.path.join(harness.BUILD, "gen", "outspan"), os.path.join(include, "outspan"))
    header = subprocess.run([os.path.join(harness.BUILD, "outspan-generate"), "header", CATALOGUE], check=True,
                            capture_output=True, text=True).stdout
    with open(os.path.join(include, "tally.h"), "w", encoding="utf-8") as f:
        f.write(header)
    stub = re.search(r"OUTSPAN_EXTERN_STUB\((\w+_run__ended)\)", header)[1]
    subprocess.run([os.environ.get("CC", "gcc"), "-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-D_GNU_SOURCE", "-pthread",
                    f"-DTALLY_ENDED_STUB={stub}", "-I", include, os.path.join(HERE, "tally.c"), "-o", case.path("tally")], check=True)
    return case.path("tally")


class Books:
    """What the session says: hits, stored and losses per (process id, point), gaps, and the steps that are there."""

    def __init__(self, case, path, views=True, traces=True):
        self.case, self.path = case, path
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            self.integrity = db.execute("PRAGMA integrity_check").fetchone()[0]
            self.rows = {(pid or 0, probe): (hits, stored, lost, dict(zip(r.split()[::2], map(int, re.findall(r"\d+", r)))))
                         for pid, probe, hits, stored, lost, r in
                         db.execute("SELECT pid, probe, hits, stored, lost, reasons FROM losses")}
            self.gaps = db.execute("SELECT reason, sum(lost) FROM gap GROUP BY reason").fetchall()
            self.settings = dict(db.execute("SELECT name, value FROM session"))
            self.there = {(pid, name): n for pid, name, n in db.execute(
                "SELECT p.pid, e.name, count(*) FROM event e JOIN process p ON p.key = e.process GROUP BY 1, 2")} if views else None
            self.marks = collections.Counter(m for m, in db.execute("SELECT marks FROM trace")) if traces else None
        finally:
            db.close()

    def reasons(self, pid=None):
        """{point: {reason: lost}} of one process, or of all together."""
        found = collections.defaultdict(collections.Counter)
        for (row_pid, probe), row in self.rows.items():
            if pid in (None, row_pid):
                found[probe].update({k: n for k, n in row[3].items() if n})
        return {p: dict(c) for p, c in found.items() if c}

    def check(self, truth, more=None):
        """The equation, with the program's counts; `more`: hits beyond what it has passed, by (pid, point)."""
        assert self.integrity == "ok", self.integrity
        for key, (hits, stored, lost, reasons) in self.rows.items():
            assert hits == stored + lost and lost == sum(reasons.values()), (key, self.rows[key])
            if self.there is not None:
                assert self.there.get((key[0], key[1].split("__")[-1]), 0) == stored, (key, stored, self.there)
        if self.there is not None:
            assert sum(self.there.values()) == sum(r[1] for r in self.rows.values()), (self.there, self.rows)
        want = collections.Counter({(pid, p): n for pid, counts in truth.items() for p, n in counts.items()})
        want.update(more or {})
        assert {k: r[0] for k, r in self.rows.items() if r[0]} == {k: n for k, n in want.items() if n}, (self.rows, want)
        return self

    def check_told(self, reason, lost):
        """Reader, gaps and settings say the same."""
        told = json.loads(self.case.run("outspan", "losses", "--json", self.path).text())
        by_reason = {r["reason"]: (r["steps_lost"], r["kind"]) for r in told["reasons"]}
        assert by_reason[reason][0] == lost, (reason, lost, by_reason)
        assert told["closes"] and told["whole"] == (by_reason[reason][1] != "missing"), told["whole"]
        assert by_reason[reason][1] != "chosen" or told["steps_left_out"] == lost, told["steps_left_out"]
        if by_reason[reason][1] == "missing":
            assert dict(self.gaps).get(reason) == lost, (reason, lost, self.gaps)
        else:
            assert not dict(self.gaps).get(reason), self.gaps


def record(case, tally, form, *args, name=None):
    name = name or f"{len(case.processes)}.db"
    return stream.Recorder(case, name, *form, "--catalogue", CATALOGUE, *args, pids=[tally.pid])


def stop(case, recorder, views=True):
    recorder.ask_to_stop()
    code = recorder.process.wait(4 * harness.PATIENCE)
    assert code == 0, f"the recorder ended with {code}: {recorder.process.err.decode(errors='replace')}"
    return Books(case, recorder.file, views)


def forced(case, line, reason, expected, more=None, forms=FORMS, args=(), views=True):
    """The line of commands with every form: `expected(form)` are {point: steps lost} for the reason, and nothing else."""
    for form in forms:
        tally = Tally(case)
        recorder = record(case, tally, form, *args)
        for command in line.split(";"):
            tally.ask(command.strip())
        books = stop(case, recorder, views).check(tally.truth, {(tally.pid, p): n for p, n in (more(form) if more else {}).items()})
        want = {p: {reason: n} for p, n in expected(form).items() if n}
        assert books.reasons() == want, (form, books.reasons(), want)
        if want:
            books.check_told(reason, sum(expected(form).values()))
        assert tally.process.stop() in (0, -15)
    return books


def is_light(form):
    return form == ("--light",)


def is_immediate(form):
    return form == ("--immediate",)


def test_nothing_is_lost_of_a_well_behaved_program(case):
    books = forced(case, "run 1000 5; text 20 60; procs 3 10; hold 10; give", "", lambda form: {})
    assert not books.gaps and set(books.marks) == {""}, books.marks


def test_aggregates_are_of_every_step(case):
    """Also of blocks that filled up, whose first step has none before it at hand, and in the form that traps at each step."""
    for form in FORMS:
        tally = Tally(case)
        recorder = record(case, tally, form, "--aggregate")
        for line in ("run 100 7", "run 3 2000", "procs 3 10", "forked"):
            tally.ask(line)
        books = stop(case, recorder).check(tally.truth)
        assert all(set(r) == {"aggregated"} for r in books.reasons(tally.pid).values()), (form, books.reasons())
        told = case.run("outspan", "ls", "--json", recorder.file).out.splitlines()
        rows = {(r["pid"], r["operation"], r["point"]): r for r in map(json.loads, told)}
        for r in rows.values():
            assert r["count"] == r["untimed"] + sum(n for _, n in r["buckets"]), (form, r)
        passed, ended, whole = (rows[tally.pid, "run", point] for point in ("passed", "ended", None))
        assert not [k for k in rows if k[2] == "begun"], rows.keys()
        assert passed["count"] == tally.truth[tally.pid]["run__passed"], (form, passed, tally.truth)
        assert 0 < passed["untimed"] + ended["untimed"] < 3 * 2000 / 8, (form, passed, ended)
        assert ended["count"] == whole["count"] == tally.truth[tally.pid]["run__ended"], (form, ended, whole)
        assert (whole["untimed"], whole["errors"]) == (3, 0), (form, whole)
        for pid in set(tally.truth) - {tally.pid}:  # a copy made by fork, which has no begin, ends nothing
            told = (rows.get((pid, "run", point), {"count": 0})["count"] for point in ("passed", "ended", None))
            want = tally.truth[pid] if "run__begun" in tally.truth[pid] else {"run__passed": 0, "run__ended": 0}
            assert tuple(told) == (want["run__passed"], want["run__ended"], want["run__ended"]), (form, pid, want, rows)
        assert tally.process.stop() in (0, -15)


def test_ring_full(case):
    for form in FORMS:
        tally = Tally(case)
        recorder = record(case, tally, form, "--ring-size", "64K")
        os.kill(recorder.pid, signal.SIGSTOP)
        tally.ask("run 3000 4")
        os.kill(recorder.pid, signal.SIGCONT)
        tally.ask("run 5 1")
        books = stop(case, recorder).check(tally.truth)
        assert recorder.process.err.count(b"warning: the ring of 64 KiB is nearly full") == 1, recorder.process.err
        by_point = books.reasons()
        assert set(by_point) == {"run__begun", "run__passed", "run__ended"}, by_point
        assert all(set(r) == {"ring_full"} and r["ring_full"] > 1000 for r in by_point.values()), (form, by_point)
        tally.process.stop()


def test_ring_full_and_processes_of_which_nothing_came(case):
    """They were born, worked and died while the ring was full: each has books, though nobody knows its name."""
    for form in FORMS:
        tally = Tally(case)
        recorder = record(case, tally, form, "--ring-size", "64K")
        os.kill(recorder.pid, signal.SIGSTOP)
        tally.ask("run 3000 4")
        tally.ask("procs 3 200")
        os.kill(recorder.pid, signal.SIGCONT)
        books = stop(case, recorder)
        db = sqlite3.connect(books.path)
        nameless = db.execute("SELECT probe, hits, stored, reasons FROM losses WHERE process IN "
                              "(SELECT key FROM process WHERE pid = 0) ORDER BY 1").fetchall()
        parent = db.execute("SELECT probe, hits, stored + lost FROM losses WHERE pid = ?", (tally.pid,)).fetchall()
        db.close()
        points = ("run__begun", "run__ended", "run__passed")
        assert nameless == [(p, 200, 0, "ring_full 200") for p in points for _ in range(3)], (form, nameless)
        assert {p: n for p, n, _ in parent} == {p: n for p, _, n in parent} == tally.truth[tally.pid], parent
        tally.process.stop()


def test_overload(case):
    """The ring is filled beyond its mark, but not to the end: what is discarded is the recorder's own choice."""
    for form in FORMS:
        tally = Tally(case)
        recorder = record(case, tally, form, "--ring-size", "256K", "--overload", "keep-last")
        count, losses = 100, {}
        while not losses:
            count += 1 + count // 6
            assert count < 5000, "never over the mark"
            os.kill(recorder.pid, signal.SIGSTOP)
            tally.ask(f"run {count} 2")
            os.kill(recorder.pid, signal.SIGCONT)
            wait_until_hit(recorder, tally)
            losses = lost_so_far(recorder)
        books = stop(case, recorder).check(tally.truth)
        by_point = books.reasons()
        assert by_point and all(set(r) == {"overload"} for r in by_point.values()), (form, by_point)
        tally.process.stop()


def ask_session(path, sql, *args):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return db.execute(sql, args).fetchone()[0]
    finally:
        db.close()


def wait_until_hit(recorder, tally):
    """All that was passed so far is in the books that are committed."""
    stream.wait_until(lambda: ask_session(recorder.file, "SELECT coalesce(sum(hits), 0) FROM loss") >= tally.passed(),
                      f"{tally.passed()} steps are in the books")


def lost_so_far(recorder):
    return ask_session(recorder.file, "SELECT coalesce(sum(lost), 0) FROM loss_reason")


def test_block_full(case):
    """Of a block larger than a record every step is lost that did not trap by itself."""
    forced(case, "large 30 40; run 10 2", "block_full", lambda form: {
        "run__begun": 30 if is_light(form) else 0, "run__passed": 0 if is_immediate(form) else 30 * 40, "run__ended": 30})


def test_steps_unknown_of_a_block_that_is_not_there(case):
    """The end itself is stored; what the block held is unknown, and stands in the books as one step of the end."""
    def more(form):
        unknown = {"run__ended": 20, "run__passed": 0 if is_immediate(form) else -60, "run__begun": -20 if is_light(form) else 0}
        return unknown
    forced(case, "nowhere 20; run 10 2", "steps_unknown", lambda form: {"run__ended": 20}, more)


def test_decode_error(case):
    """A step in the block was overwritten: a record of its own, if it had one, was good."""
    forced(case, "scribble 20; run 10 2", "decode_error", lambda form: {"run__passed": 0 if is_immediate(form) else 20})


def test_steps_unknown_behind_a_broken_step(case):
    for form in FORMS:
        tally = Tally(case)
        recorder = record(case, tally, form)
        tally.ask("smash 20")
        more = {(tally.pid, "run__ended"): 20, (tally.pid, "run__passed"): 0 if is_immediate(form) else -40}
        books = stop(case, recorder).check(tally.truth, more)
        assert books.reasons() == {"run__ended": {"decode_error": 20, "steps_unknown": 20}}, (form, books.reasons())
        assert set(books.marks) <= {"incomplete, may be cut", "may be cut"}, books.marks
        tally.process.stop()


def test_duplicate(case):
    """The block is handed over twice, and with it every step that had no record of its own."""
    def more(form):
        return {"run__passed": 0 if is_immediate(form) else 60, "run__begun": 20 if is_light(form) else 0}
    forced(case, "twice 20; run 10 2", "duplicate", more, more)


def test_forked_copy(case):
    """Both processes go on with the operation: it is the parent's."""
    for form in FORMS:
        tally = Tally(case)
        recorder = record(case, tally, form)
        tally.ask("forked")
        child, = [pid for pid in tally.truth if pid != tally.pid]
        books = stop(case, recorder).check(tally.truth)
        assert books.reasons(tally.pid) == {}, books.rows
        assert books.reasons(child) == {"run__passed": {"forked_copy": 3}, "run__ended": {"forked_copy": 1}}, (form, books.rows)
        books.check_told("forked_copy", 4)
        tally.process.stop()


def test_filtered(case):
    """One recorder wants less than the other: what it did not ask for comes to it all the same, and is counted."""
    for form in FORMS:
        tally = Tally(case)
        other = record(case, tally, ())
        recorder = record(case, tally, form, "--level", "essential")
        tally.ask("run 100 7")
        books = stop(case, recorder).check(tally.truth)
        assert books.reasons() == {"run__passed": {"filtered": 700}}, (form, books.reasons())
        books.check_told("filtered", 700)
        whole = stop(case, other).check(tally.truth)
        assert not whole.reasons() and set(whole.marks) == {""}, whole.marks
        tally.process.stop()


def test_late(case):
    """The operation was given up when its time was over; then it went on."""
    for form in [(), ("--immediate",)]:  # with --light nothing is known of it before its end
        tally = Tally(case)
        recorder = record(case, tally, form)
        tally.ask("begin")
        stream.wait_until(lambda: ask_session(recorder.file, "SELECT count(*) FROM trace WHERE marks LIKE '%timed out%'"),
                          "the operation has timed out")
        tally.ask("end")
        tally.ask("run 3 1")
        books = stop(case, recorder).check(tally.truth)
        late = {"run__ended": {"late": 1}}
        late.update({} if is_immediate(form) else {"run__passed": {"late": 1}})
        assert books.reasons() == late, (form, books.reasons())
        books.check_told("late", len(late))
        assert books.marks == {"": 3, "incomplete, may be cut, timed out": 1}, books.marks
        tally.process.stop()


def test_steps_full(case):
    books = forced(case, "run 1 70000; run 2 2", "steps_full", lambda form: {"run__passed": 70000 - 65534, "run__ended": 1},
                   args=("--ring-size", "64M"), views=False)  # which take minutes for one operation of so many steps
    assert "damaged" not in case.run("outspan", "losses", books.path).text(), "as many steps are there as the books say"
    assert books.marks == {"may be cut": 1, "": 2}, books.marks


def test_store_refused(case):
    """One operation larger than a batch: it is not stored, and the recording goes on."""
    books = forced(case, "run 2 2; text 1 60000; run 3 2", "store_refused",
                   lambda form: {"run__begun": 1, "run__passed": 60000, "run__ended": 1}, args=("--ring-size", "64M"))
    assert books.marks == {"": 5}, books.marks


def test_operations_full(case):
    """More operations at once than the recorder holds. What ends meanwhile is lost; of those that end
    when it holds fewer again the end brings the begin along: nothing is missing of them."""
    held, most = 262144 + 500, 262144
    for form in [(), ("--immediate",)]:  # with --light none is known before its end
        tally = Tally(case)
        recorder = record(case, tally, form, "--ring-size", "128M")
        tally.ask(f"hold {held}")
        wait_until_hit(recorder, tally)
        assert lost_so_far(recorder) == held - most
        tally.ask("run 100 3")
        wait_until_hit(recorder, tally)
        tally.ask("give")
        wait_until_hit(recorder, tally)
        recorder.ask_to_stop()
        assert recorder.process.wait(4 * harness.PATIENCE) == 0, recorder.process.err
        check_full(case, recorder.file, tally, held)
        tally.process.stop()


def check_full(case, path, tally, held):
    """The operations are counted in their table: through the views so many take long."""
    db = sqlite3.connect(path)
    rows = {r[0]: r[1:] for r in db.execute("SELECT probe, hits, stored, reasons FROM losses WHERE pid = ?", (tally.pid,))}
    db.close()
    assert rows == {"hold__taken": (held, held, ""), "hold__given": (held, held, ""),
                    "run__begun": (100, 0, "operations_full 100"), "run__passed": (300, 0, "operations_full 300"),
                    "run__ended": (100, 0, "operations_full 100")}, rows
    assert ask_session(path, "SELECT sum(length(heads) / 22) FROM bundle") == held
    said = case.run("outspan", "losses", "--check", path, status=1).text()
    assert said.startswith(f"missing: 500 of {2 * held + 500} steps"), said
    assert ask_session(path, "SELECT sum(lost) FROM gap WHERE reason = 'operations_full'") >= 500


def test_table_full(case):
    """More processes than there are places: those beyond are counted, together."""
    tally = Tally(case)
    recorder = record(case, tally, ())
    for _ in range(42):
        tally.ask("procs 100 1")
    books = stop(case, recorder)
    places, beyond = 4095 - 1, 4200 - (4095 - 1)
    for point in ("run__begun", "run__passed", "run__ended"):
        hits = collections.Counter()
        for (pid, probe), row in books.rows.items():
            assert row[0] == row[1] + row[2], (pid, probe, row)
            if probe == point:
                hits["none" if not pid else "a place"] += row[0]
                hits["lost"] += row[2]
        assert hits == {"a place": places, "none": beyond, "lost": beyond}, (point, hits)
    assert all(set(r) == {"table_full"} for r in books.reasons(0).values()), books.reasons(0)
    tally.process.stop()


def test_all_at_once_and_the_recorder_is_killed(case):
    """At the last commit the books close: with the program's counts, when it had nothing more to say."""
    for form in FORMS:
        tally = Tally(case)
        recorder = record(case, tally, form, "--ring-size", "64K")
        for line in ("run 50 3", "scribble 5", "twice 5", "large 5 40", "forked", "procs 2 5"):
            tally.ask(line)
            wait_until_hit(recorder, tally)  # or the ring may be full
        os.kill(recorder.pid, signal.SIGSTOP)
        tally.ask("run 2000 4")
        os.kill(recorder.pid, signal.SIGCONT)
        tally.ask("run 20 1")
        more = {} if is_immediate(form) else {(tally.pid, "run__passed"): 15}
        more.update({(tally.pid, "run__begun"): 5} if is_light(form) else {})
        want = tally.passed() + sum(more.values())
        stream.wait_until(lambda: ask_session(recorder.file, "SELECT sum(hits) FROM loss") >= want, "all is in the books")
        recorder.process.stop(signal.SIGKILL)
        books = Books(case, recorder.file).check(tally.truth, more)
        assert "ended" not in books.settings
        reasons = {r for by in books.reasons().values() for r in by}
        want = {"ring_full", "block_full", "forked_copy"} | (set() if is_immediate(form) else {"duplicate", "decode_error"})
        assert reasons == want, (form, reasons)
        tally.process.stop()


def test_killed_in_the_middle_of_a_flood(case):
    """Wherever the recorder dies: what is committed closes, and is no more than the program has passed."""
    for number, form in enumerate(3 * FORMS):
        tally = Tally(case)
        recorder = record(case, tally, form, "--ring-size", "256K")
        tally.tell("run 60000 4")
        stream.wait_until(lambda: ask_session(recorder.file, "SELECT coalesce(sum(hits), 0) FROM loss") > 5000 * number,
                          "some are in the books")
        recorder.process.stop(signal.SIGKILL)
        tally.answer()
        rows = Books(case, recorder.file).rows
        for (pid, probe), (hits, stored, lost, reasons) in rows.items():
            assert hits == stored + lost == stored + sum(reasons.values()), (pid, probe, rows)
            assert 0 < hits <= tally.truth[pid][probe] and set(reasons) <= {"ring_full"}, (probe, rows, tally.truth)
        tally.process.stop()


if __name__ == "__main__":
    harness.main(globals())

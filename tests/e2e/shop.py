#!/usr/bin/python3
"""A program that has never heard of outspan, with plain sys/sdt.h probes of two providers: recorded
and stitched by a catalogue alone. What is expected is counted in the program's own lines. Prints
TAP; needs root and BPF."""
import collections
import os
import subprocess

import harness
import stream

HERE = os.path.dirname(os.path.abspath(__file__))
CATALOGUE = os.path.join(HERE, "shop.yaml")
ENOENT = 2


class Shop:
    def __init__(self, case):
        self.exe = case.path("shop")
        subprocess.run([os.environ.get("CC", "gcc"), "-O2", "-pthread", os.path.join(HERE, "shop.c"), "-o", self.exe], check=True)
        self.process = case.start(self.exe, stdin=True)
        self.pid = self.process.pid
        self.process.wait_for("^ready", "out")

    def order(self, *numbers):
        """Orders, until all are done."""
        for n in numbers:
            self.process.line(str(n))
        for n in numbers:
            self.process.wait_for(f"^job={n} ", "out")

    def jobs(self):
        """The lines of its own log, by the job's number."""
        lines = [dict(w.split("=") for w in line.split()) for line in self.process.text().splitlines()[1:]]
        return {int(line["job"]): line for line in lines}


def check_job(session, shop, number, line):
    """One job across two threads: waiting, then running."""
    job, = session.find("job", name=f"job {number}")
    inner = {s["kind_name"]: s for s in session.spans if s["parent_id"] == job["span_id"]}
    failed = line["outcome"] == "failed"
    assert sorted(inner) == ["run", "wait"], inner
    # a span has the steps that lie in it: the one that opens it and the one that closes it, too
    assert job["steps"] == [] and inner["wait"]["steps"] == ["job__put"], (job, inner)
    assert inner["run"]["steps"] == ["job__get", "job__failed" if failed else "job__done"], inner
    assert job["pid"] == shop.pid and not job["marks"], job
    assert (job["status"], job["code"]) == (("error", "ENOENT") if failed else ("ok", None)), job
    assert inner["run"]["name"] == f"run on {line['worker']}", inner["run"]
    assert (inner["wait"]["status"], inner["run"]["status"]) == ("ok", "error" if failed else "ok"), inner
    assert inner["wait"]["start_ns"] == job["start_ns"] and inner["run"]["end_ns"] == job["end_ns"], (job, inner)
    assert inner["wait"]["end_ns"] == inner["run"]["start_ns"], inner
    customer = bytes.fromhex(next(v for s in (job, *inner.values()) for k, v in s["attributes"].items() if k.endswith("customer")))
    assert customer == f"c{number * 7}".encode(), customer
    return inner["run"]


def check_queries(session, number, line, run):
    """Two queries on one thread, the one inside the other."""
    outer, = session.find("query", name=f"query begin {number}")
    inner, = session.find("query", name=f"query stock {number}")
    rows = int(line["rows"])
    assert outer["tid"] == inner["tid"] and outer["pid"] == inner["pid"], (outer, inner)
    assert inner["parent_id"] == outer["span_id"] and outer["parent_id"] is None, (outer, inner)
    assert run["start_ns"] <= outer["start_ns"] <= inner["start_ns"] <= inner["end_ns"] <= outer["end_ns"] <= run["end_ns"]
    assert (outer["status"], outer["code"]) == ("ok", None) and rows_of(outer) == 1, outer
    if rows:
        assert (inner["status"], inner["code"]) == ("ok", None) and rows_of(inner) == rows, inner
    else:
        assert (inner["status"], inner["code"]) == ("error", "ENOENT"), inner
    assert not outer["marks"] and not inner["marks"], (outer, inner)


def rows_of(span):
    return next(v for k, v in span["attributes"].items() if k.endswith("rows"))


def check_all(session, shop, jobs):
    session.check_books()
    assert session.lost() == 0, session.losses
    for number, line in jobs.items():
        check_queries(session, number, line, check_job(session, shop, number, line))
    count = collections.Counter(s["kind_name"] for s in session.spans)
    assert count == {"job": len(jobs), "wait": len(jobs), "run": len(jobs), "query": 2 * len(jobs)}, count
    failed = sum(line["outcome"] == "failed" for line in jobs.values())
    assert session.hits(shop.pid) == {
        "job__put": len(jobs), "job__get": len(jobs), "job__done": len(jobs) - failed, "job__failed": failed,
        "query__start": 2 * len(jobs), "query__done": 2 * len(jobs) - failed, "query__failed": failed}, session.losses


def check_deliveries(case, session, jobs):
    """Its catalogue says that an order is delivered to a worker."""
    *messages, last = stream.outspan_json(case, "deliveries", "--json", session.path)
    told = {m["name"]: [(d["subscriber"], d["found"], d["state"], d["reason"], d["is_confirmed"]) for d in m["deliveries"]]
            for m in messages if m["deliveries"]}
    assert told == {f"job {number}": [(int(line["worker"]), "worker", "missing", "failed", False) if line["outcome"] == "failed" else
                                      (int(line["worker"]), "worker", "delivered", None, True)] for number, line in jobs.items()}, told
    failed = sum(line["outcome"] == "failed" for line in jobs.values())
    assert (last["sums"]["messages"], last["sums"]["missing"]) == (len(jobs), failed), last


def test_jobs_and_queries_of_a_foreign_program_are_stitched_by_its_catalogue(case):
    shop = Shop(case)
    recorder = stream.Recorder(case, "f.db", "--catalogue", CATALOGUE, pids=[shop.pid])
    assert 0 not in stream.semaphores(shop.pid).values(), stream.semaphores(shop.pid)
    shop.order(*range(1, 54))
    session = recorder.stop()
    jobs = shop.jobs()
    check_all(session, shop, jobs)
    pairs = {(line["worker"], session.find("query", name=f"query begin {n}")[0]["tid"]) for n, line in jobs.items()}
    assert len(pairs) == len({w for w, _ in pairs}) == len({t for _, t in pairs}), pairs  # a worker is a thread
    # nothing in the catalogue links a query to its job
    assert len(session.traces) == 2 * 53 and not session.links
    check_deliveries(case, session, jobs)
    stream.check_untouched(shop.pid)
    shop.order(60)
    assert shop.process.wait() == 0


def test_a_program_that_was_told_to_start_is_recorded_from_its_first_probe(case):
    shop = Shop(case)
    process = case.start("outspan", "record", "--catalogue", CATALOGUE, "-o", case.path("f.db"), "--", shop.exe, stdin=True)
    process.wait_for("^ready", "out")
    shop.process.wait()
    shop.process = process
    shop.order(*range(1, 12))
    assert process.wait() == 0, process.err
    session = stream.Session(case.path("f.db"))
    shop.pid, = {p["pid"] for p in session.processes}
    check_all(session, shop, shop.jobs())


def test_the_program_is_listed_and_shown_like_any_other(case):
    shop = Shop(case)
    listed = stream.outspan_json(case, "probes", "--catalogue", CATALOGUE, "--json", "-p", str(shop.pid))
    assert sorted({s["probe"].split(":")[-1] for s in listed}) == [
        "job__done", "job__failed", "job__get", "job__put", "query__done", "query__failed", "query__start"], listed
    recorder = stream.Recorder(case, "f.db", "--catalogue", CATALOGUE, pids=[shop.pid])
    shop.order(10)
    recorder.stop()
    roots = {t["root"]: t for t in stream.outspan_json(case, "ls", "--json", recorder.file)}
    assert {k: (t["spans"], t["status"]) for k, t in roots.items()} == {
        "job 10": (3, "error"), "query begin 10": (2, "error")}, roots
    shown = {s["name"]: s for s in stream.outspan_json(case, "show", "--json", recorder.file, roots["job 10"]["trace_id"])}
    assert sorted(shown) == ["job 10", f"run on {shop.jobs()[10]['worker']}", "wait"], shown
    assert shown["job 10"]["process"]["pid"] == shop.pid and shown["job 10"]["process"]["comm"] == "shop"


def test_a_broadcaster_and_a_shop_are_recorded_together(case):
    shop, system = Shop(case), stream.System(case)
    system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", "--catalogue", CATALOGUE, pids=[shop.pid, *system.pids()])
    for i in range(1, 8):
        shop.order(i)
        stream.publish(publisher, str(i))
    session = recorder.stop()
    session.check_books()
    for p in system.publishes():
        stream.check_complete(session, system, p)
    for number, line in shop.jobs().items():
        check_queries(session, number, line, check_job(session, shop, number, line))
    system.stop()


def test_another_build_of_the_program_needs_no_change(case):
    """Unoptimised, its arguments lie elsewhere; stripped, it has no symbols."""
    shop = Shop(case)
    shop.process.wait()
    for n, flags in enumerate((["-O0", "-g"], ["-O3", "-static", "-s"], ["-O2", "-no-pie"])):
        subprocess.run(["gcc", *flags, "-pthread", os.path.join(HERE, "shop.c"), "-o", shop.exe + str(n)], check=True)
        shop.process = case.start(shop.exe + str(n), stdin=True)
        shop.process.wait_for("^ready", "out")
        shop.pid = shop.process.pid
        recorder = stream.Recorder(case, f"{n}.db", "--catalogue", CATALOGUE, pids=[shop.pid])
        shop.order(*range(1, 12))
        check_all(recorder.stop(), shop, shop.jobs())
        stream.check_untouched(shop.pid)


if __name__ == "__main__":
    harness.main(globals())

#!/usr/bin/python3
"""Spans that a broadcaster reports which nobody records, held against its own log. Prints TAP; needs root and BPF."""
import json

import harness
from pubsub import CLOCKS, Recorder, attribute, events, identifier, publish, start_broadcaster, start_publisher, start_subscriber

MESSAGES = 5
ERROR = "outspan.report.clock_error_ns"
PART = ["handle_notify", "deliver", "deliver"]


def record(case, *options, broadcaster=(), publisher=(), both=False):
    """Some messages to a subscriber that takes them and one that is gone; the session and who took part."""
    target = start_broadcaster(case, *broadcaster)
    start_subscriber(case, target, "--exact", "a/b")
    gone = start_subscriber(case, target, "--glob", "a/*", "--keep")
    assert gone.stop() == 0
    source = start_publisher(case, target, "a/b", *publisher)
    recorder = Recorder(case, [source, target] if both else [source], *options)
    entries = [publish(source, f"message {n}") for n in range(MESSAGES)]
    session = recorder.stop()
    session.check_no_loss()
    harness.check_accepts(session)
    return session, target, entries


def reported(trace):
    return [s for s in trace.spans if "reported" in s["marks"]]


def check_time(span, entry, error):
    """The span lies in the time that the program's log gives it, as far as it says that it may be off."""
    assert int(entry["begin"]) - CLOCKS - error <= span["start_ns"] <= span["end_ns"] <= int(entry["end"]) + CLOCKS + error, (span, entry)


def check_report(trace, broadcaster, entry):
    """The broadcaster's part, as its log has it, under the attempt that it answered."""
    attempt, (handle, *delivers) = trace.only("attempt "), sorted(reported(trace), key=lambda s: s["start_ns"])
    assert [handle["operation"]] + [s["name"].split()[0] for s in delivers] == PART and len(trace.spans) == 5, trace
    assert (handle["name"], handle["status"], handle["code"], identifier(handle)) == ("handle a/b", "ok", "200", entry["identifier"]), handle
    assert handle["parent_id"] == attempt["span_id"]
    assert [(l["evidence"], l["grade"]) for l in handle["links"]] == [("report", "reported")]
    error = attribute(handle, ERROR)
    log, = broadcaster.log("notify", identifier=entry["identifier"])
    check_time(handle, log, error)
    for span, d in zip(delivers, broadcaster.log("deliver", notify=entry["identifier"])):
        assert span["parent_id"] == handle["span_id"] and span["name"] == "deliver " + d["url"], span
        assert identifier(span) == d["identifier"] and (span["status"] == "ok") == (d["outcome"] == "ok"), (span, d)
        assert abs(span["end_ns"] - int(d["end"])) <= CLOCKS + error, (span, d)
    assert [events(s)[0] for s in delivers] == ["exact_subscriber_found", "glob_subscriber_found"]
    rest = attempt["end_ns"] - attempt["start_ns"] - (handle["end_ns"] - handle["start_ns"])
    assert 0 < error <= rest, (error, rest)
    for span in (handle, *delivers):
        assert span["process"] == {"pid": None, "comm": None, "exe": None} and "tid" not in span, span
        assert attempt["start_ns"] <= span["start_ns"] <= span["end_ns"] <= attempt["end_ns"], trace
    assert trace.line["processes"] == 1 and "reported" in trace.line["marks"], trace.line


def check_reports(session, broadcaster, entries):
    assert len(session.traces) == MESSAGES
    for entry in entries:
        trace, = [t for t in session.traces if identifier(t.only("attempt ")) == entry["identifier"]]
        check_report(trace, broadcaster, entry)


def test_a_broadcaster_tells_its_part_when_it_is_asked(case):
    session, broadcaster, entries = record(case, publisher=["--ask-report"])
    check_reports(session, broadcaster, entries)


def test_one_that_answers_the_simple_tracer_tells_it_unasked(case):
    session, broadcaster, entries = record(case, "--no-context", broadcaster=["--answer-tracing", "simple"])
    check_reports(session, broadcaster, entries)


def test_who_is_recorded_is_not_told_of(case):
    session, _, _ = record(case, publisher=["--ask-report"], both=True)
    for trace in session.traces:
        assert not reported(trace) and len(trace.spans) == 5 and trace.line["processes"] == 2, trace
        assert "report_received" in events(trace.only("attempt "))


def test_nothing_is_told_unasked_or_by_who_may_not(case):
    for options in ({}, {"broadcaster": ["--answer-tracing", "none"], "publisher": ["--ask-report"]}):
        session, _, _ = record(harness.Case(), **options)
        assert all(len(t.spans) == 2 and not reported(t) for t in session.traces), session.traces
        session.case.close(False)


def test_more_than_is_kept_of_a_report_is_told_to_be_missing(case):
    broadcaster = start_broadcaster(case)
    for _ in range(20):
        start_subscriber(case, broadcaster, "--exact", "a/b")
    publisher = start_publisher(case, broadcaster, "a/b", "--ask-report")
    recorder = Recorder(case, [publisher])
    assert publish(publisher, "to many")["subscribers"] == "20"
    session = recorder.stop()
    trace, = session.traces
    delivers = [s for s in reported(trace) if s["name"].startswith("deliver ")]
    assert 5 <= len(delivers) < 20 and all(s["status"] == "ok" for s in delivers[:-1]), trace
    assert [d["url"] for d in broadcaster.log("deliver")][:len(delivers)] == \
        [s["name"].split()[1] for s in sorted(delivers, key=lambda s: s["start_ns"])]
    assert "its end is missing" in case.run("outspan", "show", session.path, "last").text()


def test_everything_that_shows_it_says_so(case):
    session, _, _ = record(case, publisher=["--ask-report"])
    text = case.run("outspan", "show", session.path, "last").text()
    assert text.count("reported by peer") == 3 and "^ via report (reported), times may be off by " in text, text
    assert "R reported by peer" in case.run("outspan", "ls", session.path).text()
    rows = session.sql("SELECT kind_name, comm, pid, tid FROM span WHERE marks = 'reported by peer' ORDER BY start_ns")
    assert [row[0] for row in rows] == PART * MESSAGES and {row[1:] for row in rows} == {(None, None, None)}, rows
    assert session.sql("SELECT DISTINCT marks, processes FROM trace") == [("reported by peer", 1)]
    assert session.sql("SELECT DISTINCT grade FROM link") == [("reported",)]
    export = json.loads(case.run("outspan", "export", session.path, "--format", "otlp-json").text())
    by_service = {next(a["value"]["stringValue"] for a in r["resource"]["attributes"] if a["key"] == "service.name"):
                  [s for scope in r["scopeSpans"] for s in scope["spans"]] for r in export["resourceSpans"]}
    assert sorted(by_service) == ["psp-notify", "unknown_service"] and len(by_service["unknown_service"]) == 3 * MESSAGES
    marked = [s for spans in by_service.values() for s in spans if any(a["key"] == "outspan.marks" for a in s["attributes"])]
    assert marked == by_service["unknown_service"]


def test_what_counts_counts_what_was_seen(case):
    session, _, _ = record(case, publisher=["--ask-report"])
    seen = sum(stored for _, stored, _ in session.hits().values())
    assert seen == sum(len(s["events"]) for t in session.traces for s in t.spans if "reported" not in s["marks"])
    case.run("outspan", "losses", "--check", session.path)
    assert harness.check(case, session.path)["operations"] == MESSAGES
    told = case.run("outspan", "deliveries", "--json", session.path).text().splitlines()
    assert json.loads(told[-1])["sums"]["deliveries"] == 0, told[-1]


harness.main(globals())

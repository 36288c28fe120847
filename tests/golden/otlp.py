#!/usr/bin/env python3
"""Checks that a file is an ExportTraceServiceRequest as OTLP/HTTP JSON writes it, and that it says
what the sample session (tests/sample.h) holds. Standard library only."""
import json
import re
import sys

KEYS = {
    "span": {"traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano",
             "endTimeUnixNano", "attributes", "events", "links", "status"},
    "event": {"timeUnixNano", "name", "attributes"},
    "link": {"traceId", "spanId", "attributes"},
    "status": {"code", "message"},
}
VALUES = {
    "stringValue": lambda v: isinstance(v, str),
    "intValue": lambda v: isinstance(v, str) and -2**63 <= int(v) < 2**63,
    "doubleValue": lambda v: isinstance(v, (float, int)) or v in ("NaN", "Infinity", "-Infinity"),
    "boolValue": lambda v: isinstance(v, bool),
    "bytesValue": lambda v: re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", v) and len(v) % 4 == 0,
    "arrayValue": lambda v: all(check_value(x) for x in v["values"]),
}


def check_value(value):
    (kind, content), = value.items()
    assert VALUES[kind](content), value
    return True


def attributes(of):
    seen = {}
    for a in of["attributes"]:
        assert set(a) == {"key", "value"} and a["key"] and a["key"] not in seen, a
        check_value(a["value"])
        seen[a["key"]] = next(iter(a["value"].values()))
    return seen


def check_ids(of):
    assert re.fullmatch("[0-9a-f]{32}", of["traceId"]) and int(of["traceId"], 16), of
    assert re.fullmatch("[0-9a-f]{16}", of["spanId"]) and int(of["spanId"], 16), of


def check_time(text):
    assert re.fullmatch("[1-9][0-9]{18}", text), text
    return int(text)


def check_span(span):
    assert set(span) <= KEYS["span"], span
    check_ids(span)
    assert span["kind"] in range(1, 6) and span["name"]
    assert check_time(span["startTimeUnixNano"]) <= check_time(span["endTimeUnixNano"])
    assert set(span["status"]) <= KEYS["status"] and span["status"]["code"] in range(3)
    for event in span["events"]:
        assert set(event) == KEYS["event"]
        check_time(event["timeUnixNano"])
        attributes(event)
    for link in span["links"]:
        assert set(link) == KEYS["link"]
        check_ids(link)
        assert {"outspan.link.evidence", "outspan.link.grade"} <= set(attributes(link))
    return attributes(span)


def main():
    with open(sys.argv[1]) as f:
        request = json.load(f)
    assert set(request) == {"resourceSpans"}
    spans, pids = {}, []
    for resource in request["resourceSpans"]:
        about = attributes(resource["resource"])
        assert about["service.name"] and about["process.executable.name"]
        pids.append(about["process.pid"])
        scope, = resource["scopeSpans"]
        assert scope["scope"]["name"] == "outspan" and scope["scope"]["version"]
        for span in scope["spans"]:
            span["all"] = check_span(span)
            span["pid"] = about["process.pid"]
            assert span["spanId"] not in spans
            spans[span["spanId"]] = span
    # written by hand from tests/sample.h
    assert sorted(pids) == ["4001", "4002", "4003", "4004", "4005"], pids
    assert len(spans) == 27, len(spans)
    assert len({s["traceId"] for s in spans.values()}) == 7
    carry = spans["8c1f3e2a4b6e0000"]
    assert carry["kind"] == 5 and carry["parentSpanId"] == "8c1f2e2a4b6e0001"
    assert carry["traceId"] == "8c1f1e2a4b6e00005eed5eed5eed5eed" and carry["pid"] == "4003"
    assert carry["startTimeUnixNano"] == "1740830400001900000"
    assert carry["all"]["messaging.system"] == "parcel"
    assert carry["all"]["messaging.operation.type"] == "process"
    assert carry["all"]["messaging.destination.name"] == "north/7"
    assert carry["all"]["messaging.message.id"] == "01000007"
    hand = spans["8c1f2e2a4b6e0001"]  # its operation knows the destination
    assert hand["all"]["messaging.destination.name"] == "north/7" and hand["kind"] == 4
    assert hand["all"]["messaging.operation.type"] == "send"
    failed = spans["8c1f2e2a4b6f0003"]
    assert failed["status"] == {"code": 2, "message": "503"} and failed["all"]["error.type"] == "503"
    ambiguous = spans["8c1f3e2a4b700000"]
    assert "parentSpanId" not in ambiguous
    assert {l["traceId"][:12] for l in ambiguous["links"]} == {"8c1f2e2a4b70", "8c1f2e2a4b71"}
    assert all(attributes(l)["outspan.link.grade"] == "ambiguous" for l in ambiguous["links"])
    cut = spans["8c1f2e2a4b720000"]
    marks = {v["stringValue"] for v in cut["all"]["outspan.marks"]["values"]}
    assert marks == {"incomplete", "began_before", "may_be_cut", "unexpected"}, marks


main()

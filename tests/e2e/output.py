#!/usr/bin/env python3
"""What others read: the JSON of the commands, the OTLP export, and the views of the session file,
on a really recorded session. Every value is compared with the programs' own logs.
"""
import base64
import http.server
import json
import os
import re
import signal
import subprocess
import threading

import harness
import pubsub

TOPIC = "out/put"
KINDS = {"publish": "PRODUCER", "attempt": "CLIENT", "handle": "SERVER", "deliver": "PRODUCER", "receive": "CONSUMER", "handler": "INTERNAL"}
LS = {"trace_id", "root", "start_ns", "duration_ns", "processes", "spans", "links", "status", "may_be_cut"}
SHOW = {"span_id", "parent_id", "name", "kind", "process", "start_ns", "end_ns", "status", "attributes", "events", "links"}
DESTINATION, IDENTIFIER, SIZE = "messaging.destination.name", "messaging.message.id", "messaging.message.body.size"


class Recorded:
    """A broadcaster, an exact and a glob subscriber, a publisher: `good` messages, the first of them before one with a wrong secret."""

    def __init__(self, case, messages=5):
        self.pair = pubsub.Pair(case, [["--exact", TOPIC], ["--glob", "out/*"]], topic=TOPIC)
        self.stranger = pubsub.start_publisher(case, self.pair.broadcaster, TOPIC, "--retries", "1",
                                               auth=pubsub.hmac_options(to_broadcaster=pubsub.OTHER_SECRET))
        self.programs = [*self.pair.programs, self.stranger]
        recorder = pubsub.Recorder(case, self.programs)
        self.good = self.pair.publish(1)
        self.bad = pubsub.publish(self.stranger, "not mine", outcome="failed")
        self.good += self.pair.publish(messages - 1)
        self.receives = [s.wait_log("receive", messages) for s in self.pair.subscribers]
        self.notifies = self.pair.broadcaster.wait_log("notify", messages, status=200)
        assert recorder.process.stop(signal.SIGINT) == 0, recorder.process.err
        self.file = recorder.path
        self.case = case

    def read(self, *argv):
        """Objects, one per line, and nothing else."""
        out = self.case.run("outspan", *argv).text()
        assert out.endswith("\n")
        objects = [json.loads(line) for line in out.splitlines()]
        assert all(isinstance(o, dict) for o in objects)
        return objects

    def trace_of(self, identifier):
        """(the line of ls, the spans of show)"""
        for line in self.read("ls", "--json", self.file):
            spans = self.read("show", "--json", self.file, line["trace_id"])
            if any(s["attributes"].get(IDENTIFIER) == identifier for s in spans if s["name"].startswith("attempt")):
                return line, spans
        raise AssertionError(f"no trace of {identifier}")


def kind_of(span):
    return span["name"].split()[0]


def inside(start, end, entry):
    return int(entry["begin"]) - pubsub.CLOCKS <= start <= end <= int(entry["end"]) + pubsub.CLOCKS


# ---- ls and show -----------------------------------------------------------------------------------


def test_ls_json_has_its_keys_and_the_values_of_the_logs(case):
    r = Recorded(case)
    lines = r.read("ls", "--json", r.file)
    # what a stranger sends joins nothing: the refusal is a trace of the broadcaster's own
    refused, = [l for l in lines if l["root"].startswith("handle")]
    assert (refused["status"], refused["processes"], refused["spans"], refused["links"]) == ("error", 1, 1, 0), refused
    assert lines == sorted(lines, key=lambda l: l["start_ns"])
    assert r.read("ls", "--json", "--limit", "2", r.file) == lines[-2:]
    lines.remove(refused)
    entries = [r.good[0], r.bad, *r.good[1:]]
    assert len(lines) == len(entries) and len({l["trace_id"] for l in lines}) == len(lines)
    for line, entry in zip(lines, entries):
        assert LS <= set(line), line
        assert re.fullmatch("[0-9a-f]{32}", line["trace_id"]) and line["root"] == "publish " + TOPIC, line
        assert inside(line["start_ns"], line["start_ns"] + line["duration_ns"], entry), (line, entry)
        assert line["status"] == ("error" if entry is r.bad else "ok"), line
        # (an attempt that found no partner so shortly before the end may have lost it)
        assert line["may_be_cut"] is False or entry is r.bad, line
        # publisher and its attempt, broadcaster, and per subscriber: fan-out, receive, handler
        assert (line["processes"], line["spans"], line["links"]) == ((1, 2, 0) if entry is r.bad else (4, 3 + 3 * 2, 1 + 2)), line


def test_show_json_has_its_keys_and_the_values_of_the_logs(case):
    r = Recorded(case, 3)
    by_pid = {p.pid: p for p in r.programs}
    for entry in r.good:
        _, spans = r.trace_of(entry["identifier"])
        by_id = {s["span_id"]: s for s in spans}
        for s in spans:
            assert SHOW <= set(s) and {"pid", "comm", "exe"} <= set(s["process"]), s
            assert re.fullmatch("[0-9a-f]{16}", s["span_id"]) and s["status"] == "ok" and s["kind"] == KINDS[kind_of(s)], s
            program = by_pid[s["process"]["pid"]]
            assert s["process"]["exe"] == os.path.realpath(os.path.join(harness.BUILD, program.name)), s["process"]
            assert s["process"]["comm"] == program.name[:15], s["process"]
            times = [e["time_ns"] for e in s["events"]]
            assert times == sorted(times) and s["start_ns"] <= times[0] and times[-1] <= s["end_ns"], s
            assert all(set(e) >= {"name", "time_ns", "attributes"} for e in s["events"]), s
            assert all({"span_id", "evidence", "grade"} <= set(l) and l["span_id"] in by_id for l in s["links"]), s
        root, = [s for s in spans if s["parent_id"] is None]
        assert kind_of(root) == "publish" and inside(root["start_ns"], root["end_ns"], entry)
        assert root["attributes"][DESTINATION] == TOPIC and root["attributes"][SIZE] == int(entry["bytes"])
        handle, = [s for s in spans if kind_of(s) == "handle"]
        notify, = [n for n in r.notifies if n["identifier"] == entry["identifier"]]
        assert handle["process"]["pid"] == r.pair.broadcaster.pid and inside(handle["start_ns"], handle["end_ns"], notify)
        assert handle["attributes"][IDENTIFIER] == entry["identifier"] and handle["code"] == notify["status"] == "200"
        assert [(l["span_id"], l["evidence"], l["grade"]) for l in handle["links"]] == [(handle["parent_id"], "trace_context", "exact")]
        delivered = r.pair.broadcaster.log("deliver", notify=entry["identifier"])
        assert len(delivered) == 2
        for d in delivered:
            deliver, = [s for s in spans if kind_of(s) == "deliver" and s["attributes"][IDENTIFIER] == d["identifier"]]
            assert deliver["parent_id"] == handle["span_id"] and deliver["attributes"]["url.full"] == d["url"]
            receive, = [s for s in spans if kind_of(s) == "receive" and s["attributes"][IDENTIFIER] == d["identifier"]]
            logged, = [e for log in r.receives for e in log if e["identifier"] == d["identifier"]]
            assert receive["parent_id"] == deliver["span_id"] and inside(receive["start_ns"], receive["end_ns"], logged)
            assert receive["attributes"][DESTINATION] == logged["topic"] and receive["attributes"][SIZE] == int(logged["bytes"])
            assert any(l["span_id"] == deliver["span_id"] and l["evidence"] == "trace_context" for l in receive["links"])


def test_show_json_tells_what_went_wrong(case):
    r = Recorded(case, 1)
    line, spans = r.trace_of(r.bad["identifier"])
    refused, = [l for l in r.read("ls", "--json", r.file) if l["root"].startswith("handle")]
    handle, = r.read("show", "--json", r.file, refused["trace_id"])
    assert (handle["status"], handle["code"]) == ("error", r.bad["status"]), (handle, r.bad)
    assert handle["process"]["pid"] == r.pair.broadcaster.pid and handle["parent_id"] is None and not handle["links"]
    attempt, = [s for s in spans if kind_of(s) == "attempt"]
    assert attempt["status"] == "error" and attempt["attributes"]["http.response.status_code"] == int(r.bad["status"]), attempt
    assert line["status"] == "error"
    # the tree tells every code whole, on a line of its own where there is no room
    shown = case.run("outspan", "show", r.file, line["trace_id"]).text()
    assert all(re.search(rf"error:? {re.escape(s['code'])}$", shown, re.M) for s in spans), (shown, [s["code"] for s in spans])
    assert max(map(len, shown.splitlines())) <= 100, shown


# ---- probes and doctor -------------------------------------------------------------------------------


def sites_by_readelf(path):
    """provider:probe -> how many, of the notes that stand for code."""
    notes = subprocess.run(["readelf", "-nW", path], check=True, capture_output=True, text=True).stdout
    counts = {}
    for provider, probe, at in re.findall(r"Provider: (\S+)\s+Name: (\S+)\s+Location: (0x[0-9a-f]+)", notes):
        if int(at, 16):
            counts[f"{provider}:{probe}"] = counts.get(f"{provider}:{probe}", 0) + 1
    return counts


def test_probes_json_tells_the_sites_of_a_process_and_which_are_wanted(case):
    broadcaster = pubsub.start_broadcaster(case)
    path = os.path.join(harness.BUILD, "psp-broadcaster")

    def read():
        lines = [json.loads(l) for l in case.run("outspan", "probes", "--json", "-p", str(broadcaster.pid)).text().splitlines()]
        return [l for l in lines if l["provider"] == "lonelypsp"]
    before = read()
    counts = {}
    for s in before:
        assert {"binary", "provider", "probe", "known", "level", "processes", "refused"} <= set(s), s
        assert s["binary"] == os.path.realpath(path) and s["known"] is True and s["refused"] is None, s
        assert s["level"] in ("essential", "detail", "debug", "control"), s
        assert [(p["pid"], p["comm"], p["wanted"], p["semaphore"]) for p in s["processes"]] == \
            [(broadcaster.pid, "psp-broadcaster", False, 0)], s
        counts[f"{s['provider']}:{s['probe']}"] = counts.get(f"{s['provider']}:{s['probe']}", 0) + 1
    assert counts == sites_by_readelf(path)
    recorder = pubsub.Recorder(case, [broadcaster], "--level", "essential")
    for s in read():
        wanted = s["level"] in ("essential", "control")
        p, = s["processes"]
        assert p["wanted"] == wanted and (p["semaphore"] + p["carry"] > 0) == wanted, s
    recorder.process.stop(signal.SIGINT)
    assert read() == before
    assert {f"{s['provider']}:{s['probe']}" for s in map(json.loads, case.run("outspan", "probes", "--json", path).text().splitlines())} == set(counts)
    assert broadcaster.pid in {p["pid"] for s in map(json.loads, case.run("outspan", "probes", "--json", "--all").text().splitlines())
                               for p in s["processes"]}


def test_doctor_json_has_a_verdict_per_check(case):
    checks = [json.loads(l) for l in case.run("outspan", "doctor", "--json").text().splitlines()]
    for c in checks:
        assert {"check", "title", "verdict", "detail", "hint"} <= set(c), c
        assert c["verdict"] in ("ok", "warn", "fail", "skip") and c["detail"] and (c["verdict"] in ("ok", "skip")) == (c["hint"] is None), c
    assert len({c["check"] for c in checks}) == len(checks) >= 10
    kernel, = [c for c in checks if c["check"] == "kernel"]
    assert os.uname().release in kernel["detail"] and os.uname().machine in kernel["detail"], kernel
    lines = case.run("outspan", "doctor").text().splitlines()
    assert [l.split()[0] for l in lines if not l.startswith(" ")] == [c["verdict"] for c in checks]


# ---- OTLP ----------------------------------------------------------------------------------------------

VALUES = {
    "stringValue": lambda v: isinstance(v, str),
    "intValue": lambda v: isinstance(v, str) and -2**63 <= int(v) < 2**63,
    "doubleValue": lambda v: isinstance(v, (float, int)) or v in ("NaN", "Infinity", "-Infinity"),
    "boolValue": lambda v: isinstance(v, bool),
    "bytesValue": lambda v: base64.b64decode(v, validate=True) is not None,
    "arrayValue": lambda v: [attribute_value(x) for x in v["values"]] is not None,
}
SPAN_KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}


def attribute_value(value):
    (kind, content), = value.items()
    assert VALUES[kind](content), value
    return content


def attributes(of):
    found = {}
    for a in of["attributes"]:
        assert set(a) == {"key", "value"} and a["key"] and a["key"] not in found, a
        found[a["key"]] = attribute_value(a["value"])
    return found


def check_id(text, digits):
    assert re.fullmatch(f"[0-9a-f]{{{digits}}}", text) and int(text, 16), text


def check_span(span):
    """As trace.proto has it, in the JSON form: hexadecimal ids, 64-bit numbers as text, kinds as numbers."""
    assert set(span) <= {"traceId", "spanId", "traceState", "parentSpanId", "flags", "name", "kind", "startTimeUnixNano", "endTimeUnixNano",
                         "attributes", "droppedAttributesCount", "events", "droppedEventsCount", "links", "droppedLinksCount", "status"}, span
    check_id(span["traceId"], 32)
    check_id(span["spanId"], 16)
    if "parentSpanId" in span:
        check_id(span["parentSpanId"], 16)
    assert span["kind"] in SPAN_KINDS.values() and isinstance(span["name"], str) and span["name"]
    assert isinstance(span["startTimeUnixNano"], str) and int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    assert set(span["status"]) <= {"code", "message"} and span["status"].get("code", 0) in (0, 1, 2)
    for e in span["events"]:
        assert set(e) <= {"timeUnixNano", "name", "attributes", "droppedAttributesCount"} and isinstance(e["timeUnixNano"], str) and e["name"], e
        attributes(e)
    for l in span["links"]:
        assert set(l) <= {"traceId", "spanId", "traceState", "attributes", "droppedAttributesCount", "flags"}, l
        check_id(l["traceId"], 32)
        check_id(l["spanId"], 16)
        attributes(l)


def read_export(request):
    """{span id: (span, its attributes, those of its resource)}"""
    assert set(request) == {"resourceSpans"}
    found = {}
    for resource in request["resourceSpans"]:
        assert set(resource) <= {"resource", "scopeSpans", "schemaUrl"}
        about = attributes(resource["resource"])
        for scope in resource["scopeSpans"]:
            assert set(scope) <= {"scope", "spans", "schemaUrl"} and scope["scope"]["name"] == "outspan", scope["scope"]
            for span in scope["spans"]:
                check_span(span)
                assert span["spanId"] not in found
                found[span["spanId"]] = span, attributes(span), about
    return found


def test_the_export_is_what_otlp_over_http_takes(case):
    r = Recorded(case)
    case.run("outspan", "export", r.file, "--format", "otlp-json", "-o", case.path("traces.json"))
    with open(case.path("traces.json")) as f:
        text = f.read()
    assert case.run("outspan", "export", r.file).text() == text
    request = json.loads(text)
    spans = read_export(request)
    # a resource per process, no more, that names it
    resources = [attributes(x["resource"]) for x in request["resourceSpans"]]
    assert sorted(int(a["process.pid"]) for a in resources) == sorted(p.pid for p in r.programs)
    for a in resources:
        program, = [p for p in r.programs if str(p.pid) == a["process.pid"]]
        assert a["service.name"] and a["process.executable.name"] == program.name, a
        assert a["process.executable.path"] == os.path.realpath(os.path.join(harness.BUILD, program.name)), a
    # the same spans, in the same traces, as show has
    shown = {}
    for line in r.read("ls", "--json", r.file):
        shown.update({s["span_id"]: (line, s) for s in r.read("show", "--json", r.file, line["trace_id"])})
    assert set(spans) == set(shown)
    for i, (span, _, about) in spans.items():
        line, s = shown[i]
        assert span["traceId"] == line["trace_id"] and span.get("parentSpanId") == s["parent_id"] and span["name"] == s["name"]
        assert span["kind"] == SPAN_KINDS[s["kind"]] and int(about["process.pid"]) == s["process"]["pid"]
        assert (int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])) == (s["start_ns"], s["end_ns"])
        assert span["status"]["code"] == {"unset": 0, "ok": 1, "error": 2}[s["status"]]
        assert [e["name"] for e in span["events"]] == [e["name"] for e in s["events"]]
        assert {(l["spanId"], attributes(l)["outspan.link.evidence"], attributes(l)["outspan.link.grade"]) for l in span["links"]} == \
            {(l["span_id"], l["evidence"], l["grade"]) for l in s["links"]}
        assert all(l["traceId"] == spans[l["spanId"]][0]["traceId"] for l in span["links"])


def test_the_export_follows_the_messaging_conventions(case):
    r = Recorded(case, 3)
    request = json.loads(case.run("outspan", "export", r.file).text())
    spans = read_export(request).values()

    def of(kind, identifier):
        found = [(s, a) for s, a, _ in spans if kind_of(s) == kind and a.get(IDENTIFIER) == identifier]
        assert len(found) == 1, (kind, identifier, len(found))
        return found[0]
    for s, a, _ in spans:
        if kind_of(s) in ("publish", "deliver", "receive"):
            assert a["messaging.system"] == "lonelypsp" and a["messaging.operation.name"] and a[DESTINATION] == TOPIC, (s["name"], a)
            assert a["messaging.operation.type"] == ("process" if kind_of(s) == "receive" else "send"), (s["name"], a)
    for entry in r.good:
        attempt, told = of("attempt", entry["identifier"])
        assert told["http.response.status_code"] == "200" and inside(int(attempt["startTimeUnixNano"]), int(attempt["endTimeUnixNano"]), entry)
        for d in r.pair.broadcaster.log("deliver", notify=entry["identifier"]):
            assert of("deliver", d["identifier"])[1]["url.full"] == d["url"]
            assert of("receive", d["identifier"])[1][SIZE] == entry["bytes"]
    failed, told = of("attempt", r.bad["identifier"])
    assert failed["status"]["code"] == 2 and told["error.type"] and told["http.response.status_code"] == r.bad["status"], (failed, told)
    refused, = [(s, a) for s, a, _ in spans if kind_of(s) == "handle" and s["status"]["code"] == 2]
    assert refused[1]["error.type"] == refused[0]["status"]["message"] == r.bad["status"]


def test_one_trace_is_exported_alone(case):
    r = Recorded(case, 2)
    line = r.read("ls", "--json", r.file)[0]
    alone = read_export(json.loads(case.run("outspan", "export", r.file, "--trace", line["trace_id"][:12]).text()))
    assert {s["traceId"] for s, _, _ in alone.values()} == {line["trace_id"]} and len(alone) == line["spans"]
    first = read_export(json.loads(case.run("outspan", "export", r.file, "--trace", "#1").text()))
    assert first == alone
    case.run("outspan", "export", r.file, "--format", "fax", status=2)


def test_an_export_holds_no_secret(case):
    r = Recorded(case, 1)
    out = case.run("outspan", "export", r.file).text()
    for argv in (["ls", "--json", r.file], ["show", "--json", r.file, "last"], ["show", "-v", r.file, "last"]):
        out += case.run("outspan", *argv).text()
    for secret in (pubsub.SECRET, pubsub.OTHER_SECRET):
        assert secret not in out and base64.urlsafe_b64decode(secret + "==").hex() not in out


def test_an_export_goes_to_a_collector_as_the_help_says(case):
    got = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args):
            pass
    r = Recorded(case, 2)
    case.run("outspan", "export", r.file, "-o", case.path("traces.json"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        case.run("/usr/bin/curl", "-sS", "--max-time", "20", "-H", "Content-Type: application/json", "-d", "@" + case.path("traces.json"),
                 f"http://127.0.0.1:{server.server_port}/v1/traces")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    (path, content, request), = got
    assert (path, content) == ("/v1/traces", "application/json") and len(read_export(request)) == 2 * 9 + 3


# ---- the views -------------------------------------------------------------------------------------------


def query(case, file, sql):
    """By the stock shell, as its user gets it: rows of texts."""
    p = case.run("/usr/bin/sqlite3", "-batch", "-readonly", file, sql)
    assert p.err == b"", p.err
    return [tuple(line.split("|")) for line in p.text().splitlines()]


def check_views(case, r, file):
    ids = [e["identifier"] for e in r.good]
    assert query(case, file, "SELECT count(*), min(root), max(root), min(processes), min(spans), min(links) FROM trace WHERE status = 'ok' AND marks = ''") \
        == [(str(len(ids)), f"publish {TOPIC}", f"publish {TOPIC}", "4", "9", "3")]
    assert query(case, file, "SELECT status, processes, spans FROM trace WHERE status <> 'ok' ORDER BY start_ns") == \
        [("error", "1", "2"), ("error", "1", "1")]
    by_kind = dict(query(case, file, "SELECT kind_name, count(*) FROM span WHERE status = 'ok' GROUP BY kind_name"))
    n = str(len(ids))
    assert (by_kind["notify"], by_kind["handle_notify"], by_kind["deliver"], by_kind["receive"]) == (n, n, str(2 * len(ids)), str(2 * len(ids))), by_kind
    found = query(case, file, f"SELECT a.value FROM attribute a JOIN span s ON s.trace = a.trace AND s.span_id = a.span_id "
                              f"WHERE s.kind_name = 'handle_notify' AND a.name = '{IDENTIFIER}' ORDER BY s.start_ns")
    assert [f[0] for f in found] == ids, (found, ids)
    pids = query(case, file, "SELECT DISTINCT pid FROM span WHERE kind_name = 'receive' ORDER BY pid")
    assert [int(p[0]) for p in pids] == sorted(s.pid for s in r.pair.subscribers)
    found = query(case, file, "SELECT evidence, grade, makes, count(*) FROM link GROUP BY 1, 2, 3")
    assert found == [("trace_context", "exact", "parent", str(3 * len(ids)))], found
    steps = query(case, file, "SELECT e.name FROM event e JOIN span s ON s.trace = e.trace AND s.span_id = e.span_id WHERE s.kind_name = 'receive' "
                              "AND s.start_ns = (SELECT min(start_ns) FROM span WHERE kind_name = 'receive') ORDER BY e.seq")
    assert [s[0] for s in steps] == ["received", "request_parsed", "auth_tentatively_accepted", "auth_accepted", "no_more_handlers", "sending_response"], steps
    when, = query(case, file, "SELECT start_time, start_ns FROM trace ORDER BY start_ns LIMIT 1")
    assert inside(int(when[1]), int(when[1]), r.good[0]) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", when[0]), when


def test_the_views_answer_the_stock_sqlite3_shell(case):
    r = Recorded(case, 4)
    check_views(case, r, r.file)
    assert query(case, r.file, "SELECT count(*) FROM losses WHERE hits <> stored + lost OR lost") == [("0",)]
    # each publish passes this point of the broadcaster once, and the refused one does not
    assert query(case, r.file, "SELECT pid, hits FROM losses WHERE probe = 'handle_notify__auth_accepted'") == [(str(r.pair.broadcaster.pid), "4")]


def test_the_views_answer_while_the_session_is_being_recorded(case):
    pair = pubsub.Pair(case, [["--exact", TOPIC]], topic=TOPIC)
    recorder = pubsub.Recorder(case, pair.programs)
    published = pair.publish(3)
    for _ in range(3000):
        complete = query(case, recorder.path, "SELECT count(*) FROM trace WHERE status = 'ok' AND processes = 3 AND marks = ''")
        if complete == [("3",)]:
            break
    assert complete == [("3",)], complete
    found = query(case, recorder.path, f"SELECT value FROM attribute WHERE name = '{IDENTIFIER}'")
    assert {p["identifier"] for p in published} <= {f[0] for f in found}
    lines = [json.loads(l) for l in case.run("outspan", "ls", "--json", recorder.path).text().splitlines()]
    assert [l["status"] for l in lines] == ["ok"] * 3
    recorder.process.stop(signal.SIGINT)
    pair.stop()


def test_the_ten_queries_of_the_readme_run_on_a_recorded_session(case):
    r = Recorded(case, 3)
    with open(os.path.join(harness.ROOT, "store", "README.md")) as f:
        queries = re.findall(r"^```sql\n(.*?)^```", f.read(), re.M | re.S)
    assert len(queries) == 10
    answers = [query(case, r.file, q) for q in queries]
    slowest = max(r.read("ls", "--json", r.file), key=lambda l: l["duration_ns"])
    assert answers[0][0][0] == slowest["trace_id"], (answers[0], slowest)
    assert answers[2] == [(TOPIC, "6", "0")], answers[2]  # deliveries by topic: three messages to two subscribers


if __name__ == "__main__":
    harness.main(globals())

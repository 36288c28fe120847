"""The pub/sub pair for end-to-end tests: start it, read what its programs log, record around it.

Expectations come from the programs' own logs (probes/pubsub writes one line per exchange); what
outspan stored is read as it shows it: `ls --json`, `show --json`, and the session's views.
"""
import base64
import functools
import hashlib
import hmac
import http.client
import itertools
import json
import os
import signal
import socket
import sqlite3
import struct
import threading
import time

import harness

SECRET = base64.urlsafe_b64encode(bytes(range(64))).decode().rstrip("=")
OTHER_SECRET = base64.urlsafe_b64encode(bytes(range(1, 65))).decode().rstrip("=")
CLOCKS = 5_000_000  # ns by which a program's wall clock and a session's may differ


def hmac_options(to_broadcaster=SECRET, to_subscriber=SECRET):
    return ["--auth-to-broadcaster", "hmac:" + to_broadcaster, "--auth-to-subscriber", "hmac:" + to_subscriber]


HMAC = hmac_options()

# ---- programs --------------------------------------------------------------------------------------


class Program:
    """One of the pair's programs, with its own log."""

    def __init__(self, case, name, *args, stdin=False):
        self.name = name
        self.log_path = case.path(f"{name}-{len(case.processes)}.log")
        self.process = case.start(name, "--log", self.log_path, *args, stdin=stdin)
        self.pid = self.process.pid

    def ready(self):
        found = self.process.wait_for(r"^ready: (?:port=(\d+))?").group(1)
        self.port = int(found) if found else None
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def log(self, what=None, **fields):
        """The lines of its log that say `what` and have these fields, as dictionaries."""
        found = []
        text = open(self.log_path).read() if os.path.exists(self.log_path) else ""
        for line in text[:text.rfind("\n") + 1].splitlines():  # the last one may be half written
            word, *pairs = line.split(" ")
            entry = dict(pair.split("=", 1) for pair in pairs)
            if what in (None, word) and all(entry.get(k) == str(v) for k, v in fields.items()):
                found.append(entry)
        return found

    def wait_log(self, what, count=1, **fields):
        """Until so many such lines are there."""
        end = time.monotonic() + harness.PATIENCE
        while len(found := self.log(what, **fields)) < count:
            if time.monotonic() > end:
                raise AssertionError(f"{self.name} logged {what} {fields} {len(found)} times, not {count}: {self.log()}")
            time.sleep(0.01)
        return found

    def command(self, text):
        """A line on standard input; the line that answers it."""
        said = len(self.process.out)
        self.process.line(text)
        return self.process.wait_for(r"^[^\n]*\n", "out", after=said).group().decode().rstrip("\n")

    def stop(self, number=signal.SIGTERM):
        return self.process.stop(number)


def start_broadcaster(case, *args, auth=HMAC):
    return Program(case, "psp-broadcaster", "--listen", "127.0.0.1:0", *auth, *args).ready()


def start_subscriber(case, broadcaster, *args, auth=HMAC, stdin=False):
    """Ready, which it is when it has subscribed to the --exact and --glob given."""
    return Program(case, "psp-subscriber", "--broadcaster", broadcaster.url, "--quiet", *auth, *args, stdin=stdin).ready()


def start_publisher(case, broadcaster, topic, *args, auth=HMAC):
    """Running, and publishing a message per `publish`."""
    url = broadcaster if isinstance(broadcaster, str) else broadcaster.url
    return Program(case, "psp-notify", "--broadcaster", url, "--stdin-lines", *auth, *args, topic, stdin=True).ready()


def publish(publisher, text, outcome="published"):
    """One message, to its end; the program's log of it."""
    answer = publisher.command(text)
    assert answer.startswith(outcome + " "), answer
    return publisher.log("publish")[-1]


class Pair:
    """A broadcaster, a subscriber per list of options in `subscribers`, and a publisher."""

    def __init__(self, case, subscribers, topic="a/b", broadcaster=(), publisher=(), auth=HMAC):
        b = start_broadcaster(case, *broadcaster, auth=auth)
        self.take(b, [start_subscriber(case, b, *s, auth=auth) for s in subscribers],
                  start_publisher(case, b, topic, *publisher, auth=auth))

    def take(self, broadcaster, subscribers, publisher):
        self.broadcaster, self.subscribers, self.publisher = broadcaster, subscribers, publisher
        self.programs = [broadcaster, *subscribers, publisher]
        self.numbers = itertools.count(1)

    @classmethod
    def of(cls, *programs):
        """A pair of programs that run already."""
        pair = cls.__new__(cls)
        pair.take(*programs)
        return pair

    def publish(self, count, outcome="published"):
        """So many messages, each with a text of its own; the publisher's log of them."""
        return [publish(self.publisher, f"message {next(self.numbers)}", outcome) for _ in range(count)]

    def stop(self):
        assert self.publisher.process.wait() in (0, 1)
        for p in [*self.subscribers, self.broadcaster]:
            assert p.stop() == 0, (p.name, p.process.err)


# ---- recording -------------------------------------------------------------------------------------


def check_untraced(case, *programs):
    """
    Nobody records these yet. Semaphores are shared: another recorder of the machine, such as one
    with --all, would put contexts on the wire that a test without any does not expect.
    """
    for program in programs:
        points = lines(case.run("outspan", "probes", "--json", "-p", str(program.pid)))
        wanted = [p["probe"] for p in points if any(process["wanted"] for process in p["processes"])]
        assert points
        assert not wanted, f"another recorder on this machine traces {program.name}: {wanted[:3]}"


class Recorder:
    """outspan record on these programs, ready."""

    def __init__(self, case, programs, *args, name="session.db"):
        self.case = case
        self.path = case.path(name)
        pids = [word for p in programs for word in ("-p", str(p.pid))]
        self.process = case.start("outspan", "record", "-o", self.path, *pids, *args)
        self.process.wait_for(r"^ready: \d+ sites?, \d+ process")

    def read_until(self, sql, *values):
        """The rows that this query finds in the session while it grows, as soon as there are any."""
        session, end = Session(self.case, self.path), time.monotonic() + harness.PATIENCE
        while not (rows := session.sql(sql, *values)):
            assert time.monotonic() < end, f"not in the growing session: {sql}"
            time.sleep(0.1)
        return rows

    def stop(self):
        """
        The session, once the recorder has ended as it should. What lacks its counterpart less than
        100 ms before the stop may have been cut by it, and is marked so: that much time passes first.
        """
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            time.sleep(0.05)
        assert self.process.stop(signal.SIGINT) == 0, self.process.err
        return Session(self.case, self.path)


def lines(process):
    return [json.loads(line) for line in process.text().splitlines()]


class Trace:
    """A line of `ls`, with its spans as `show` has them."""

    def __init__(self, session, line):
        self.id = line["trace_id"]
        self.line = line
        self.spans = lines(session.case.run("outspan", "show", "--json", session.path, self.id))
        self.by_id = {s["span_id"]: s for s in self.spans}
        assert len(self.by_id) == len(self.spans), "a span is there twice"

    def find(self, name=None, **fields):
        """The spans whose names begin so, and with these fields."""
        return [s for s in self.spans if (name is None or s["name"].startswith(name)) and
                all(s[k] == v for k, v in fields.items())]

    def only(self, name=None, **fields):
        found = self.find(name, **fields)
        assert len(found) == 1, (name, fields, [s["name"] for s in self.spans])
        return found[0]

    def children(self, span):
        return sorted((s for s in self.spans if s["parent_id"] == span["span_id"]), key=lambda s: s["start_ns"])

    def roots(self):
        return [s for s in self.spans if s["parent_id"] not in self.by_id]

    def table(self, top=None, wanted=lambda span: True):
        """
        (depth, operation or nested span, status, code) of each span, as a tree from top to bottom; or
        of one span and those below it, without those that are not wanted and what is below them.
        """
        def rows(span, depth):
            parent = self.by_id.get(span["parent_id"])
            nested = parent and (parent["process"], parent["operation"]) == (span["process"], span["operation"])
            yield depth, span["name"].split(" ")[0] if nested else span["operation"], span["status"], span["code"]
            for child in filter(wanted, self.children(span)):
                yield from rows(child, depth + 1)
        return [row for root in ([top] if top else self.roots()) for row in rows(root, 0)]

    def marks(self):
        return sorted({m for s in self.spans for m in s["marks"]} | set(self.line["marks"]))

    def __repr__(self):
        def branch(span, depth):
            return "  " * depth + f"{span['name']} {span['status']} {span['code']} {span['marks']}\n" + "".join(
                branch(s, depth + 1) for s in self.children(span))
        return "".join(branch(s, 0) for s in self.roots())


class Session:
    def __init__(self, case, path):
        self.case = case
        self.path = path

    @functools.cached_property
    def traces(self):
        return [Trace(self, line) for line in lines(self.case.run("outspan", "ls", "--json", self.path))]

    def sql(self, text, *values):
        db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        try:
            return db.execute(text, values).fetchall()
        finally:
            db.close()

    def with_root(self, name):
        return [t for t in self.traces if t.line["root"].startswith(name)]

    def accepted(self):
        """(operation, status) of those that were seen as a whole"""
        return self.sql("SELECT DISTINCT operation, status FROM span WHERE kind_name = operation AND marks = ''")

    def hits(self):
        """{(pid, point): (hits, stored, lost)}"""
        return {(pid, point): tuple(counts) for pid, point, *counts in
                self.sql("SELECT pid, probe, hits, stored, lost FROM losses")}

    def check_books(self):
        """hits = stored + losses for every point of every process."""
        for key, (hits, stored, lost) in self.hits().items():
            assert hits == stored + lost, (key, hits, stored, lost)

    def check_no_loss(self):
        self.check_books()
        assert self.hits() and not [k for k, (_, _, lost) in self.hits().items() if lost], self.hits()


def check_tables(session, *expected):
    """The session holds traces of these tables, and no others."""
    assert sorted(map(str, (t.table() for t in session.traces))) == sorted(map(str, expected)), session.traces


def events(span):
    return [e["name"] for e in span["events"]]


def attribute(span, name):
    return span["attributes"].get(name)


def identifier(span):
    return attribute(span, "messaging.message.id")


def check_link(trace, parent, child, evidence, grade, also=None):
    """child hangs under parent across processes by exactly this evidence."""
    assert child["parent_id"] == parent["span_id"], trace
    assert [(l["span_id"], l["evidence"], l["grade"], l["also"]) for l in child["links"]] == \
        [(parent["span_id"], evidence, grade, also)], child["links"]
    assert child["process"]["pid"] != parent["process"]["pid"]


def check_time(span, entry):
    """The span lies in the time that the program's log gives it."""
    assert int(entry["begin"]) - CLOCKS <= span["start_ns"] <= span["end_ns"] <= int(entry["end"]) + CLOCKS, (span, entry)


# How a delivery that the broadcaster's log calls so looks as a span: status, code.
DELIVERED = {"ok": ("ok", None), "timeout": ("error", "network_error"), "network_error": ("error", "network_error"),
             "bad_response": ("error", "bad_response"), "bad_auth": ("error", "bad_auth"),
             "unsubscribed": ("unset", "unsubscribed")}
UNAUTHENTICATED = ("400", "401", "403")  # statuses of requests that join nothing
EXACT = ("trace_context", "exact", "message_id")  # evidence, grade, what agrees with it
STRONG = ("message_id", "strong", None)


def check_publish(session, pair, entry, by=EXACT):
    """
    One trace holds this publish of the publisher's log, as the logs of all say: an attempt per
    broadcaster tried, the broadcaster's span in the attempt that reached it, a span per delivery,
    and in it the subscriber's. Returns the trace.
    """
    found = [t for t in session.traces for s in t.find("attempt ") if identifier(s) == entry["identifier"]]
    assert len(found) == 1, (entry, [str(t) for t in found])
    trace, = found
    attempts = pair.publisher.log("attempt", sha512=entry["sha512"])
    root, = trace.roots()
    assert (root["operation"], root["kind"], root["process"]["pid"]) == ("notify", "PRODUCER", pair.publisher.pid), root
    assert (root["name"], attribute(root, "messaging.destination.name"), attribute(root, "messaging.message.body.size")) == \
        ("publish " + entry["topic"], entry["topic"], int(entry["bytes"])), root
    assert (root["status"], root["code"]) == (("ok", None) if entry["outcome"] == "ok" else ("error", entry["outcome"]))
    check_time(root, entry)
    spans = trace.children(root)
    assert [identifier(s) for s in spans] == [a["identifier"] for a in attempts], trace
    assert len(spans) == int(entry["attempts"])
    count = 1 + len(spans)
    for span, attempt in zip(spans, attempts):
        assert span["name"] == "attempt " + attempt["broadcaster"]
        assert (span["status"], span["code"]) == (("ok", None) if attempt["outcome"] == "ok" else ("error", attempt["outcome"]))
        check_time(span, attempt)
        count += check_handle(trace, pair, span, by)
    assert len(trace.spans) == count == trace.line["spans"], trace
    assert trace.line["processes"] == len({s["process"]["pid"] for s in trace.spans})
    assert trace.line["links"] == sum(len(s["links"]) for s in trace.spans)
    for span in trace.spans:
        parent = trace.by_id.get(span["parent_id"])
        given_up = parent and parent["name"].startswith("deliver ") and parent["status"] == "error"
        assert not parent or parent["start_ns"] <= span["start_ns"] <= span["end_ns"], (parent, span)
        assert not parent or given_up or span["end_ns"] <= parent["end_ns"], (parent, span)
    return trace


def check_handle(trace, pair, attempt, by):
    """The broadcaster's part of an attempt; how many spans it is."""
    entries = [n for n in pair.broadcaster.log("notify", identifier=identifier(attempt)) if n["status"] not in UNAUTHENTICATED]
    if not entries:
        assert trace.children(attempt) == []
        return 0
    (span,), (entry,) = trace.children(attempt), entries
    check_link(trace, attempt, span, *by)
    assert (span["operation"], span["kind"], span["process"]["pid"]) == ("handle_notify", "SERVER", pair.broadcaster.pid)
    assert span["name"] == "handle " + entry["topic"] and identifier(span) == entry["identifier"]
    assert (span["status"], span["code"]) == ("ok" if entry["status"] == "200" else "error", entry["status"])
    check_time(span, entry)
    deliveries = pair.broadcaster.log("deliver", notify=entry["identifier"])
    spans = trace.children(span)
    assert [identifier(s) for s in spans] == [d["identifier"] for d in deliveries], trace
    return 1 + sum(check_delivery(trace, pair, s, d, by) for s, d in zip(spans, deliveries))


def check_delivery(trace, pair, span, entry, by):
    """A delivery and what the subscriber made of it; how many spans that is."""
    assert (span["name"], span["kind"], attribute(span, "url.full")) == ("deliver " + entry["url"], "PRODUCER", entry["url"])
    assert (span["status"], span["code"]) == DELIVERED[entry["outcome"]], (span, entry)
    assert events(span)[0] == entry["kind"] + "_subscriber_found"
    check_time(span, entry)
    taken = [(s, r) for s in pair.subscribers for r in s.log("receive", identifier=entry["identifier"])
             if r["status"] not in UNAUTHENTICATED]
    if not taken:
        assert trace.children(span) == []
        return 1
    (subscriber, taking), = taken
    child, = trace.children(span)
    check_link(trace, span, child, *by)
    assert (child["operation"], child["kind"], child["process"]["pid"]) == ("receive", "CONSUMER", subscriber.pid)
    assert child["name"] == "receive " + taking["topic"] and identifier(child) == taking["identifier"]
    assert attribute(child, "messaging.message.body.size") == int(taking["bytes"])
    assert (child["status"], child["code"]) == ("ok" if taking["status"] == "200" else "error", taking["status"])
    check_time(child, taking)
    handler, = trace.children(child)
    assert (handler["name"], handler["status"]) == ("handler 0", "ok") and not trace.children(handler)
    return 3


# ---- the protocol by hand ----------------------------------------------------------------------------


def v8(b):
    return bytes([len(b)]) + b


def v16(b):
    return struct.pack(">H", len(b)) + b


def sign(kind, fields, tracing=b"", key=SECRET):
    seconds, nonce = int(time.time()), base64.urlsafe_b64encode(os.urandom(4)).decode().rstrip("=")
    signed = bytes([kind]) + struct.pack(">Q", seconds) + v8(nonce.encode()) + v16(tracing) + fields
    mac = hmac.new(base64.urlsafe_b64decode(key + "=="), signed, hashlib.sha512).digest()
    return f"X-HMAC {seconds}:{nonce}:{base64.b64encode(mac).decode()}"


def post(url, body, authorization=None, **headers):
    """(status, body)"""
    host, _, path = url.removeprefix("http://").partition("/")
    c = http.client.HTTPConnection(host, timeout=harness.PATIENCE)
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    if authorization is not None:
        headers["Authorization"] = authorization
    try:
        c.request("POST", "/" + path, body, headers)
        answer = c.getresponse()
        return answer.status, answer.read()
    finally:
        c.close()


def post_notify(broadcaster, topic, message, identifier, tracing=b"", key=SECRET):
    digest = hashlib.sha512(message).digest()
    body = v16(topic) + digest + v16(tracing) + v8(identifier) + struct.pack(">Q", len(message)) + message
    return post(broadcaster.url + "/v1/notify", body,
                sign(3, v16(topic) + v8(identifier) + digest, tracing, key))


def post_receive(url, topic, message, identifier, tracing=b"", key=SECRET, known_as=None):
    """known_as: the url under which the subscriber is known, if it is not this one"""
    digest = hashlib.sha512(message).digest()
    body = v16(tracing) + v16(topic) + v8(identifier) + struct.pack(">Q", len(message)) + message
    signed = v16((known_as or url).encode()) + v16(topic) + v8(identifier) + digest
    return post(url, body, key and sign(10, signed, tracing, key), Repr_Digest="sha-512=" + base64.b64encode(digest).decode())


def post_change(broadcaster, path, url, key, tracing=b"", subscribe=True, secret=SECRET):
    """path: subscribe/exact and the like"""
    body = v16(url) + v16(key) + (v16(b"") if subscribe else b"") + v16(tracing)
    kind = 2 if path.endswith("glob") else 1
    return post(f"{broadcaster.url}/v1/{path}", body, sign(kind, v16(url) + v16(b"") + v16(key), tracing, secret))


def etag(url, exact, globs):
    """Of lists of (key, recovery), in the order given."""
    def packed(entries):
        return b"".join(v16(key) + v16(recovery) for key, recovery in entries)
    return hashlib.sha512(b"URL" + v16(url) + b"\nEXACT" + packed(exact) + b"\nGLOB" + packed(globs) + b"\n").digest()


def set_body(url, exact, globs, tracing=b"", digest=None, form=0):
    lists = b"".join(struct.pack(">I", len(l)) + b"".join(v16(k) + v16(r) for k, r in l) for l in (exact, globs))
    return v16(tracing) + v16(url) + bytes([form]) + (digest or etag(url, exact, globs)) + lists


def post_set(broadcaster, body, key=SECRET):
    """key: None sends no authorization"""
    b = Bytes(body)
    tracing, url = b.string(2), b.string(2)
    signed = v16(url) + b.take(1) + b.take(64)
    return post(broadcaster.url + "/v1/set_subscriptions", body, key and sign(6, signed, tracing, key))


def post_check(broadcaster, url, tracing=b"", key=SECRET):
    return post(broadcaster.url + "/v1/check_subscriptions", v16(tracing) + v16(url), key and sign(5, v16(url), tracing, key))


def post_missed(url, topic, tracing=b"", key=SECRET, known_as=None):
    """known_as: the url that is signed, if it is not this one"""
    signed = v16((known_as or url).encode()) + v16(topic)
    return post(url, v16(tracing) + v16(topic), key and sign(11, signed, tracing, key))


class Bytes:
    """What a message holds, field by field."""

    def __init__(self, data):
        self.data = data

    def take(self, size):
        assert len(self.data) >= size, "the message is short"
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def string(self, size):
        return self.take(self.number(size))


def tracing_of(kind, body):
    """The tracing field of a NOTIFY, a RECEIVE, a (UN)SUBSCRIBE or an answer."""
    b = Bytes(body)
    if kind == "notify":
        b.string(2), b.take(64)
    elif kind == "answer":
        b.number(2), b.string(2)
    else:
        assert kind == "receive"
    return b.string(2)


def context_of(tracing):
    """(trace id, span id) of a context, None if there are no bytes; nothing else is allowed."""
    if tracing == b"":
        return None
    assert len(tracing) == 29 and tracing[:4] == b"osp\x01", tracing
    return tracing[5:21].hex(), tracing[21:].hex()


def make_context(trace_id=bytes(range(1, 17)), span_id=bytes(range(1, 9))):
    return b"osp\x01\x01" + trace_id + span_id


def read_message(f):
    """A request or an answer: its first line, headers, body; None at the end."""
    line = f.readline()
    if not line:
        return None
    headers = http.client.parse_headers(f)
    return line, headers, f.read(int(headers.get("Content-Length", 0)))


def write_message(connection, line, headers, body):
    connection.sendall(line + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items()) + b"\r\n" + body)


class Wire:
    """Sits between two programs and keeps what they say: (headers, body, the answer's body) per exchange."""

    def __init__(self, port=None):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.server.getsockname()[1]
        self.port = port  # where requests go on to; may be set later
        self.exchanges = []
        self.before = None  # called with (headers, body) before a request goes on
        self.failure = None
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.relay, args=(connection,), daemon=True).start()

    def relay(self, near):
        try:
            with near, near.makefile("rb") as asked, socket.create_connection(("127.0.0.1", self.port)) as far, \
                    far.makefile("rb") as answered:
                while request := read_message(asked):
                    if self.before:
                        self.before(*request[1:])
                    write_message(far, *request)
                    answer = read_message(answered)
                    self.exchanges.append((request[1], request[2], answer[2]))
                    write_message(near, *answer)
        except ConnectionError:
            pass
        except Exception as e:  # shown by the test, not lost with the thread
            self.failure = e

    def close(self):
        self.server.close()
        if self.failure:
            raise self.failure

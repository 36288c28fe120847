#!/usr/bin/python3
"""Real Python peers over HTTP, with the C pair and among themselves: what arrives, and what outspan sees of it."""
import os

import peers  # first: it shows where the others are
from peers import c_auth

import harness
from pubsub import Program, Recorder, attribute, check_link, events, identifier, start_broadcaster

peers.require()

MIB = 1 << 20
PUBLISHES = 3
EXACT_LINK = ("trace_context", "exact", "message_id")


# ---- both kinds of program, alike ----------------------------------------------------------------------


class CPublisher:
    """psp-notify, once per message: its file is recorded, for it does not live long."""

    def __init__(self, case, broadcaster, auth):
        self.case, self.options = case, ["--broadcaster", broadcaster.url, *c_auth(auth)]
        self.pids = []

    def publish(self, topic, size, wanted):
        path = self.case.path("message")
        with open(path, "wb") as f:
            f.write(bytes(size))
        p = self.case.run("psp-notify", *self.options, "--file", path, topic)
        self.pids.append(p.pid)
        assert f" subscribers={wanted} outcome=ok" in p.text(), p.text()


class CSubscriber(Program):
    def __init__(self, case, broadcaster, kind, pattern, auth):
        super().__init__(case, "psp-subscriber", "--broadcaster", broadcaster.url, "--quiet", *c_auth(auth), "--" + kind, pattern)
        self.ready()

    def check_received(self, topic, size, count):
        received = self.wait_log("receive", count, topic=topic, status="200")
        assert [r["bytes"] for r in received] == [str(size)] * count


def start(kind, case, *args, auth):
    return peers.start_broadcaster(case, *args, auth=auth) if kind == "python" else start_broadcaster(case, *args, auth=c_auth(auth))


def subscribe(kind, case, broadcaster, pattern_kind, pattern, auth):
    if kind == "python":
        return peers.start_client(case, broadcaster, "--" + pattern_kind, pattern, auth=auth)
    return CSubscriber(case, broadcaster, pattern_kind, pattern, auth)


def publisher_of(kind, case, broadcaster, auth):
    return peers.start_client(case, broadcaster, auth=auth) if kind == "python" else CPublisher(case, broadcaster, auth)


# ---- expectations --------------------------------------------------------------------------------------


DELIVERY = [(3, "deliver", "ok", None), (4, "receive", "ok", "200"), (5, "handler", "ok", None)]
PUBLISH = [(0, "notify", "ok", None), (1, "attempt", "ok", None), (2, "handle_notify", "ok", "200")]


def check_trace(trace, size, subscribers, pids, found):
    """One message's whole way: the tree, the evidence of each link, the sizes and identifiers, and no mark."""
    assert trace.table() == PUBLISH + DELIVERY * subscribers, trace
    root, attempt, handle = trace.only("publish "), trace.only("attempt "), trace.only("handle ")
    check_link(trace, attempt, handle, *EXACT_LINK)
    assert identifier(handle) == identifier(attempt) and root["process"]["pid"] in pids["publisher"]
    assert handle["process"]["pid"] == pids["broadcaster"]
    deliveries = trace.find("deliver ")
    assert {events(d)[0] for d in deliveries} == {found}
    for deliver in deliveries:
        receive, = trace.children(deliver)
        check_link(trace, deliver, receive, *EXACT_LINK)
        assert identifier(receive) == identifier(deliver)
        assert attribute(receive, "messaging.message.body.size") == size
        answer, = [e for e in receive["events"] if e["name"] == "sending_response"]
        # upstream has no room for a context in this answer: none is said to be sent
        assert ("lonelypsp.context" in answer["attributes"]) == (receive["process"]["comm"] != "python"), answer
    assert sorted(r["process"]["pid"] for r in trace.find("receive ")) == sorted(pids["subscribers"])
    assert attribute(root, "messaging.message.body.size") == attribute(handle, "messaging.message.body.size") == size
    assert trace.marks() == [] and trace.line["status"] == "ok", trace


def run(case, publisher, broadcaster, subscriber, auth, kind, count, size):
    """Messages from one program over another to several of a third kind; each is delivered to all, and is one trace."""
    pattern = {"exact": "a/b", "glob": "a/*"}[kind]
    b = start(broadcaster, case, auth=auth)
    subscribers = [subscribe(subscriber, case, b, kind, pattern, auth) for _ in range(count)]
    p = publisher_of(publisher, case, b, auth)
    programs = [b, *subscribers] + ([p] if publisher == "python" else [])
    recorder = Recorder(case, programs, *(["-e", os.path.join(harness.BUILD, "psp-notify")] if publisher == "c" else []))
    for _ in range(PUBLISHES):
        p.publish("a/b", size, count)
    for s in subscribers:
        s.check_received("a/b", size, PUBLISHES)
    session = recorder.stop()
    pids = {"broadcaster": b.pid, "subscribers": [s.pid for s in subscribers],
            "publisher": p.pids if publisher == "c" else [p.pid]}
    published = session.with_root("publish ")
    assert len(published) == PUBLISHES == len(session.traces), [t.line for t in session.traces]
    for trace in published:
        check_trace(trace, size, count, pids, kind + "_subscriber_found")
    session.check_no_loss()
    harness.check_accepts(session)


# Each pair of columns of interest occurs: kinds of program, authorization, pattern, subscribers, size.
CASES = [
    ("c", "python", "c", "none", "exact", 5, 0),
    ("python", "c", "python", "token", "glob", 1, 1024),
    ("python", "python", "python", "hmac", "exact", 5, 1024),
    ("c", "python", "python", "hmac", "glob", 1, 24 * MIB),
    ("python", "c", "c", "none", "glob", 5, 24 * MIB),
    ("python", "python", "c", "token", "exact", 1, 0),
    ("c", "c", "python", "hmac", "exact", 5, 0),
    ("c", "python", "c", "hmac", "glob", 1, 1024),
    ("python", "python", "python", "none", "exact", 1, 24 * MIB),
    ("python", "c", "python", "hmac", "exact", 1, 1024),
    ("c", "python", "python", "token", "glob", 5, 0),
    ("c", "c", "python", "none", "glob", 1, 1024),
]


def size_name(size):
    return f"{size // MIB} MiB" if size >= MIB else f"{size} B"


def add_cases(names):
    for publisher, broadcaster, subscriber, auth, kind, count, size in CASES:
        def test(case, row=(publisher, broadcaster, subscriber, auth, kind, count, size)):
            run(case, *row)
        names[f"test_{publisher}_over_{broadcaster}_to_{count}_{subscriber}_by_{kind}_with_{auth}_{size_name(size)}"] = test


print(f"# {len(CASES)} of {2 * 2 * 2 * 3 * 2 * 2 * 3} combinations")
add_cases(globals())
harness.main(globals())

#!/usr/bin/python3
"""What links rest on: contexts on the wire, identifiers, and what must join nothing."""
import harness
from pubsub import (EXACT, OTHER_SECRET, STRONG, Bytes, Pair, Recorder, Wire, attribute, check_publish, check_tables,
                    check_untraced, context_of, identifier, make_context, post, post_change, post_notify, post_receive, publish,
                    start_broadcaster, start_publisher, start_subscriber, tracing_of)

SENT = [(0, "notify", "ok", None), (1, "attempt", "ok", None)]
HANDLED = [("handle_notify", "ok", "200"), ("deliver", "ok", None), ("receive", "ok", "200"), ("handler", "ok", None)]


def rows(first, below):
    """A table's rows, each below the one before, from depth `first` on."""
    return [(first + i, *row) for i, row in enumerate(below)]


WHOLE = SENT + rows(2, HANDLED)


class Watched:
    """A broadcaster, a publisher and one subscriber that talk over wires which keep what is said."""

    def __init__(self, case, topic="t"):
        self.to_subscriber = Wire()
        self.broadcaster = start_broadcaster(case)
        self.to_broadcaster = Wire(self.broadcaster.port)
        self.subscriber = start_subscriber(case, self.broadcaster, "--url", self.to_subscriber.url, "--exact", topic)
        self.to_subscriber.port = self.subscriber.port
        self.publisher = start_publisher(case, self.to_broadcaster.url, topic)
        self.programs = [self.broadcaster, self.subscriber, self.publisher]
        check_untraced(case, *self.programs)

    def pair(self):
        return Pair.of(self.broadcaster, [self.subscriber], self.publisher)

    def contexts(self):
        """Per message: the context of NOTIFY, of its answer, of RECEIVE, of its answer."""
        return [tuple(context_of(t) for t in (tracing_of("notify", n[1]), tracing_of("answer", n[2]),
                                              tracing_of("receive", r[1]), tracing_of("answer", r[2])))
                for n, r in zip(self.to_broadcaster.exchanges, self.to_subscriber.exchanges)]

    def close(self):
        self.to_broadcaster.close()
        self.to_subscriber.close()


def test_the_context_on_the_wire_names_the_spans_of_the_session(case):
    watched = Watched(case)
    recorder = Recorder(case, watched.programs)
    entries = [publish(watched.publisher, f"message {i}") for i in range(5)]
    session = recorder.stop()
    watched.close()
    found = watched.contexts()
    assert len(found) == 5 and len({notify[0] for notify, *_ in found}) == 5, "a trace id per message"
    for entry, (notify, notified, receive, received) in zip(entries, found):
        trace = check_publish(session, watched.pair(), entry, EXACT)
        assert {c[0] for c in (notify, notified, receive, received)} == {notify[0]}
        assert [c[1] for c in (notify, notified, receive, received)] == [
            trace.only(name)["span_id"] for name in ("attempt ", "handle ", "deliver ", "receive ")]
        assert trace.only("attempt ")["span_id"] in [l["span_id"] for l in trace.only("handle ")["links"]]


def test_without_context_the_same_23_traces_rest_on_message_ids(case):
    watched = Watched(case)
    pair = watched.pair()
    pair.subscribers += [start_subscriber(case, watched.broadcaster, "--exact", "t") for _ in range(2)]
    recorder = Recorder(case, watched.programs + pair.subscribers[1:], "--no-context")
    entries = pair.publish(23)
    session = recorder.stop()
    watched.close()
    assert watched.contexts() == [(None,) * 4] * 23, "bytes on the wire"
    assert len(session.traces) == 23 and {e["subscribers"] for e in entries} == {"3"}
    for entry in entries:
        trace = check_publish(session, pair, entry, STRONG)
        assert trace.line["processes"] == 5 and len(trace.spans) == 12 and trace.line["links"] == 4
        assert trace.line["status"] == "ok" and trace.marks() == []
    session.check_no_loss()
    harness.check_accepts(session)


def test_untraced_programs_put_nothing_on_the_wire(case):
    watched = Watched(case)
    recorder = Recorder(case, watched.programs)
    publish(watched.publisher, "traced")
    recorder.stop()
    publish(watched.publisher, "untraced")
    watched.close()
    traced, untraced = watched.contexts()
    assert None not in traced and untraced == (None,) * 4


def test_forged_deliveries_join_nothing(case):
    watched = Watched(case)
    subscriber, answers = watched.subscriber, []

    def forge(headers, body):
        """Before the real request goes on, and with all that it holds but the secret."""
        b = Bytes(body)
        tracing, topic, name, message = b.string(2), b.string(2), b.string(1), b.string(8)
        for key, text in ((OTHER_SECRET, message), (None, message), (OTHER_SECRET, b"other")):
            answers.append(post_receive(subscriber.url + "/v1/receive", topic, text, name, tracing, key=key,
                                        known_as=watched.to_subscriber.url + "/v1/receive"))

    watched.to_subscriber.before = forge
    recorder = Recorder(case, watched.programs)
    entry = publish(watched.publisher, "real")
    # ... and the real request once more, word for word
    headers, body, _ = watched.to_subscriber.exchanges[0]
    answers.append(post(subscriber.url + "/v1/receive", body, headers["Authorization"], Repr_Digest=headers["Repr-Digest"]))
    session = recorder.stop()
    watched.close()
    assert answers == [(403, b"\0\x0a")] * 4
    assert entry["subscribers"] == "1"
    name = watched.broadcaster.log("deliver")[0]["identifier"]
    logged = subscriber.log("receive", identifier=name)
    assert sorted(r["status"] for r in logged) == ["200", "403", "403", "403", "403"]
    check_tables(session, WHOLE, *[[(0, "receive", "error", "403")]] * 4)
    trace = check_publish(session, watched.pair(), entry, EXACT)
    assert trace.marks() == [] and not trace.line["may_be_cut"]
    context = attribute(trace.only("deliver "), "lonelypsp.context")
    forged = [s for t in session.traces for s in t.spans if s["status"] == "error"]
    for span in forged:
        # it did carry what the real one carries
        assert identifier(span) == name and span["links"] == span["linked_by"] == [], span
        assert attribute(span, "messaging.destination.name") == "t"
        assert attribute(span, "lonelypsp.context")[:32] == context[:32]
    session.check_no_loss()
    harness.check_accepts(session)


def test_forged_publishes_and_changes_join_nothing(case):
    watched = Watched(case)
    answers = []

    def forge(headers, body):
        b = Bytes(body)
        topic, _, tracing, name, message = b.string(2), b.take(64), b.string(2), b.string(1), b.string(8)
        answers.append(post_notify(watched.broadcaster, topic, message, name, tracing, key=OTHER_SECRET)[0])
        answers.append(post_change(watched.broadcaster, "subscribe/exact", b"http://127.0.0.1:9/", topic, tracing,
                                   secret=OTHER_SECRET)[0])

    watched.to_broadcaster.before = forge
    recorder = Recorder(case, watched.programs)
    entry = publish(watched.publisher, "real")
    session = recorder.stop()
    watched.close()
    assert answers == [403, 403]
    check_tables(session, WHOLE, [(0, "handle_notify", "error", "403")], [(0, "handle_subscribe_exact", "error", "403")])
    assert check_publish(session, watched.pair(), entry, EXACT).marks() == []
    session.check_no_loss()
    harness.check_accepts(session)


def links(trace):
    return [(s["name"].split(" ")[0], l["span_id"], l["evidence"], l["grade"], l["also"]) for s in trace.spans for l in s["links"]]


def test_a_claim_that_its_identifier_contradicts_is_ambiguous_and_harms_nobody(case):
    watched = Watched(case)
    recorder = Recorder(case, watched.programs)
    entry = publish(watched.publisher, "real")
    claimed = tracing_of("notify", watched.to_broadcaster.exchanges[0][1])
    # by a peer that has the secret, but not the message
    assert post_notify(watched.broadcaster, b"t", b"other", b"another", claimed)[0] == 200
    session = recorder.stop()
    watched.close()
    real = check_publish(session, watched.pair(), entry, EXACT)
    assert real.marks() == []
    check_tables(session, WHOLE, rows(0, HANDLED))
    claim, = session.with_root("handle ")
    assert claim.marks() == ["ambiguous"]
    assert links(claim)[0] == ("handle", real.only("attempt ")["span_id"], "trace_context", "ambiguous", "!message_id")
    assert claim.only("deliver ")["linked_by"][0]["grade"] == "exact"  # what follows from it is another matter
    session.check_no_loss()
    harness.check_accepts(session)


def test_one_identifier_used_twice_is_ambiguous_and_merged_with_nothing(case):
    pair = Pair(case, [["--exact", "a/b"]], publisher=["--identifier", "deadbeef"])
    other = start_publisher(case, pair.broadcaster, "a/b")
    check_untraced(case, *pair.programs)
    recorder = Recorder(case, [*pair.programs, other], "--no-context")
    twins = pair.publish(2)
    entry = publish(other, "alone")
    session = recorder.stop()
    assert [e["identifier"] for e in twins] == ["deadbeef"] * 2 and entry["identifier"] != "deadbeef"
    check_tables(session, SENT, SENT, rows(0, HANDLED), rows(0, HANDLED), WHOLE)
    candidates = {s["span_id"] for t in session.traces for s in t.find("attempt ") if identifier(s) == "deadbeef"}
    assert len(candidates) == 2
    for trace in session.with_root("handle "):
        assert trace.marks() == ["ambiguous"] and trace.roots()[0]["marks"] == ["ambiguous"]
        found = [l for l in links(trace) if l[0] == "handle"]
        assert {l[1] for l in found} == candidates and {l[2:] for l in found} == {("message_id", "ambiguous", None)}
        assert [l[2:] for l in links(trace) if l[0] == "receive"] == [STRONG], "deliveries have identifiers of their own"
    pair.publisher = other
    assert check_publish(session, pair, entry, STRONG).marks() == []
    session.check_no_loss()
    harness.check_accepts(session)


def test_one_identifier_used_twice_is_told_apart_by_contexts(case):
    pair = Pair(case, [["--exact", "a/b"]], publisher=["--identifier", "deadbeef"])
    recorder = Recorder(case, pair.programs)
    twins = pair.publish(2)
    session = recorder.stop()
    check_tables(session, WHOLE, WHOLE)
    for trace, entry in zip(session.traces, twins):
        assert attribute(trace.roots()[0], "messaging.message.body.size") == int(entry["bytes"])
        assert [l[2:] for l in links(trace)] == [EXACT] * 2 and trace.marks() == []
    session.check_no_loss()
    harness.check_accepts(session)


def exchange_by_hand(watched, tracing):
    """The contexts of what traced or untraced programs say when a request brings these tracing bytes."""
    del watched.to_subscriber.exchanges[:]
    name = b"id-" + tracing[:8] + bytes([len(tracing)])
    status, notified = post_notify(watched.broadcaster, b"t", b"by hand", name, tracing)
    assert status == 200
    (_, receive, received), = watched.to_subscriber.exchanges
    known_as = watched.to_subscriber.url + "/v1/receive"
    status, direct = post_receive(watched.subscriber.url + "/v1/receive", b"t", b"by hand", name, tracing, known_as=known_as)
    assert status == 200
    url = b"http://127.0.0.1:9/" + name.hex().encode()
    status, changed = post_change(watched.broadcaster, "subscribe/exact", url, b"nobody", tracing)
    assert status == 200
    assert post_change(watched.broadcaster, "unsubscribe/exact", url, b"nobody", subscribe=False)[0] == 200
    return [context_of(tracing_of(kind, body)) for kind, body in (
        ("answer", notified), ("receive", receive), ("answer", received), ("answer", direct), ("answer", changed))]


FOREIGN = [b"", b"opaque", b"osp\x02" + make_context()[4:], make_context()[:-1], make_context() + b"\0",
           make_context(trace_id=bytes(16)), make_context(span_id=bytes(8))]


def test_an_answer_carries_a_context_only_if_the_request_did(case):
    watched = Watched(case)
    own, span = context_of(make_context())
    untraced = [exchange_by_hand(watched, tracing) for tracing in FOREIGN]
    # who is not traced says nothing of itself, but passes on and answers with what it was given
    assert untraced == [[None] * 5] * len(FOREIGN)
    assert exchange_by_hand(watched, make_context()) == [(own, span)] * 5
    recorder = Recorder(case, watched.programs)
    for tracing in FOREIGN:
        notified, receive, received, direct, changed = exchange_by_hand(watched, tracing)
        assert notified is None and direct is None and changed is None, tracing
        assert received[0] == receive[0] and received[1] != receive[1]
    notified, receive, received, direct, changed = exchange_by_hand(watched, make_context(trace_id=b"traced, by hand!"))
    session = recorder.stop()
    watched.close()
    said = [notified, receive, received, direct, changed]
    assert {c[0] for c in said} == {b"traced, by hand!".hex()} and len({c[1] for c in said}) == 5 and span not in [c[1] for c in said]
    spans = {s["span_id"]: s["name"].split(" ")[0] for t in session.traces for s in t.spans}
    assert [spans[c[1]] for c in said] == ["handle", "deliver", "receive", "receive", "handle"]
    # a request whose sender is not traced is where its trace begins
    check_tables(session, *[table for _ in range(len(FOREIGN) + 1) for table in (
        rows(0, HANDLED), rows(0, HANDLED[2:]), [(0, "handle_subscribe_exact", "ok", "200")],
        [(0, "handle_unsubscribe_exact", "ok", "200")])])
    session.check_no_loss()
    harness.check_accepts(session)


harness.main(globals())

#!/usr/bin/python3
"""Web sockets between the C pair and the real Python one: what arrives, and what outspan sees of it."""
import peers  # first: it shows where the others are
from peers import c_auth
from peers_stateful import MIB, PART, CPublisher, CSubscriber, PythonPublisher, PythonSubscriber, brief, everybody, text

import harness
from pubsub import Recorder, attribute, check_link, events, identifier, start_broadcaster

peers.require()

CONTEXT = ("trace_context", "exact")
# How the other side of a message is found: C sends a context with it, Python does not. What agrees with it stands last.
EVIDENCE = {"c": (*CONTEXT, "connection_message"), "python": ("connection_message", "strong", None)}
DICTIONARY, PRESET = bytes(range(97, 123)) * 64, 2  # as the Python programs have them
# After the one in parts comes a small one: its counter shows whether both sides count alike.
MESSAGES = [b"", DICTIONARY[:1024], text(8 * MIB, 2), DICTIONARY[3:1027]]
PARTS = [1, 1, 3, 1]
# Which of them are packed for sure: the dictionary may come behind the second one.
PACKED = {"plain": {0: False, 1: False, 2: False, 3: False}, "zstd": {0: False, 1: False, 2: True, 3: False},
          "preset": {0: False, 2: True, 3: True}}


# ---- programs of either kind ---------------------------------------------------------------------------


PUBLISHER = {"c": CPublisher, "python": PythonPublisher}
SUBSCRIBER = {"c": CSubscriber, "python": PythonSubscriber}


def preset(case, level=""):
    with open(case.path("dictionary"), "wb") as f:
        f.write(DICTIONARY)
    return ["--zstd-preset", f"{PRESET}{level}={f.name}"]


def start_either(kind, case, auth, how, options):
    if kind == "python":
        return peers.start_broadcaster(case, *(["--compression"] if how != "plain" else []), *options, auth=auth)
    presets = preset(case, ":5") if how == "preset" else []
    return start_broadcaster(case, "--max-ws-message", PART, *presets, *options, auth=c_auth(auth))


def client_options(kind, case, how):
    """For compression; Python asks for the preset, too, and goes without if it is not there."""
    if how == "plain":
        return []
    if kind == "python":
        return ["--compression"]
    return ["--zstd"] if how == "zstd" else [*preset(case), "--zstd-initial", str(PRESET)]


# ---- what outspan sees ---------------------------------------------------------------------------------


def is_c(span):
    """The Python side is seen as far as its adapter reaches: other tests say how far."""
    return span["process"]["comm"] != "python"


def spans_of(session, operation, pid=None):
    """(trace, top span of an exchange) in their order"""
    found = [(t, s) for t in session.traces for s in t.spans if s["operation"] == operation and pid in (None, s["process"]["pid"])
             and (s["parent_id"] not in t.by_id or t.by_id[s["parent_id"]]["operation"] != operation)]
    return sorted(found, key=lambda pair: pair[1]["start_ns"])


def only(found):
    assert len(found) == 1, found
    return found[0]


RECEIVED = [(0, "stateful_receive", "ok", None), (1, "handler", "ok", None)]


def handled(count, subscriber):
    """What the broadcaster does with a message, and C subscribers below it."""
    taken = [(depth + 5, *rest) for depth, *rest in RECEIVED] if subscriber == "c" else []
    queue = [(3, "queue", "ok", None), (4, "stateful_deliver", "ok", None)] + taken
    return [(0, "handle_stateful_notify", "ok", None), (1, "deliver", "ok", None), (2, "receive_for_websockets", "ok", "200")] + \
        queue * count


def check_published(session, publisher, how):
    """By a C publisher: a message is sent once, whole or in parts that the broadcaster asks for one by one."""
    sent = spans_of(session, "stateful_notify", publisher.pid)
    assert len(sent) == len(MESSAGES)
    for number, (trace, span) in enumerate(sent):
        assert trace.table(span, is_c)[:2] == [(0, "stateful_notify", "ok", None), (1, "attempt", "ok", None)], trace
        assert attribute(span, "messaging.message.body.size") == len(MESSAGES[number])
        packed = PACKED[how].get(number, "compressed" in events(span))
        assert events(span) == ["start_without_hash", "hashed", "queued", "compressed" if packed else "compressor_skipped"]
        attempt = only([s for s in trace.children(span) if is_c(s)])
        steps = [e for e in events(attempt) if e != "part_sent"]
        if PARTS[number] == 1:
            assert steps == ["sending_notify", "confirm_notify"]
        else:
            assert (steps[0], steps[-1]) == ("sending_first_part", "confirm_notify")
            assert sorted(steps[1:-1]) == ["continue_notify"] * 2 + ["sending_part"] * 2, steps


def check_joined(session, sender, sent, taken):
    """Both sides of a message are one trace, where both are seen."""
    if not spans_of(session, sent):
        return
    for trace, span in spans_of(session, taken):
        parent = trace.by_id[span["parent_id"]]
        assert parent["operation"] == sent and identifier(span) == identifier(parent), trace
        check_link(trace, parent, span, *EVIDENCE[sender])


def check_handled(session, count, subscriber):
    """By a C broadcaster, and by C subscribers below it."""
    taken = spans_of(session, "handle_stateful_notify")
    assert len(taken) == len(MESSAGES)
    for number, (trace, span) in enumerate(taken):
        assert trace.table(span, is_c) == handled(count, subscriber), trace
        assert attribute(span, "messaging.message.body.size") == len(MESSAGES[number])
        assert trace.marks() == [], trace


def check_relayed(session, count):
    """By any broadcaster: it posts each message to itself, for all of its web sockets."""
    taken = spans_of(session, "receive_for_websockets")
    assert len(taken) == len(MESSAGES)
    for (trace, span), message in zip(taken, MESSAGES):
        assert (span["status"], span["code"]) == ("ok", "200")
        assert attribute(span, "messaging.message.body.size") == len(message)
        queues = trace.children(span)
        assert [(q["name"].split(" ")[0], q["status"]) for q in queues] == [("queue", "ok")] * count, trace


def check_log(broadcaster, how):
    """What a C broadcaster says of it: how many parts came and went, and what was packed."""
    for what, size in ("stateful_notify", "received"), ("stateful_deliver", "sent"):
        said = broadcaster.log(what)
        for number, message in enumerate(MESSAGES):
            lines = [e for e in said if (int(e["bytes"]), e["sha512"]) == brief(message)]
            assert lines and {(e["parts"], e["outcome"]) for e in lines} == {(str(PARTS[number]), "ok")}, lines
            packed = PACKED[how].get(number)
            if packed is not None:
                assert {e["compressor"] != "0" for e in lines} == {int(e[size]) < len(message) for e in lines} == {packed}, lines


def check_received(session, subscriber, how):
    """By a C subscriber: each part is answered, and each message goes through its handler."""
    taken = spans_of(session, "stateful_receive", subscriber.pid)
    assert len(taken) == len(MESSAGES)
    for number, (trace, span) in enumerate(taken):
        assert trace.table(span, is_c) == RECEIVED, trace
        assert attribute(span, "messaging.message.body.size") == len(MESSAGES[number])
        packed = PACKED[how].get(number, "decompressed" in events(span))
        assert events(span) == ["received"] + ["sending_continue_receive", "received_part"] * (PARTS[number] - 1) + [
            "body_complete", "sending_confirm_receive", "auth_accepted", "decompressed" if packed else "compressor_skipped",
            "no_more_handlers"]


def check_connection(session, client):
    """Of a C program: one, whose other end is in the same trace by the context that it sent."""
    trace = only([t for t, s in spans_of(session, "stateful_session", client.pid)])
    assert trace.table(wanted=is_c)[:2] == [(0, "stateful_session", "ok", "cancelled"), (1, "connection", "ok", None)], trace
    theirs = only([s for s in trace.spans if s["operation"] == "handle_stateful_session"])
    assert (theirs["status"], theirs["code"]) == ("ok", None)
    check_link(trace, trace.only("connection to "), theirs, *CONTEXT, "subscriber_nonce,connection_nonce")


def check_subscribed(session, client, kind):
    """By a C subscriber, at any broadcaster."""
    for verb in "subscribe", "unsubscribe":
        trace, asked = only(spans_of(session, f"stateful_{verb}_{kind}", client.pid))
        done = only(trace.children(asked))
        assert (done["operation"], done["status"]) == (f"handle_stateful_{verb}_{kind}", "ok")
        check_link(trace, asked, done, *CONTEXT, "connection_counter")
        assert [e for e in events(asked) if e != "sent"] == ["queued", "sending", "confirmed"]


# ---- the matrix ----------------------------------------------------------------------------------------


def run(case, publisher, broadcaster, subscriber, auth, kind, count, how, form):
    """Messages of all sizes from one program over another to several of a third kind, all of it over web sockets."""
    options = ["--expanded-headers"] if form == "expanded" else []
    recorder = Recorder(case, [], "--level", "debug", *everybody())
    b = start_either(broadcaster, case, auth, how, options)
    subscribers = [SUBSCRIBER[subscriber](case, b, kind, {"exact": "a/b", "glob": "a/*"}[kind], auth,
                                          [*client_options(subscriber, case, how), *options]) for _ in range(count)]
    recorder.read_until(f"SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'registered') = {count}")
    p = PUBLISHER[publisher](case, b, "a/b", auth, [*client_options(publisher, case, how), *options])
    for message in MESSAGES:
        p.publish(message, count)
    for s in subscribers:
        assert s.received(len(MESSAGES)) == [brief(m) for m in MESSAGES]
    for program in [p, *subscribers]:
        program.quit()
    recorder.read_until(f"SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'receiver_unregistered') = {count + 1}")
    session = recorder.stop()
    if publisher == "c":
        check_published(session, p, how)
        check_connection(session, p)
    if broadcaster == "c":
        check_handled(session, count, subscriber)
        check_log(b, how)
    check_relayed(session, count)
    check_joined(session, publisher, "stateful_notify", "handle_stateful_notify")
    check_joined(session, broadcaster, "stateful_deliver", "stateful_receive")
    if subscriber == "c":
        for s in subscribers:
            check_received(session, s, how)
            check_connection(session, s)
            check_subscribed(session, s, kind)
    session.check_no_loss()
    assert harness.check(case, session.path)["genuine"] == 0


# Each kinds of programs with each authorization, and each pair of the other columns: pattern, subscribers, compression, form
# of headers. What is of one language throughout is tested elsewhere; with hmac, lonelypss and lonelypsc lose a message
# (stateful_lost.py).
CASES = [
    ("c", "python", "c", "none", "exact", 5, "preset", "minimal"),
    ("c", "python", "c", "token", "glob", 1, "plain", "expanded"),
    ("c", "python", "c", "hmac", "exact", 5, "zstd", "minimal"),
    ("python", "python", "c", "none", "exact", 1, "zstd", "expanded"),
    ("python", "python", "c", "token", "glob", 5, "plain", "minimal"),
    ("python", "python", "c", "hmac", "glob", 5, "preset", "expanded"),
    ("c", "python", "python", "none", "exact", 1, "preset", "minimal"),
    ("c", "python", "python", "token", "exact", 1, "plain", "expanded"),
    ("c", "c", "python", "none", "glob", 1, "zstd", "expanded"),
    ("c", "c", "python", "token", "exact", 1, "preset", "minimal"),
    ("c", "c", "python", "hmac", "glob", 5, "plain", "expanded"),
    ("python", "c", "c", "none", "glob", 5, "plain", "minimal"),
    ("python", "c", "c", "token", "glob", 1, "preset", "expanded"),
    ("python", "c", "c", "hmac", "exact", 5, "zstd", "expanded"),
    ("python", "c", "python", "none", "glob", 1, "plain", "minimal"),
    ("python", "c", "python", "token", "exact", 5, "zstd", "minimal"),
    ("python", "c", "python", "hmac", "exact", 1, "preset", "expanded"),
]


def add_cases(names):
    for row in CASES:
        publisher, broadcaster, subscriber, auth, kind, count, how, form = row

        def test(case, row=row):
            run(case, *row)
        names[f"test_{publisher}_over_{broadcaster}_to_{count}_{subscriber}_by_{kind}_with_{auth}_{how}_{form}"] = test


# ---- what is larger than a spool -----------------------------------------------------------------------


def run_huge(case, broadcaster, client):
    """It goes to several web sockets from where it is, in more parts than may wait for an answer; then comes a small one."""
    messages = [text(14 * MIB, 5), text(512, 6)]
    recorder = Recorder(case, [], "--level", "debug", *everybody())
    b = start_either(broadcaster, case, "hmac", "plain", ["--direct-timeout", "60s"] if broadcaster == "c" else [])
    subscribers = [SUBSCRIBER[client](case, b, "exact", "t", "hmac", []) for _ in range(2)]
    recorder.read_until("SELECT 1 WHERE (SELECT count(*) FROM event WHERE name = 'registered') = 2")
    publisher = PUBLISHER[client](case, b, "t", "hmac", [])
    for message in messages:
        publisher.publish(message, 2)
    for s in subscribers:
        assert s.received(2) == [brief(m) for m in messages]
    for program in [publisher, *subscribers]:
        program.quit()
    session = recorder.stop()
    found = [[events(q)[-1] for q in t.children(s)] for t, s in spans_of(session, "receive_for_websockets")]
    assert found == [["large_released"] * 2, ["queued_small"] * 2], found
    session.check_no_loss()
    assert harness.check(case, session.path)["genuine"] == 0
    return session, subscribers


def test_python_sends_c_what_is_larger_than_its_spool(case):
    session, subscribers = run_huge(case, "python", "c")
    for s in subscribers:
        huge, _ = [span for _, span in spans_of(session, "stateful_receive", s.pid)]
        assert events(huge).count("received_part") == events(huge).count("sending_continue_receive") == 4


def test_c_sends_python_what_is_larger_than_its_spool(case):
    session, _ = run_huge(case, "c", "python")
    huge = [span for _, span in spans_of(session, "stateful_deliver")][:2]
    assert [(events(s).count("continue_receive"), events(s).count("receive_confirmed")) for s in huge] == [(4, 1)] * 2


print(f"# {len(CASES)} of {(2 * 2 * 2 - 2) * 3 * 2 * 2 * 3 * 2} combinations")
add_cases(globals())
harness.main(globals())

#!/usr/bin/python3
"""What the real lonelypsc shows of itself over HTTP when it subscribes: at the real lonelypss, at the C broadcaster, and
at a broadcaster that fails."""
import socket
import struct

import peers  # first: it shows where the others are

import harness
from pubsub import Recorder, attribute, check_link, check_tables, events, start_broadcaster

peers.require()

EXCHANGE = ["sending_request", "response_received", "response_generic_accepted"]


def start(kind, case, auth):
    return peers.start_broadcaster(case, auth=auth) if kind == "python" else start_broadcaster(case, auth=peers.c_auth(auth))


def made(operation, code=None, handled="200"):
    """A request that was answered; 409 means that everything was as asked."""
    return [(0, operation, "ok", code), (1, "attempt", "ok", code),
            (2, "handle_" + operation, "ok" if handled == "200" else "error", handled)]


def failed(operation, code, *attempts):
    """A request that came to nothing, at no broadcaster that is recorded."""
    return [(0, operation, "error", code)] + [(1, "attempt", "error", attempt) for attempt in attempts]


def check_clean(case, session):
    """Nothing was lost, nothing is marked, and nothing is amiss by the catalogue."""
    session.check_no_loss()
    assert not [t for t in session.traces if t.marks()], session.traces
    assert harness.check(case, session.path)["findings"] == []


def chain(trace):
    """The spans of one request: the client's, its attempt, the broadcaster's."""
    root, = trace.roots()
    attempt, = trace.children(root)
    handle, = trace.children(attempt)
    return root, attempt, handle


# ---- each request, and where it is joined --------------------------------------------------------------


def run_changes(case, kind):
    broadcaster = start(kind, case, "hmac")
    client = peers.start_client(case, broadcaster, auth="hmac")
    recorder = Recorder(case, [broadcaster, client])
    for text in ("subscribe_exact a/b", "subscribe_glob a/*", "unsubscribe_exact a/b", "unsubscribe_glob a/*"):
        client.ask(text, "^done$")
    client.ask("set 3", r"^set \w+$")
    etag = client.ask("check", r"^etag (\w+)$").group(1).decode()
    session = recorder.stop()
    check_tables(session, made("subscribe_exact"), made("subscribe_glob"), made("unsubscribe_exact"), made("unsubscribe_glob"),
                 made("set_subscriptions"), made("check_subscriptions"))
    check_clean(case, session)
    check_change(session, broadcaster, f"http://127.0.0.1:{client.port}")
    check_set_and_check(session, etag)


def check_change(session, broadcaster, host):
    subscribe, = session.with_root("subscribe a/b")
    root, attempt, handle = chain(subscribe)
    assert events(root) == ["start", "use_direct", "lock_acquired"] and events(attempt) == EXCHANGE
    sent = attempt["events"][0]["attributes"]
    assert (sent["server.address"], sent["url.full"], sent["lonelypsp.recovery"]) == \
        (broadcaster.url, host + "/v1/receive", host + "/v1/recover")
    check_link(subscribe, attempt, handle, "hmac", "strong", "url_topic")
    unsubscribe, = session.with_root("unsubscribe a/*")
    _, attempt, handle = chain(unsubscribe)
    assert attempt["events"][0]["attributes"]["lonelypsp.recovery"] == ""
    check_link(unsubscribe, attempt, handle, "hmac", "strong", "url_glob")


def check_set_and_check(session, etag):
    replaced, = session.with_root("set ")
    root, attempt, handle = chain(replaced)
    assert root["name"] == "set 3 topics and 0 globs"
    assert events(root) == ["start", "etag_computed"]
    assert attribute(root, "lonelypsp.etag") == attempt["events"][0]["attributes"]["lonelypsp.etag"] == etag
    check_link(replaced, attempt, handle, "url_etag", "strong")
    asked, = session.with_root("check ")
    root, attempt, handle = chain(asked)
    assert attempt["events"][-1]["name"] == "response_check_accepted"
    assert attempt["events"][-1]["attributes"]["lonelypsp.etag"] == etag
    check_link(asked, attempt, handle, "url_etag", "strong", "url")


def test_each_request_is_one_trace_with_the_python_broadcaster(case):
    run_changes(case, "python")


def test_each_request_is_one_trace_with_the_c_broadcaster(case):
    run_changes(case, "c")


def test_what_is_subscribed_already_is_no_failure(case):
    """Requests that are alike are told apart by their signatures; without any, one at a time."""
    for kind, auth in (("c", "hmac"), ("python", "hmac"), ("c", "token")):
        broadcaster = start(kind, case, auth)
        client = peers.start_client(case, broadcaster, auth=auth)
        recorder = Recorder(case, [broadcaster, client], name=f"{kind}-{auth}.db")
        client.ask("subscribe_exact a/b", "^done$")
        if auth == "hmac":
            client.ask("subscribe_exact a/b", "^done$")
        session = recorder.stop()
        check_tables(session, made("subscribe_exact"), *[made("subscribe_exact", "409", "409")] * (auth == "hmac"))
        check_clean(case, session)
        evidence = ("hmac", "strong", "url_topic") if auth == "hmac" else ("url_topic", "weak")
        for trace in session.traces:
            _, attempt, handle = chain(trace)
            check_link(trace, attempt, handle, *evidence)
            assert attribute(attempt, "lonelypsp.signature") == attribute(handle, "lonelypsp.signature")
            assert bool(attribute(handle, "lonelypsp.signature")) == (auth == "hmac")


# ---- what the application asks for, and how the client does it -------------------------------------------


def test_a_subscription_sends_the_whole_set_and_its_second_user_sends_nothing(case):
    broadcaster = start("python", case, "token")
    client = peers.start_client(case, broadcaster, auth="token")
    recorder = Recorder(case, [broadcaster, client])
    for text in ("hold a/b", "hold a/b", "release a/b", "release a/b"):
        client.ask(text, "^done$")
    session = recorder.stop()
    by_set = made("set_subscriptions")
    check_tables(session, *([(0, operation, "ok", "bulk")] + [(depth + 1, *rest) for depth, *rest in by_set]
                            for operation in ("subscribe_exact", "unsubscribe_exact")),
                 *([(0, operation, "ok", "refcount_only")] for operation in ("subscribe_exact", "unsubscribe_exact")))
    check_clean(case, session)
    first, second = sorted(session.with_root("subscribe a/b"), key=lambda t: t.line["start_ns"])
    assert events(first.spans[0]) == ["start", "use_bulk", "lock_acquired", "bulk_accepted"]
    assert (attribute(first.spans[0], "lonelypsp.num_exact"), attribute(first.spans[0], "lonelypsp.num_globs")) == (1, 0)
    assert second.spans[0]["events"][1]["attributes"] == {"lonelypsp.new_count": 2}


def test_a_refused_subscription(case):
    broadcaster = start("python", case, "token")
    client = peers.start_client(case, broadcaster, auth="none")
    recorder = Recorder(case, [broadcaster, client])
    client.ask("hold a/b", "^failed PubSubRequestRefusedError$")
    client.ask("subscribe_exact a/b", "^failed PubSubRequestRefusedError$")
    client.ask("check", "^failed PubSubRequestRefusedError$")
    session = recorder.stop()
    by_set = [(depth + 1, *rest) for depth, *rest in failed("set_subscriptions", "refused", "refused")]
    # what was never authorized is not joined to anything
    check_tables(session, [(0, "subscribe_exact", "error", "bulk_failed")] + by_set, failed("subscribe_exact", "refused", "refused"),
                 failed("check_subscriptions", "refused", "refused"), *[[(0, operation, "error", "401")] for operation in
                 ("handle_set_subscriptions", "handle_subscribe_exact", "handle_check_subscriptions")])
    check_clean(case, session)


# ---- broadcasters that fail ------------------------------------------------------------------------------


class Failing:
    """A broadcaster that answers as it is told, a request after the other."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(harness.PATIENCE)
        self.url = "http://127.0.0.1:%d" % self.listening.getsockname()[1]

    def answer(self, status, body=b"", length=None):
        """The next request, answered and hung up on; status 0: without a word."""
        connection, _ = self.listening.accept()
        with connection:
            connection.recv(65536)
            if status:
                connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" %
                                   (status, len(body) if length is None else length, body))


def run_failing(case, text, answers, *args):
    """One request of a client to a broadcaster that answers so; its trace."""
    broadcaster = Failing()
    client = peers.start_client(case, broadcaster, *args)
    recorder = Recorder(case, [client])
    said = len(client.process.out)
    client.process.line(text)
    for answer in answers:
        broadcaster.answer(*answer)
    client.process.wait_for(r"^(done|set|etag|failed) ?.*$", "out", after=said)
    session = recorder.stop()
    check_clean(case, session)
    trace, = session.traces
    return trace


def test_a_broadcaster_that_hangs_up_in_the_middle(case):
    trace = run_failing(case, "subscribe_exact a/b", [(0,)])
    assert trace.table() == failed("subscribe_exact", "retry_prevented", "network_error")


def test_an_answer_that_breaks_off(case):
    trace = run_failing(case, "subscribe_glob a/*", [(200, b"\0\3", 6)])
    assert trace.table() == failed("subscribe_glob", "retry_prevented", "bad_response")


def test_an_answer_of_another_kind_to_a_check(case):
    trace = run_failing(case, "check", [(200, struct.pack(">HHH", 3, 0, 0))])
    assert trace.table() == failed("check_subscriptions", "bad_response", "bad_response")


def test_a_broadcaster_that_is_busy_is_asked_again(case):
    trace = run_failing(case, "subscribe_exact a/b", [(503,), (409,)], "--passes", "2")
    assert trace.table() == [(0, "subscribe_exact", "ok", "409"), (1, "attempt", "error", "retryable_status"), (1, "attempt", "ok", "409")]
    first, second = trace.find("attempt ")
    assert events(trace.spans[0])[3:] == ["waiting_to_retry", "retrying"]
    assert second["start_ns"] - first["end_ns"] >= 1_000_000_000  # it pauses a second and a bit


def test_a_broadcaster_that_stays_busy_is_given_up(case):
    trace = run_failing(case, "set 2", [(502,), (504,)], "--passes", "2")
    assert trace.table() == failed("set_subscriptions", "retries_exhausted", "retryable_status", "retryable_status")


harness.main(globals())

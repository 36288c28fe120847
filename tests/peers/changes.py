#!/usr/bin/python3
"""Real Python clients change their subscriptions over HTTP, at the real lonelypss and at the C broadcaster."""
import peers  # first: it shows where the others are

import harness
from pubsub import Recorder, attribute, events, start_broadcaster

peers.require()

CHANGES = [("subscribe_exact a/b", "200"), ("subscribe_exact a/b", "409"), ("subscribe_glob a/*", "200"),
           ("unsubscribe_exact a/b", "200"), ("unsubscribe_glob a/*", "200"), ("unsubscribe_exact a/b", "409")]


def record(case, broadcaster, auth):
    """Every change of CHANGES, asked for by lonelypsc and recorded at the broadcaster; the spans in their order."""
    client = peers.start_client(case, broadcaster, auth=auth)
    recorder = Recorder(case, [broadcaster])
    for text, _ in CHANGES:
        client.ask(text, "^done$")  # upstream takes 409 for a success
    client.quit()
    session = recorder.stop()
    harness.check_accepts(session)
    peers.check_whole(session)
    return [t.spans[0] for t in sorted(session.traces, key=lambda t: t.line["start_ns"])]


def check(spans):
    assert [(s["operation"], s["code"], s["status"]) for s in spans] == \
        [("handle_" + text.split()[0], code, "ok" if code == "200" else "error") for text, code in CHANGES]
    assert events(spans[0]) == ["received", "auth_accepted", "stored", "sending_response"]
    assert events(spans[1]) == ["received", "auth_accepted", "already_subscribed"]
    assert events(spans[5]) == ["received", "auth_accepted", "not_subscribed"]
    assert attribute(spans[2], "messaging.destination.template") == "a/*"
    assert attribute(spans[0], "url.full").endswith("/v1/receive")


def test_the_python_broadcaster_shows_each_change_and_conflict(case):
    check(record(case, peers.start_broadcaster(case, auth="hmac"), "hmac"))


def test_the_c_broadcaster_shows_the_same_of_the_same_client(case):
    check(record(case, start_broadcaster(case, auth=peers.c_auth("hmac")), "hmac"))


def test_a_wrong_token_is_shown_as_refused(case):
    broadcaster = peers.start_broadcaster(case, auth="token")
    client = peers.start_client(case, broadcaster, auth="none")
    recorder = Recorder(case, [broadcaster, client])
    client.ask("subscribe_exact a/b", "^failed PubSubRequestRefusedError$")
    client.ask("publish a/b 5", "^failed PubSubRequestRefusedError$")
    session = recorder.stop()
    assert sorted(str(t.table()) for t in session.traces) == sorted(map(str, [
        [(0, "subscribe_exact", "error", "refused"), (1, "attempt", "error", "refused")],
        [(0, "handle_subscribe_exact", "error", "401")],
        [(0, "notify", "error", "retries_exhausted"), (1, "attempt", "error", "bad_response")],
        [(0, "handle_notify", "error", "401")]])), session.traces
    session.check_no_loss()
    harness.check_accepts(session)


harness.main(globals())

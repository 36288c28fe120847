#!/usr/bin/python3
"""What broadcasters send each other for web sockets, at one that has none: who is refused, and how."""
import base64
import hashlib
import struct

import harness
from pubsub import (OTHER_SECRET, SECRET, Bytes, Recorder, check_tables, events, post, post_change, post_missed, post_notify,
                    sign, start_broadcaster, v16, v8)

UNSUBSCRIBE = b"\0\x0a"
IDENTIFIER = b"12345678"


def receive(url, topic=b"t", message=b"hello", said=None, digest=None, key=SECRET, signed_url=None):
    """said: the message that is sent instead; digest: the header instead"""
    hashed = hashlib.sha512(message).digest()
    body = v16(b"") + v16(topic) + v8(IDENTIFIER) + struct.pack(">Q", len(message)) + (message if said is None else said)
    signed = v16((signed_url or url).encode()) + v16(topic) + v8(IDENTIFIER) + hashed
    headers = {"Repr_Digest": "sha-512=" + base64.b64encode(hashed).decode() if digest is None else digest}
    return post(url, body, key and sign(10, signed, b"", key), **{k: v for k, v in headers.items() if v})


def test_a_message_for_web_sockets_is_refused_where_there_are_none(case):
    broadcaster = start_broadcaster(case)
    url = broadcaster.url + "/v1/receive_for_websockets"
    local = url.replace("127.0.0.1", "localhost")
    recorder = Recorder(case, [broadcaster])
    cases = [
        (receive(url), 400, UNSUBSCRIBE, "topic_irrelevant"),
        (receive(url, said=b"hello, but that is not looked at any more"), 400, UNSUBSCRIBE, "topic_irrelevant"),
        (receive(url, digest=""), 400, UNSUBSCRIBE, "bad_digest_header"),
        (receive(url, digest="sha-512=AAAA"), 400, UNSUBSCRIBE, "bad_digest_header"),
        (receive(local), 400, UNSUBSCRIBE, "wrong_url"),
        (receive(url, key=None), 401, UNSUBSCRIBE, "bad_auth_result"),
        (receive(url, key=OTHER_SECRET), 403, UNSUBSCRIBE, "bad_auth_result"),
        (receive(url, signed_url=broadcaster.url + "/v1/receive"), 403, UNSUBSCRIBE, "bad_auth_result"),
        (post(url, b"\0\0\0", Repr_Digest="sha-512=" + base64.b64encode(bytes(64)).decode()), 400, b"", "bad_request"),
    ]
    assert [got for got, *_ in cases] == [(status, body) for _, status, body, _ in cases]
    session = recorder.stop()
    assert [(e["status"], e["subscribers"]) for e in broadcaster.log("receive_for_websockets")] == [(str(c[1]), "0") for c in cases]
    check_tables(session, *[[(0, "receive_for_websockets", "error", str(status))] for _, status, *_ in cases])
    assert sorted(events(s)[-1] for t in session.traces for s in t.spans) == sorted(c[3] for c in cases)
    assert not [s for t in session.traces for s in t.spans if s["links"]]
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_notice_for_web_sockets_is_confirmed_even_where_there_are_none(case):
    broadcaster = start_broadcaster(case)
    url = broadcaster.url + "/v1/missed_for_websockets"
    local = url.replace("127.0.0.1", "localhost")
    recorder = Recorder(case, [broadcaster])
    assert post_missed(url, b"t", key=None) == (401, b"")
    assert post_missed(url, b"t", key=OTHER_SECRET) == (403, b"")
    assert post_missed(local, b"t") == (400, b"")
    assert post(url, b"\0\0\0", sign(11, v16(url.encode()) + v16(b""))) == (400, b"")
    status, answer = post_missed(url, b"t")
    b = Bytes(answer)
    assert (status, b.number(2), b.string(2)[:7], b.string(2), b.data) == (200, 9, b"X-HMAC ", b"", b"")
    session = recorder.stop()
    codes = ["401", "403", "400", "400", "200"]
    assert [e["status"] for e in broadcaster.log("missed_for_websockets")] == codes
    check_tables(session, *[[(0, "missed_for_websockets", "ok" if c == "200" else "error", c)] for c in codes])
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_broadcaster_without_web_sockets_loses_the_subscription_that_says_it_has_some(case):
    broadcaster = start_broadcaster(case)
    url = broadcaster.url.encode() + b"/v1/receive_for_websockets"
    assert post_change(broadcaster, "subscribe/exact", url, b"t")[0] == 200
    recorder = Recorder(case, [broadcaster])
    status, _ = post_notify(broadcaster, b"t", b"hello", IDENTIFIER)
    session = recorder.stop()
    assert status == 200
    delivered, = broadcaster.log("deliver")
    assert (delivered["outcome"], delivered["status"]) == ("unsubscribed", "400")
    taken, = broadcaster.log("receive_for_websockets")
    assert (taken["outcome"], taken["identifier"]) == ("topic_irrelevant", delivered["identifier"])
    check_tables(session, [(0, "handle_notify", "ok", "200"), (1, "deliver", "unset", "unsubscribed")],
                 [(0, "receive_for_websockets", "error", "400")])
    assert post_change(broadcaster, "unsubscribe/exact", url, b"t", subscribe=False)[0] == 409, "it is gone"
    session.check_no_loss()
    harness.check_accepts(session)


def test_another_url_may_be_the_known_one(case):
    broadcaster = start_broadcaster(case, "--fanout-url", "http://known.example:1/here", "--prefix", "/here")
    url = broadcaster.url + "/here/v1/missed_for_websockets"
    assert post_missed(url, b"t") == (400, b"")
    known = "http://known.example:1/here/v1/missed_for_websockets"
    body = v16(b"") + v16(b"t")
    assert post(url, body, sign(11, v16(known.encode()) + v16(b"t")), Host="known.example:1")[0] == 200
    assert post(url, body, sign(11, v16(url.encode()) + v16(b"t")), Host="known.example:1") == (403, b"")


harness.main(globals())

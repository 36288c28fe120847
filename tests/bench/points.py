"""What points cost a Python program that nobody traces: ns per call, least of several loops. Run by the peers' Python."""
import timeit
from types import SimpleNamespace

from lonelypsc.ws.state import OpenRetryInformationType, StateOpen
from lonelypsp.auth.config import AuthResult
from lonelypsp.stateful.constants import SubscriberToBroadcasterStatefulMessageType as Sent

from outspan_lonelypsp import points, session, subscriber_http, subscriber_session
from outspan_lonelypsp.notify import HandleNotify, Notify

CALLS, LOOPS = 200_000, 7
handle, tracer, op = HandleNotify(), Notify(), points.handle_notify()
connection = session.Session({})
connection.first = False
frame = b"\0\1" + int(Sent.NOTIFY).to_bytes(2, "big") + bytes(60)


def take_message():
    connection.received(frame)
    connection.notify_received(b"topic", b"1234", b"")
    connection.notify_checked(AuthResult.OK)


def quiet_client():
    """A session whose connection is open and has nothing to do, as it is after most steps; and that state."""
    state = StateOpen.__new__(StateOpen)
    state.receiving = state.sending = None
    state.expected_acks = SimpleNamespace(length=0)
    state.retry = SimpleNamespace(type=OpenRetryInformationType.STABLE)
    client = subscriber_session.Session(SimpleNamespace())
    client.state, client.stable = state, True
    return client, state


client, state = quiet_client()
request = subscriber_http.Request(points.subscribe_exact(), b"topic", SimpleNamespace(
    broadcasters=[{}], outgoing_retries_per_broadcaster=2, outgoing_retry_ambiguous=True))

ROWS = [  # what, the call, how many callbacks it makes
    ("an empty function, for comparison", lambda: None, 1),
    ("an operation is begun and dropped", points.handle_notify, 1),
    ("a point without arguments", lambda: op.received(), 1),
    ("a point with four arguments", lambda: op.auth_accepted(b"topic", 5, b"identifier", b""), 1),
    ("upstream's callback on_response_received", lambda: tracer.on_response_received(status_code=200), 1),
    ("upstream's callback on_sending_receive", lambda: handle.on_sending_receive(identifier=b"12345678"), 1),
    ("an attempt of a change over HTTP", lambda: request.sending("http://127.0.0.1:3003"), 1),
    ("a step of a client's web socket", lambda: client.stepped(state, 1, 1), 1),
    ("a message at lonelypss, each of 3 callbacks", take_message, 3),
]

print("Detached points in Python, ns per call (target <= 1000):")
for title, call, callbacks in ROWS:
    print(f"  {title:44}{min(timeit.repeat(call, number=CALLS, repeat=LOOPS)) / CALLS / callbacks * 1e9:8.0f}")

"""What points cost a Python program that nobody traces: ns per call, least of several loops. Run by the peers' Python."""
import timeit

from outspan_lonelypsp import points
from outspan_lonelypsp.notify import HandleNotify, Notify

CALLS, LOOPS = 200_000, 7
handle, tracer, op = HandleNotify(), Notify(), points.handle_notify()
ROWS = [
    ("an empty function, for comparison", lambda: None),
    ("an operation is begun and dropped", points.handle_notify),
    ("a point without arguments", lambda: op.received()),
    ("a point with four arguments", lambda: op.auth_accepted(b"topic", 5, b"identifier", b"")),
    ("upstream's callback on_response_received", lambda: tracer.on_response_received(status_code=200)),
    ("upstream's callback on_sending_receive", lambda: handle.on_sending_receive(identifier=b"12345678")),
]

print("Detached points in Python, ns per call (target <= 1000):")
for title, call in ROWS:
    print(f"  {title:42}{min(timeit.repeat(call, number=CALLS, repeat=LOOPS)) / CALLS * 1e9:8.0f}")

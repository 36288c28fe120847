"""NOTIFY over HTTP: upstream's own tracing protocols, both sides, over the points.

Upstream hands an object from callback to callback; here it is always the same one, for the order is
the catalogue's business. Callbacks return what goes into the tracing field: the operation's context
while a recorder asks for it, one that came in if there was one, else nothing.
"""
import struct
import time
from types import TracebackType
from typing import Optional, Type

from lonelypsp.auth.config import BadAuthResult
from lonelypsp.tracing.shared.handle_trusted_notify import HandledTrustedNotify, HandledTrustedNotifyReceivedResponse
from lonelypsp.tracing.shared.tracing_and_followup import TracingAndFollowup
from lonelypsp.tracing.stateless.notify import (
    StatelessTracingNotifyOnResponseReceived,
    StatelessTracingNotifyOnSendingResponse,
)

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import cause_of

CONTEXT_SIZE = 29  # of ours, in a tracing field
REPORT_TIMES = struct.Struct(">QQ")  # at the end of what a broadcaster with the `simple` tracer answers
Response = HandledTrustedNotifyReceivedResponse[HandledTrustedNotify[StatelessTracingNotifyOnSendingResponse]]


class Notify:
    """A message that this process publishes: StatelessTracingNotifyStart and all that follows it."""

    def __init__(self) -> None:
        self._op = points.notify()

    def __enter__(self) -> "Notify":
        return self

    def __exit__(self, exc_type: Optional[Type[BaseException]], exc_value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self._op.leave(cause_of(exc_value) if exc_value else 0)

    def on_start_without_hash(self, /, *, topic: bytes, length: int, filelike: bool) -> "Notify":
        self._op.start_without_hash(topic, length, filelike)
        return self

    def on_start_with_hash(self, /, *, topic: bytes, length: int, filelike: bool) -> "Notify":
        self._op.start_with_hash(topic, length, filelike)
        return self

    def on_hashed(self) -> "Notify":
        self._op.hashed()
        return self

    def on_sending_request(self, /, *, broadcaster: str, identifier: bytes) -> TracingAndFollowup[StatelessTracingNotifyOnResponseReceived]:
        return TracingAndFollowup(self._op.sending_request(broadcaster, identifier), self)

    def on_network_error(self) -> "Notify":
        self._op.network_error()
        return self

    def on_response_received(self, /, *, status_code: int) -> "Notify":
        self._op.response_received(status_code)
        return self

    def on_bad_response(self) -> "Notify":
        self._op.bad_response()
        return self

    def on_bad_auth_result(self, /, *, result: BadAuthResult) -> "Notify":
        self._op.bad_auth_result(result)
        return self

    def on_response_notify_accepted(self, /, *, tracing: bytes, num_subscribers: int) -> None:
        report = tracing[CONTEXT_SIZE:] if tracing.startswith(b"osp") else tracing
        if len(report) > REPORT_TIMES.size:
            self._op.report_received(report, *REPORT_TIMES.unpack(report[-REPORT_TIMES.size:]))
        self._op.response_notify_accepted(tracing, num_subscribers)

    def on_retry_prevented(self) -> None:
        self._op.retry_prevented()

    def on_retries_exhausted(self) -> None:
        self._op.retries_exhausted()

    def on_waiting_to_retry(self) -> "Notify":
        self._op.waiting_to_retry()
        return self

    def on_retrying(self) -> "Notify":
        self._op.retrying()
        return self


def simple_answer(received_ns: int, accepted_ns: int, sent_ns: int) -> bytes:
    """What a broadcaster with upstream's `simple` tracer answers, with one record.

    A subscriber with that tracer sends nothing, and raises into its application if it is answered with anything else
    (lonelypsp/tracing/impl/simple/stateless/notify.py): u8 truncated, u16 records, then of each v16 name, v16 JSON and f64
    seconds since 1970; u64 ns received, u64 ns sent.
    """
    return struct.pack(">BHH13sH2sdQQ", 0, 1, 13, b"auth_accepted", 2, b"{}", accepted_ns / 1e9, received_ns, sent_ns)


class HandleNotify:
    """A message that this broadcaster takes and delivers: StatelessTracingNotifyOnReceived and all that follows it."""

    def __init__(self) -> None:
        self._op = points.handle_notify()
        self._asked = False
        self._received_ns = self._accepted_ns = 0

    def __enter__(self) -> "HandleNotify":
        return self

    def __exit__(self, exc_type: Optional[Type[BaseException]], exc_value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self._op.leave(cause_of(exc_value) if exc_value else 0)

    def on_received(self) -> "HandleNotify":
        self._op.received()
        self._received_ns = time.time_ns()
        return self

    def on_bad_request(self) -> None:
        self._op.bad_request()

    def on_bad_auth_result(self, /, *, result: BadAuthResult) -> None:
        self._op.bad_auth_result(result)

    def on_auth_tentatively_accepted(self) -> "HandleNotify":
        self._op.auth_tentatively_accepted()
        return self

    def on_auth_mismatch(self) -> None:
        self._op.auth_mismatch()

    def on_auth_accepted(self, topic: bytes, length: int, identifier: bytes, tracing: bytes) -> "HandleNotify":
        self._op.auth_accepted(topic, length, identifier, tracing)
        self._asked = tracing != b""
        self._accepted_ns = time.time_ns()
        return self

    def on_unavailable(self) -> None:
        self._op.unavailable()

    def on_exact_subscriber_found(self, /, *, url: str) -> "HandleNotify":
        self._op.exact_subscriber_found(url)
        return self

    def on_glob_subscriber_found(self, /, *, glob: str, url: str) -> "HandleNotify":
        self._op.glob_subscriber_found(glob, url)
        return self

    def on_no_more_subscribers(self) -> "HandleNotify":
        self._op.no_more_subscribers()
        return self

    def on_sending_receive(self, /, *, identifier: bytes) -> TracingAndFollowup[Response]:
        return TracingAndFollowup(self._op.sending_receive(identifier), self)

    def on_network_error(self) -> "HandleNotify":
        self._op.network_error()
        return self

    def on_response_received(self, /, *, status_code: int) -> "HandleNotify":
        self._op.response_received(status_code)
        return self

    def on_bad_receive_response(self) -> "HandleNotify":
        self._op.bad_receive_response()
        return self

    def on_unsubscribe_immediate_requested(self) -> "HandleNotify":
        self._op.unsubscribe_immediate_requested()
        return self

    def on_bad_receive_auth_result(self, /, *, result: BadAuthResult) -> "HandleNotify":
        self._op.bad_receive_auth_result(result)
        return self

    def on_receive_confirmed(self, /, *, tracing: bytes, num_subscribers: int) -> "HandleNotify":
        self._op.receive_confirmed(tracing, num_subscribers)
        return self

    def on_unsubscribe_immediate_success(self) -> "HandleNotify":
        self._op.unsubscribe_immediate_success()
        return self

    def on_unsubscribe_immediate_not_found(self) -> "HandleNotify":
        self._op.unsubscribe_immediate_not_found()
        return self

    def on_unsubscribe_immediate_unavailable(self) -> None:
        self._op.unsubscribe_immediate_unavailable()

    def on_handle_missed_start(self) -> "HandleNotify":
        self._op.handle_missed_start()
        return self

    def on_handle_missed_skipped(self, /, *, recovery: Optional[str], next_retry_at: Optional[float]) -> "HandleNotify":
        self._op.handle_missed_skipped(recovery, next_retry_at)
        return self

    def on_handle_missed_success(self, recovery: str, next_retry_at: float) -> "HandleNotify":
        self._op.handle_missed_success(recovery, next_retry_at)
        return self

    def on_handle_missed_unavailable(self, recovery: str, next_retry_at: float) -> "HandleNotify":
        self._op.handle_missed_unavailable(recovery, next_retry_at)
        return self

    def on_sending_response(self) -> bytes:
        if self._asked:
            return self._op.sending_response()
        self._op.silence()
        self._op.sending_response()
        return simple_answer(self._received_ns, self._accepted_ns, time.time_ns())

"""One web socket at the broadcaster: its session, and what comes and goes over it.

Upstream processes the messages of a connection in the order in which they came, one at a time.
"""
import hashlib
import sys
from collections import deque
from contextvars import ContextVar
from typing import Any, Container, Deque, Dict, Mapping, Optional, Type, Union

from lonelypsp.auth.config import AuthResult
from lonelypsp.stateful.constants import BroadcasterToSubscriberStatefulMessageType as Told
from lonelypsp.stateful.constants import SubscriberToBroadcasterStatefulMessageType as Sent
from lonelypsp.util.bounded_deque import BoundedDequeFullError

from outspan_lonelypsp import broadcaster_notify, points
from outspan_lonelypsp.broadcaster_compressors import Compressors
from outspan_lonelypsp.broadcaster_deliveries import Deliveries
from outspan_lonelypsp.broadcaster_frames import UNREAD, Frame, kind_of
from outspan_lonelypsp.broadcaster_notify import StatefulNotify
from outspan_lonelypsp.exchange import observer

Subscribe = Union[points.handle_stateful_subscribe_exact, points.handle_stateful_subscribe_glob]
Unsubscribe = Union[points.handle_stateful_unsubscribe_exact, points.handle_stateful_unsubscribe_glob]
CHANGES: Dict[int, Type[Union[Subscribe, Unsubscribe]]] = {
    int(Sent.SUBSCRIBE_EXACT): points.handle_stateful_subscribe_exact,
    int(Sent.SUBSCRIBE_GLOB): points.handle_stateful_subscribe_glob,
    int(Sent.UNSUBSCRIBE_EXACT): points.handle_stateful_unsubscribe_exact,
    int(Sent.UNSUBSCRIBE_GLOB): points.handle_stateful_unsubscribe_glob,
}
# Plain numbers: an enumeration's members take their time to look up.
NOTIFY_STREAM = int(Sent.NOTIFY_STREAM)
NOTIFIES = (int(Sent.NOTIFY), NOTIFY_STREAM)
CONFIRMATIONS = (int(Sent.CONTINUE_RECEIVE), int(Sent.CONFIRM_RECEIVE))
RECEIVE_STREAM, MISSED = int(Told.RECEIVE_STREAM), int(Told.MISSED)
ARRIVED_MAX = 1024  # upstream ends a connection of which 255 messages wait, unless told otherwise
RESTART = 1012  # the close code with which uvicorn ends connections when it stops


def counter_of(url: str) -> int:
    """url: websocket:<nonce>:<counter in hexadecimal>"""
    return int(url.rsplit(":", 1)[1], 16)


class Session:
    """A connection: its handshake, its end, and what it does in between. scope: its ASGI scope."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope
        self.op = points.handle_stateful_session()
        self.op.silence()
        self.subscriber_nonce = b""
        self.connection = b""
        self.change: Union[Subscribe, Unsubscribe, None] = None
        self.message: Optional[StatefulNotify] = None  # that is handled, or was
        self.stream: Optional[StatefulNotify] = None  # of which parts have come
        self.deliveries = Deliveries()
        self.compressors = Compressors(self.op)
        self._arrived: Deque[Frame] = deque()  # and is not handled
        self._is_followed = True
        self._error: Optional[BaseException] = None
        self.is_unregistered = False
        self.first = True
        self.accepted = False
        self.reason = 0

    @observer
    def received(self, message: bytes) -> None:
        """A message of the web socket, as it comes."""
        if not self.first:
            self._wait(Frame(message))
            return
        self.first = False
        kind = kind_of(message)
        if kind != Sent.CONFIGURE:
            self._fail(points.CLOSE_REASON_UNEXPECTED_MESSAGE, kind)

    def _wait(self, frame: Frame) -> None:
        """Of a queue that is too long to be kept, no more is followed: what is handled could not be told apart."""
        if len(self._arrived) >= ARRIVED_MAX:
            self._is_followed = False
            self._arrived.clear()
        if self._is_followed:
            self._arrived.append(frame)

    def _take(self, kinds: Container[int]) -> Optional[Frame]:
        """The message that is handled now, which is one of these."""
        while self._arrived:
            frame = self._arrived.popleft()
            if frame.kind in kinds:
                return frame
        return None

    @observer
    def sending(self, message: Any) -> None:
        """A message of the web socket, about to go."""
        if kind_of(message) == RECEIVE_STREAM:
            self.deliveries.sending(Frame(message))

    @observer
    def sent(self, message: Any) -> None:
        if kind_of(message) in (RECEIVE_STREAM, MISSED):
            self.deliveries.sent()

    @observer
    def opened(self) -> None:
        self.accepted = True
        self.op.accepted()

    @observer
    def disconnected(self, code: int) -> None:
        """The other side is gone, or this process is being stopped."""
        if self.reason:
            return
        if code == RESTART and self.connection:
            self.reason = points.CLOSE_REASON_SHUTDOWN
            self.op.shutdown()
        else:
            self.reason = points.CLOSE_REASON_DISCONNECTED
            self.op.disconnected()

    @observer
    def configured(self, result: AuthResult, nonce: bytes, zstd: bool, training: bool, initial_dict: int,
                   tracing: bytes) -> None:
        if result == AuthResult.OK:
            self.subscriber_nonce = nonce
            self.compressors.configure(zstd, training, initial_dict)
            self.op.configure_accepted(nonce, zstd, training, initial_dict, tracing)
        else:
            self.reason = points.CLOSE_REASON_BAD_AUTH
            self.op.bad_auth_result(result)

    @observer
    def confirming(self, nonce: bytes) -> None:
        self.connection = hashlib.sha256(self.subscriber_nonce + nonce).digest()
        self.deliveries.connection = self.compressors.connection = self.connection
        self.op.sending_confirm_configure(nonce, self.connection)
        self.deliveries.unconfirmed_max = self._scope["lonelypss_config"].websocket_send_max_unacknowledged

    def _fail(self, reason: int, kind: int = 0) -> None:
        if self.reason:
            return
        self.reason = reason
        if reason == points.CLOSE_REASON_UNEXPECTED_MESSAGE:
            self.op.unexpected_message(kind)
        elif reason == points.CLOSE_REASON_BAD_REQUEST:
            self.op.bad_request()
        elif reason == points.CLOSE_REASON_PENDING_SENDS_FULL:
            self.op.pending_sends_full()
        elif reason == points.CLOSE_REASON_UNPROCESSED_FULL:
            self.op.unprocessed_full()
        else:
            self.op.protocol_error(kind)

    def _why(self) -> int:
        """Why upstream ends the open connection: it cleans up while it handles the exception."""
        if not isinstance(sys.exc_info()[1], BoundedDequeFullError):
            return points.CLOSE_REASON_PROTOCOL_ERROR
        most = self._scope["lonelypss_config"].websocket_max_unprocessed_receives
        if most is not None and len(self._arrived) > most:
            return points.CLOSE_REASON_UNPROCESSED_FULL
        return points.CLOSE_REASON_PENDING_SENDS_FULL

    @observer
    def unregistered(self, num_exact: int, num_globs: int) -> None:
        self.is_unregistered = True
        self.drop_change()
        if not self.reason:
            self._fail(self._why(), self._refused_kind())
        self.op.receiver_unregistered(num_exact, num_globs)

    @observer
    def failed(self, error: BaseException) -> None:
        """The endpoint raises this: why upstream ended the connection."""
        self._error = error

    @observer
    def ended(self) -> None:
        """The endpoint has returned."""
        self.drop_change()
        if not self.accepted:
            self.op.accept_timeout()
        if not self.reason:
            self._fail(points.CLOSE_REASON_PROTOCOL_ERROR if self.connection else points.CLOSE_REASON_BAD_REQUEST)
        self._drop_messages()
        self.deliveries.lost(self.reason == points.CLOSE_REASON_PROTOCOL_ERROR and self._refused_kind() in CONFIRMATIONS)
        self.compressors.lost()
        self.op.closed(self.reason)
        self._error = None  # its traceback leads here

    def _refused_kind(self) -> int:
        """Of the message that upstream did not accept as the next: it never came to its authorization."""
        return self._arrived[0].kind if self._arrived else 0

    # ---- messages that come ----

    @observer
    def notify_received(self, topic: bytes, identifier: bytes, tracing: bytes) -> None:
        """A message, or a part of one, is about to be checked."""
        self.message = None
        frame = self._take(NOTIFIES)
        if frame is None:
            return
        if frame.kind == NOTIFY_STREAM and self.stream is not None and not self.stream.op.ended:
            self.message = self.stream
            self.message.next_part(frame)
        else:
            self.message = self._begin_message(frame, topic, identifier, tracing)
        broadcaster_notify.current.set(self.message)

    def _begin_message(self, frame: Frame, topic: bytes, identifier: bytes, tracing: bytes) -> StatefulNotify:
        stream = frame.kind == NOTIFY_STREAM
        message = StatefulNotify(frame, stream, self.connection, self.compressors, topic, identifier, tracing)
        if stream:
            self.stream = message
        return message

    @observer
    def notify_checked(self, result: AuthResult) -> None:
        if self.message is not None:
            self.message.checked(result)

    @observer
    def continued(self, url: str, identifier: bytes, part_id: int, tracing: bytes, result: AuthResult) -> None:
        self._take(CONFIRMATIONS)
        self.deliveries.continued(counter_of(url), identifier, part_id, tracing, result)

    @observer
    def confirmed(self, url: str, identifier: bytes, num_subscribers: int, tracing: bytes, result: AuthResult) -> None:
        self._take(CONFIRMATIONS)
        self.deliveries.confirmed(counter_of(url), identifier, num_subscribers, tracing, result)

    def _drop_messages(self) -> None:
        """What of those that came is not done. A part that was not due is the first that was not handled."""
        if self._error is not None and self._refused_kind() == NOTIFY_STREAM:
            self._refuse_part(self._arrived[0])
        for message in (self.stream, self.message):
            if message is not None:
                message.lost(self._error)

    def _refuse_part(self, frame: Frame) -> None:
        head, stream = frame.read(stream=True), self.stream
        if head is UNREAD:
            return
        if stream is None or stream.op.ended:
            if head.part_id:
                self._begin_message(frame, b"", head.identifier, b"").op.bad_sequence()
        elif not stream.follows(head):
            stream.bad_sequence(frame)

    # ---- changes of subscriptions ----

    @observer
    def change_checked(self, url: str, key: Union[bytes, str], tracing: bytes, result: AuthResult) -> None:
        self.drop_change()
        frame = self._take(CHANGES)
        if frame is None:
            return
        op, counter = CHANGES[frame.kind](), counter_of(url)
        op.silence()
        op.received(self.connection, counter, key)
        if result == AuthResult.OK:
            op.auth_accepted(self.connection, counter, key, tracing)
            self.change = op
        else:
            op.bad_auth_result(result)

    @observer
    def confirming_change(self) -> None:
        """Subscribing confirms before it registers; unsubscribing makes its answer early and sends it late."""
        op = self.change
        if isinstance(op, (points.handle_stateful_subscribe_exact, points.handle_stateful_subscribe_glob)):
            op.sending_confirm()

    @observer
    def registered(self, first: bool, failed: bool) -> None:
        op, self.change = self.change, None
        if isinstance(op, (points.handle_stateful_subscribe_exact, points.handle_stateful_subscribe_glob)):
            op.unavailable() if failed else op.registered(first)

    @observer
    def deregistered(self, last: bool, failed: bool) -> None:
        op, self.change = self.change, None
        if isinstance(op, (points.handle_stateful_unsubscribe_exact, points.handle_stateful_unsubscribe_glob)):
            if failed:
                op.unavailable()
            else:
                op.deregistered(last)
                op.sending_confirm()

    def drop_change(self) -> None:
        """A change that upstream dropped behind its authorization: the connection is in that state already."""
        op, self.change = self.change, None
        if isinstance(op, (points.handle_stateful_subscribe_exact, points.handle_stateful_subscribe_glob)):
            op.already_subscribed()
        elif op is not None:
            op.not_subscribed()


current: "ContextVar[Optional[Session]]" = ContextVar("outspan_session", default=None)

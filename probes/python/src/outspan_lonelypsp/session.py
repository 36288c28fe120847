"""One web socket at the broadcaster: its session and the one change of a subscription that it handles at a time."""
import hashlib
from collections import deque
from contextvars import ContextVar
from typing import Deque, Dict, Optional, Type, Union

from lonelypsp.auth.config import AuthResult
from lonelypsp.stateful.constants import SubscriberToBroadcasterStatefulMessageType as Sent

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import observer

Subscribe = Union[points.handle_stateful_subscribe_exact, points.handle_stateful_subscribe_glob]
Unsubscribe = Union[points.handle_stateful_unsubscribe_exact, points.handle_stateful_unsubscribe_glob]
CHANGES: Dict[int, Type[Union[Subscribe, Unsubscribe]]] = {
    int(Sent.SUBSCRIBE_EXACT): points.handle_stateful_subscribe_exact,
    int(Sent.SUBSCRIBE_GLOB): points.handle_stateful_subscribe_glob,
    int(Sent.UNSUBSCRIBE_EXACT): points.handle_stateful_unsubscribe_exact,
    int(Sent.UNSUBSCRIBE_GLOB): points.handle_stateful_unsubscribe_glob,
}
RESTART = 1012  # the close code with which uvicorn ends connections when it stops


class Session:
    """A connection: its handshake, its end, and the changes in the order of their arrival."""

    def __init__(self) -> None:
        self.op = points.handle_stateful_session()
        self.op.silence()
        self.subscriber_nonce = b""
        self.connection = b""
        self.change: Union[Subscribe, Unsubscribe, None] = None
        self.arrived: Deque[int] = deque(maxlen=1024)  # types of changes that wait; upstream holds 255 at most
        self.first = True
        self.accepted = False
        self.reason = 0

    @observer
    def received(self, message: bytes) -> None:
        """A message of the web socket, as it comes."""
        kind = int.from_bytes(message[2:4], "big")
        if self.first:
            self.first = False
            if kind != Sent.CONFIGURE:
                self._fail(points.CLOSE_REASON_UNEXPECTED_MESSAGE, kind)
        elif kind in CHANGES:
            self.arrived.append(kind)

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
            self.op.configure_accepted(nonce, zstd, training, initial_dict, tracing)
        else:
            self.reason = points.CLOSE_REASON_BAD_AUTH
            self.op.bad_auth_result(result)

    @observer
    def confirming(self, nonce: bytes) -> None:
        self.connection = hashlib.sha256(self.subscriber_nonce + nonce).digest()
        self.op.sending_confirm_configure(nonce, self.connection)

    def _fail(self, reason: int, kind: int = 0) -> None:
        if self.reason:
            return
        self.reason = reason
        if reason == points.CLOSE_REASON_UNEXPECTED_MESSAGE:
            self.op.unexpected_message(kind)
        elif reason == points.CLOSE_REASON_BAD_REQUEST:
            self.op.bad_request()
        else:
            self.op.protocol_error(kind)

    @observer
    def unregistered(self, num_exact: int, num_globs: int) -> None:
        self.drop_change()
        if not self.reason:
            self._fail(points.CLOSE_REASON_PROTOCOL_ERROR)
        self.op.receiver_unregistered(num_exact, num_globs)

    @observer
    def ended(self) -> None:
        """The endpoint has returned."""
        self.drop_change()
        if not self.accepted:
            self.op.accept_timeout()
        if not self.reason:
            self._fail(points.CLOSE_REASON_PROTOCOL_ERROR if self.connection else points.CLOSE_REASON_BAD_REQUEST)
        self.op.closed(self.reason)

    # ---- changes of subscriptions: upstream processes one message at a time ----

    @observer
    def change_checked(self, url: str, key: Union[bytes, str], tracing: bytes, result: AuthResult) -> None:
        """url: websocket:<nonce>:<counter in hexadecimal>"""
        self.drop_change()
        kind = self.arrived.popleft()
        counter = int(url.rsplit(":", 1)[1], 16)
        op = CHANGES[kind]()
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

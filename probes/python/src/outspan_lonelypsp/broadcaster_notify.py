"""NOTIFY over a web socket at the broadcaster: its parts, and the deliveries that lonelypss makes of the whole.

lonelypss processes a connection's messages one after the other, each in a task of its own: a context variable
holds the message there. It has no hook for them; what is called on the way tells how far it is.
"""
import sys
from contextvars import ContextVar
from typing import AsyncIterable, AsyncIterator, Optional, Union

import aiohttp
from lonelypsp.auth.config import AuthResult
from lonelypss.config.config import SubscriberInfo, SubscriberInfoExact, SubscriberInfoGlob, SubscriberInfoType

from outspan_lonelypsp import points
from outspan_lonelypsp.broadcaster_compressors import Compressors
from outspan_lonelypsp.broadcaster_frames import UNREAD, Frame, Head
from outspan_lonelypsp.exchange import cause_of, observer


class StatefulNotify:
    """One message; stream: it comes in parts."""

    __slots__ = ("op", "_first_frame", "_stream", "_connection", "_compressors", "_topic", "_identifier", "_tracing", "_parts",
                 "_received", "_is_checking", "_is_whole", "_is_compressed", "_is_fanned_out", "_subscriber", "_is_judged", "_part")

    def __init__(self, frame: Frame, stream: bool, connection: bytes, compressors: Compressors, topic: bytes,
                 identifier: bytes, tracing: bytes) -> None:
        self.op = points.handle_stateful_notify()
        self.op.silence()  # upstream sends empty tracing fields
        self._first_frame = frame
        self._stream = stream
        self._connection = connection
        self._compressors = compressors
        self._topic, self._identifier, self._tracing = topic, identifier, tracing
        self._parts = 1
        self._received = 0  # bytes
        self._is_checking = True  # the part's authorization
        self._is_whole = False
        self._is_compressed = False
        self._is_fanned_out = False
        self._subscriber: Union[SubscriberInfoExact, SubscriberInfoGlob, None] = None  # that is served
        self._is_judged = False  # that it failed, and why
        self._part = self._read(frame)
        self.op.received(connection, identifier, self._part.compressor, self._part.payload)

    def _read(self, frame: Frame) -> Head:
        return frame.read(self._stream) if self.op.wanted else UNREAD

    # ---- parts ----

    def next_part(self, frame: Frame) -> None:
        self._is_checking = True
        self._parts += 1
        self._part = self._read(frame)
        self.op.received_part(self._part.part_id, self._part.payload)

    def checked(self, result: AuthResult) -> None:
        """What the authorization says of the part."""
        self._is_checking = False
        if result != AuthResult.OK:
            self.op.bad_auth_result(result)
            return
        self._received += self._part.payload
        if self._received > self._read(self._first_frame).sent_length:
            self.op.too_much_data()
            return
        self.op.part_accepted(self._part.part_id, self._received)
        if not self._stream:
            self._accept()  # its hash was checked when it was read

    @observer
    def continuing(self, part_id: int) -> None:
        self.op.sending_continue_notify(part_id)

    def _accept(self) -> None:
        """All of it is there and right."""
        self._is_whole = True
        first = self._read(self._first_frame)
        self.op.auth_accepted(self._topic, first.length, self._identifier, self._connection, self._tracing)
        self._is_compressed = first.compressor != 0
        if not self._is_compressed:
            self.op.compressor_skipped()
        elif self._compressors.is_unknown(first.compressor):
            self.op.unknown_compressor(first.compressor)
        elif first.compressor in self._compressors.preparing:
            self.op.waiting_compressor(first.compressor)

    def bad_sequence(self, frame: Frame) -> None:
        """Another part came than the one that was due."""
        self.next_part(frame)
        self.op.bad_sequence()

    def follows(self, head: Head) -> bool:
        """Whether this is the part that is due."""
        return head.identifier == self._identifier and head.part_id == self._parts

    def lost(self, error: Optional[BaseException]) -> None:
        """The connection is over; error: why upstream ended it."""
        if self.op.ended:
            return
        first = self._read(self._first_frame)
        if self._is_checking or self._is_fanned_out:
            self.op.leave(cause_of(error) if error else 0)
        elif self._is_compressed:
            self.op.bad_decompress()
        elif self._received < first.sent_length:
            self.op.connection_lost()
        elif not first.compressor or "integrity" in str(error):
            self.op.auth_mismatch()
        else:
            self._accept()
            if not self.op.ended:
                self.op.bad_decompress()

    # ---- the fan-out ----

    @observer
    def _fan_out(self) -> None:
        if not self._is_whole:
            self._accept()
        if self._is_compressed:
            self.op.decompressed(self._read(self._first_frame).length)
        self._is_fanned_out = True

    @observer
    def _found(self, subscriber: SubscriberInfo) -> None:
        self._close()
        if subscriber.type == SubscriberInfoType.UNAVAILABLE:
            self.op.unavailable()
            return
        self._subscriber = subscriber
        self._is_judged = False
        if subscriber.type == SubscriberInfoType.EXACT:
            self.op.exact_subscriber_found(subscriber.url)
        else:
            self.op.glob_subscriber_found(subscriber.glob, subscriber.url)

    @observer
    def _found_all(self) -> None:
        self._close()
        self.op.no_more_subscribers()

    async def serve(self, subscribers: AsyncIterable[SubscriberInfo]) -> AsyncIterator[SubscriberInfo]:
        """The subscribers; each is served before the next is asked for."""
        self._fan_out()
        async for subscriber in subscribers:
            self._found(subscriber)
            yield subscriber
        self._found_all()

    def _close(self) -> None:
        """The next is taken. Of a failed delivery that nobody wants to hear of, upstream says nothing."""
        if self._subscriber is not None and self._subscriber.recovery is None:
            self._failed()
            self.op.handle_missed_start()
            self.op.handle_missed_skipped(None, 0.0)
        self._subscriber = None

    def _failed(self) -> None:
        """Whatever upstream handles at the moment is why."""
        if self._is_judged:
            return
        self._is_judged = True
        error = sys.exc_info()[1]
        if error is None or isinstance(error, aiohttp.ClientError):
            self.op.network_error()
        else:
            self.op.bad_receive_response()

    @observer
    def sending_receive(self, identifier: bytes) -> None:
        self.op.sending_receive(identifier)

    @observer
    def receive_checked(self, result: AuthResult, tracing: bytes, num_subscribers: int) -> None:
        if result == AuthResult.OK:
            self.op.receive_confirmed(tracing, num_subscribers)
            self._subscriber = None
        else:
            self._is_judged = True
            self.op.bad_receive_auth_result(result)

    @observer
    def delay_known(self, delay: Optional[float]) -> None:
        """When a delivery failed, lonelypss asks for the time that it notes as that of the next try."""
        if self._subscriber is None:
            return
        self._failed()
        self.op.handle_missed_start()
        if delay is None:
            self.op.handle_missed_skipped(self._subscriber.recovery, 0.0)
            self._subscriber = None

    @observer
    def noted(self, result: str, next_retry_at: float) -> None:
        if self._subscriber is None:
            return
        if result == "success":
            self.op.handle_missed_success(self._subscriber.recovery, next_retry_at)
        else:
            self.op.handle_missed_unavailable(self._subscriber.recovery, next_retry_at)
        self._subscriber = None

    @observer
    def unsubscribing(self, url: str) -> None:
        """Within a fan-out, that is because the subscriber's answer asks for it."""
        if self._subscriber is not None and self._subscriber.url == url:
            self.op.unsubscribe_immediate_requested()

    @observer
    def unsubscribed(self, url: str, result: str) -> None:
        if self._subscriber is None or self._subscriber.url != url:
            return
        self._subscriber = None
        if result == "success":
            self.op.unsubscribe_immediate_success()
        elif result == "not_found":
            self.op.unsubscribe_immediate_not_found()
        else:
            self.op.unsubscribe_immediate_unavailable()

    @observer
    def confirming(self, num_subscribers: int) -> None:
        self.op.sending_confirm_notify(num_subscribers)


current: "ContextVar[Optional[StatefulNotify]]" = ContextVar("outspan_stateful_notify", default=None)


def find() -> Optional[StatefulNotify]:
    """The message whose task this is, if it is not over."""
    message = current.get()
    return message if message is not None and not message.op.ended else None

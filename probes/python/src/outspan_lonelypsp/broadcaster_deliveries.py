"""What lonelypss sends over one web socket by itself: messages, in parts that are confirmed, and news of missed ones.

They wait in the order in which they came, and one at a time is sent. Upstream takes a message from the queue, signs each
part's head, waits until few enough parts are unconfirmed, and sends the part.
"""
from collections import deque
from typing import Deque, Dict, Optional, Type, TypeVar, Union

from lonelypsp.auth.config import AuthResult

from outspan_lonelypsp import points
from outspan_lonelypsp.broadcaster_frames import UNREAD, Frame
from outspan_lonelypsp.exchange import cause_of, observer

WAITING_MAX = 1024  # upstream ends a connection for which 255 wait, unless told otherwise


class Delivery:
    """One message on its way over a connection."""

    def __init__(self, connection: bytes, topic: bytes, length: int, sha512: bytes, source: bytes, tracing: bytes) -> None:
        self.op = points.stateful_deliver()
        self.op.silence()  # upstream sends empty tracing fields
        self.op.queued(connection, topic, length, sha512, source, tracing)
        self.connection = connection
        self.topic = topic
        self.sha512 = sha512
        self.identifier = b""
        self.counter = 0
        self.is_compressed = False
        self.parts = 0  # that were sent
        self.left: Optional[int] = None  # bytes that were not

    def begin(self, identifier: bytes, sha512: bytes) -> None:
        """Its turn has come. What is signed is the hash of what is sent."""
        self.identifier = identifier
        self.is_compressed = sha512 != self.sha512
        if not self.is_compressed:
            self.op.compressor_skipped()

    def sending(self, frame: Frame) -> None:
        head = frame.read(stream=True) if self.op.wanted else UNREAD
        if self.parts:
            self.op.sending_part(self.parts, self.counter, head.payload)
        else:
            if self.is_compressed:
                self.op.compressed(head.compressor, head.sent_length)
            self.op.sending_first_part(self.connection, self.identifier, self.counter, head.payload)
            self.left = head.sent_length if head is not UNREAD else None
        self.parts += 1
        if self.left is not None:
            self.left -= head.payload

    def sent(self) -> None:
        if not self.op.ended:  # the answer may be faster
            self.op.part_sent(self.parts - 1)

    @observer
    def released(self) -> None:
        """The request that brought it need not wait any more: all is sent, or copied."""
        if not self.op.ended and self.left != 0:
            self.op.spooled()

    @observer
    def withdraw(self, error: BaseException) -> None:
        """It could not be queued."""
        self.op.leave(cause_of(error))


class News:
    """One MISSED on its way over a connection."""

    def __init__(self, connection: bytes, topic: bytes, cause: Optional[points.Operation]) -> None:
        self.op = points.stateful_missed()
        self.op.silence()
        self.op.queued(cause, topic)
        self.connection = connection
        self.topic = topic

    def sent(self) -> None:
        self.op.sent()


I = TypeVar("I", Delivery, News)


class Deliveries:
    """All that waits, is sent, or is unconfirmed on one connection."""

    def __init__(self) -> None:
        self.connection = b""
        self.unconfirmed_max: Optional[int] = None  # parts
        self._unconfirmed = 0
        self._waiting: Deque[Union[Delivery, News]] = deque()
        self._sending: Union[Delivery, News, None] = None
        self._in_flight: Dict[bytes, Delivery] = {}  # by identifier, in the order of sending
        self._is_followed = True

    def _has_room(self) -> bool:
        """Of a queue that is too long to be kept, no more is followed: what is sent could not be told apart."""
        if len(self._waiting) >= WAITING_MAX:
            self._is_followed = False
            self._waiting.clear()
        return self._is_followed

    @observer
    def queue(self, topic: bytes, length: int, sha512: bytes, source: bytes, tracing: bytes) -> Optional[Delivery]:
        """A message is about to be queued; source: the identifier of the request that brought it."""
        if not self._has_room():
            return None
        delivery = Delivery(self.connection, topic, length, sha512, source, tracing)
        self._waiting.append(delivery)
        return delivery

    @observer
    def queue_missed(self, topic: bytes, cause: Optional[points.Operation]) -> None:
        if self._has_room():
            self._waiting.append(News(self.connection, topic, cause))

    def _take(self, kind: Type[I], topic: bytes) -> Optional[I]:
        """The one whose turn it is."""
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, kind) and item.topic == topic and not item.op.ended:
                return item
        return None

    # ---- what goes ----

    @observer
    def signing(self, counter: int, topic: bytes, identifier: bytes, sha512: bytes) -> None:
        """The head of a message's next part."""
        delivery = self._sending
        if not isinstance(delivery, Delivery) or delivery.identifier != identifier:
            delivery = self._sending = self._take(Delivery, topic)
            if delivery is not None:
                delivery.begin(identifier, sha512)
        if delivery is not None:
            delivery.counter = counter

    @observer
    def signed(self) -> None:
        """Upstream waits now if too many parts are unconfirmed. What is compressed it has not told of yet."""
        delivery = self._sending
        if self.unconfirmed_max is None or self._unconfirmed < self.unconfirmed_max:
            return
        if isinstance(delivery, Delivery) and not delivery.op.ended and (delivery.parts or not delivery.is_compressed):
            delivery.op.ack_slot_waiting(self._unconfirmed)

    @observer
    def signing_missed(self, counter: int, topic: bytes) -> None:
        news = self._sending = self._take(News, topic)
        if news is not None:
            news.op.sending_missed(self.connection, counter)

    @observer
    def sending(self, frame: Frame) -> None:
        """A RECEIVE_STREAM message."""
        self._unconfirmed += 1
        delivery = self._sending
        if isinstance(delivery, Delivery) and not delivery.op.ended and len(self._in_flight) < WAITING_MAX:
            self._in_flight[delivery.identifier] = delivery
            delivery.sending(frame)

    @observer
    def sent(self) -> None:
        """What was about to be sent has left."""
        if self._sending is not None:
            self._sending.sent()

    # ---- what comes ----

    @observer
    def continued(self, counter: int, identifier: bytes, part_id: int, tracing: bytes, result: AuthResult) -> None:
        self._unconfirmed -= 1
        delivery = self._in_flight.get(identifier)
        if delivery is not None and result == AuthResult.OK:
            delivery.op.continue_receive(part_id, counter, tracing)
        elif delivery is not None:
            self._in_flight.pop(identifier).op.bad_auth_result(result)

    @observer
    def confirmed(self, counter: int, identifier: bytes, num_subscribers: int, tracing: bytes, result: AuthResult) -> None:
        self._unconfirmed -= 1
        delivery = self._in_flight.pop(identifier, None)
        if delivery is not None and result == AuthResult.OK:
            delivery.op.receive_confirmed(num_subscribers, counter, tracing)
        elif delivery is not None:
            delivery.op.bad_auth_result(result)

    @observer
    def lost(self, mismatch: bool) -> None:
        """The connection is over; mismatch: because another answer came than the one that was due."""
        first = next(iter(self._in_flight.values()), None)
        if mismatch and first is not None:
            first.op.ack_mismatch()
        left = [*self._in_flight.values(), *self._waiting] + ([self._sending] if self._sending is not None else [])
        self._in_flight.clear()
        self._waiting.clear()
        self._sending = None
        for item in left:
            if not item.op.ended:
                item.op.connection_lost()

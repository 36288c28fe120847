"""What lonelypsc sends over its connection: changes of subscriptions and messages, and the answers, in their order.

Fed by the session with the state machine's steps, and by the authorization with what is signed. lonelypsc counts on
the answers coming in the order of what it sent, and keeps those that are due in a queue; `due` mirrors it, so that
whatever leaves that queue tells whose answer has come.
"""
import asyncio
from collections import deque
from types import TracebackType
from typing import Deque, Dict, List, Optional, Protocol, Tuple, Type, Union

from lonelypsc.client import PubSubRequestAmbiguousError, PubSubRequestConnectionAbandonedError
from lonelypsc.config.ws_config import WebsocketPubSubConfig
from lonelypsc.ws.compressor import CompressorReady
from lonelypsc.ws.state import InternalMessage, InternalMessageType, ManagementTask, ManagementTaskType, Sending, SendingState, StateOpen

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import cause_of, observer

Key = Union[bytes, str]
Change = Union[points.stateful_subscribe_exact, points.stateful_subscribe_glob, points.stateful_unsubscribe_exact,
               points.stateful_unsubscribe_glob]
WAITING_MAX = 1024  # changes that are shown while they wait for a connection; those beyond show when they are sent

# The names of a NOTIFY_STREAM's headers in bytes: a part after the first has the first four.
HEADERS = [len(name) for name in ("authorization", "x-tracing", "x-identifier", "x-part-id", "x-topic", "x-compressor",
                                  "x-compressed-length", "x-decompressed-length", "x-compressed-sha512")]


def number_length(number: int) -> int:
    """Bytes of a header that holds a number."""
    return (number.bit_length() + 7) // 8


def head_length(values: List[int], minimal: bool) -> int:
    """Bytes of a part's head, whose headers have values of these lengths."""
    size = 4 + 2 * len(values) + sum(values)
    return size if minimal else size + 2 + 2 * len(values) + sum(HEADERS[:len(values)])


def completed(task: "asyncio.Task[None]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def kind_and_key(task: ManagementTask) -> Tuple[Type[Change], Key]:
    if task.type == ManagementTaskType.SUBSCRIBE_EXACT:
        return points.stateful_subscribe_exact, task.topic
    if task.type == ManagementTaskType.SUBSCRIBE_GLOB:
        return points.stateful_subscribe_glob, task.glob
    if task.type == ManagementTaskType.UNSUBSCRIBE_EXACT:
        return points.stateful_unsubscribe_exact, task.topic
    return points.stateful_unsubscribe_glob, task.glob


def queue_change(kind: Type[Change], key: Key) -> Change:
    op = kind()
    op.silence()
    op.queued(None, key)
    return op


class StatefulNotify:
    """A message that the application publishes: a PubSubClientTracingNotifyStart and what follows it, to its end."""

    def __init__(self) -> None:
        self.op = points.stateful_notify()
        self.op.silence()
        self.topic = b""
        self.sha512 = b""
        self.length = 0
        self.message: Optional[InternalMessage] = None  # once it is being sent
        self.parts = 0  # signed for this connection
        self.offset = self.left = 0  # bytes in them, and bytes to come
        self.confirmed = False
        self.queued = False

    def __enter__(self) -> "StatefulNotify":
        return self

    def __exit__(self, exc_type: Optional[Type[BaseException]], exc_value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.op.leave(cause_of(exc_value) if exc_value else 0)

    def on_start_without_hash(self, /, *, topic: bytes, length: int, filelike: bool) -> "StatefulNotify":
        self.op.start_without_hash(topic, length, filelike)
        return self

    def on_start_with_hash(self, /, *, topic: bytes, length: int, filelike: bool) -> "StatefulNotify":
        self.op.start_with_hash(topic, length, filelike)
        return self

    def on_hashed(self) -> "StatefulNotify":
        self.op.hashed()
        return self


class Due(Protocol):
    """What an answer is due for."""

    def acknowledged(self, state: StateOpen) -> None: ...


class DueChange:
    """The confirmation of a change."""

    def __init__(self, op: Change) -> None:
        self.op = op

    def acknowledged(self, state: StateOpen) -> None:
        self.op.confirmed()


class DuePart:
    """The answer to a part: go on, or (the message has left the queue of those sent) the confirmation of all."""

    def __init__(self, notify: StatefulNotify, part: int) -> None:
        self.notify = notify
        self.part = part

    def acknowledged(self, state: StateOpen) -> None:
        sent = state.sent_notifications
        if len(sent) and sent[0] is self.notify.message:
            self.notify.op.continue_notify(self.part)
        else:
            self.notify.confirmed = True


class Outgoing:
    """What one client sends."""

    def __init__(self, config: WebsocketPubSubConfig) -> None:
        self.config = config
        self.connection = b""
        self.waiting: Deque[Tuple[Type[Change], Key, Change]] = deque()
        self.queued: Deque[StatefulNotify] = deque()  # the application waits for each
        self.active: Dict[bytes, StatefulNotify] = {}  # by identifier, from the first sending on
        self.due: Deque[Due] = deque()
        self.state: Optional[StateOpen] = None
        self.sending: Optional[Sending] = None
        self.change: Optional[Change] = None
        self.notify: Optional[StatefulNotify] = None

    # ---- from the application ----

    @observer
    def queue_change(self, kind: Type[Change], key: Key) -> None:
        if len(self.waiting) < WAITING_MAX:
            self.waiting.append((kind, key, queue_change(kind, key)))

    @observer
    def change_failed(self, kind: Type[Change], key: Key, error: BaseException) -> None:
        """There is no connection to ask for it, nor will there be one."""
        queue_change(kind, key).leave(cause_of(error))

    @observer
    def queue_notify(self, notify: StatefulNotify, topic: bytes, sha512: bytes, length: int, full: bool) -> None:
        notify.topic, notify.sha512, notify.length = topic, sha512, length
        if not full:
            notify.queued = True
            notify.op.queued(None, self._is_whole(length))
            self.queued.append(notify)

    @observer
    def notified(self, notify: StatefulNotify, num_subscribers: int) -> None:
        self._forget(notify)
        notify.op.confirm_notify(num_subscribers)

    @observer
    def notify_failed(self, notify: StatefulNotify, error: BaseException) -> None:
        self._forget(notify)
        if isinstance(error, asyncio.QueueFull) and not notify.queued:
            notify.op.queue_full()
        elif isinstance(error, PubSubRequestAmbiguousError):
            notify.op.dropped_sent()
        elif isinstance(error, PubSubRequestConnectionAbandonedError):
            notify.op.dropped_unsent()
        notify.op.leave(cause_of(error))

    def _forget(self, notify: StatefulNotify) -> None:
        if notify in self.queued:
            self.queued.remove(notify)
        if notify.message is not None:
            self.active.pop(notify.message.identifier, None)

    def _is_whole(self, length: int) -> bool:
        """As lonelypsc decides, but for messages within some bytes of the largest, where the head counts."""
        most = self.config.max_websocket_message_size
        return most is None or length + 128 < most

    # ---- from the state machine ----

    def opened(self, connection: bytes) -> None:
        self.connection = connection

    def stepped(self, state: StateOpen) -> None:
        """The state machine has made a step on an open connection."""
        self.state = state
        if state.sending is not self.sending:
            self._sent()
            self.sending = state.sending
            self._next(state.sending)
        while len(self.due) > len(state.expected_acks):
            self.due.popleft().acknowledged(state)

    def _sent(self) -> None:
        sending = self.sending
        if sending is None or not completed(sending.task):
            return
        if self.change is not None and not self.change.ended:
            self.change.sent()
        elif self.notify is not None and self.notify.parts and not self.notify.op.ended:
            self.notify.op.part_sent(self.notify.parts - 1)

    def _next(self, sending: Optional[Sending]) -> None:
        self.change = self.notify = None
        if sending is None:
            return
        if sending.type == SendingState.MANAGEMENT_TASK:
            self.change = self._take_change(*kind_and_key(sending.management_task))
            self.due.append(DueChange(self.change))
        elif sending.type == SendingState.INTERNAL_MESSAGE:
            self.notify = self._take_notify(sending.internal_message)

    def _take_change(self, kind: Type[Change], key: Key) -> Change:
        for entry in self.waiting:
            if entry[0] is kind and entry[1] == key:
                self.waiting.remove(entry)
                return entry[2]
        return queue_change(kind, key)

    def _take_notify(self, message: InternalMessage) -> Optional[StatefulNotify]:
        found = self.active.get(message.identifier)
        if found is None:
            found = next((n for n in self.queued if n.topic == message.topic and n.sha512 == message.sha512), None)
            if found is None:
                return None
            self.queued.remove(found)
            self.active[message.identifier] = found
        found.message, found.parts, found.offset = message, 0, 0
        return found

    def lost(self, can_retry: bool) -> None:
        """The connection is given up; lonelypsc asks the next one for the subscriptions and sends messages again."""
        for due in self.due:
            if isinstance(due, DueChange):
                due.op.connection_lost(can_retry)
        for notify in self.active.values():
            if notify.parts and not notify.confirmed:
                notify.op.connection_lost()
                if can_retry:
                    notify.op.resending()
            notify.parts = 0
        self.due.clear()
        self.state = self.sending = self.change = self.notify = None

    def over(self) -> None:
        """There will be no connection any more."""
        for _, _, op in self.waiting:
            op.connection_lost(False)
        self.waiting.clear()

    # ---- from the authorization ----

    @observer
    def signing_change(self, url: str) -> None:
        """url: websocket:<nonce>:<counter in hexadecimal>"""
        if self.change is not None:
            self.change.sending(self.connection, int(url.rsplit(":", 1)[1], 16))

    @observer
    def signed_notify(self, sha512: bytes, authorization: Optional[str]) -> None:
        """A message or a part of one is about to be sent, and its answer to become due."""
        notify, head = self.notify, len(authorization or "")
        if notify is None or notify.message is None:
            return
        part = notify.parts
        notify.parts += 1
        self.due.append(DuePart(notify, part))
        if part == 0:
            self._first(notify, notify.message, sha512, head)
            return
        notify.op.part_sent(part - 1)
        offset, size = notify.offset, self._part(notify, [head, 0, len(notify.message.identifier), number_length(part)])
        notify.op.sending_part(part, offset, size)

    def _first(self, notify: StatefulNotify, message: InternalMessage, sha512: bytes, authorization: int) -> None:
        """A message that is sent, or its first part. To what a compressed one has shrunk is seen nowhere: 0."""
        if sha512 == notify.sha512:
            notify.left = notify.length
            notify.op.compressor_skipped()
        else:
            notify.left = 0
            used = self.state.compressors.get_for_compression(notify.length) if self.state is not None else None
            if isinstance(used, CompressorReady):
                notify.op.compressed(used.identifier, used.level, 0)
        if self._is_whole(notify.length):
            notify.op.sending_notify(self.connection, message.identifier, notify.left)
            return
        length, number = notify.left, number_length(notify.left)
        values = [authorization, 0, len(message.identifier), 1, len(notify.topic), 1, number, number, len(sha512)]
        notify.op.sending_first_part(self.connection, message.identifier, length, self._part(notify, values))

    def _part(self, notify: StatefulNotify, values: List[int]) -> int:
        """The size of the next part: what has room beside its head, as lonelypsc reckons."""
        size, most = notify.left, self.config.max_websocket_message_size
        if most is not None:
            size = min(size, max(512, most - head_length(values, self.config.websocket_minimal_headers)))
        notify.left -= size
        notify.offset += size
        return size

"""What comes to lonelypsc over its connection: messages until the application's handlers are done, news of missed ones.

Fed by the session with the state machine's steps. lonelypsc has the next message read when it has put the one before
together, authorized and decompressed it: `state.receiving` is how far it is, and what it was a step ago says what
happened. Confirmations show when they are queued; when they are sent depends on what else is being sent.
"""
import asyncio
import errno
from collections import deque
from typing import Deque, Optional, Union

from lonelypsc.client import PubSubClientMessageWithCleanup
from lonelypsc.config.ws_config import WebsocketPubSubConfig
from lonelypsc.ws.compressor import CompressorState
from lonelypsc.ws.state import (
    Receiving,
    ReceivingAuthorizing,
    ReceivingAuthorizingMissed,
    ReceivingDecompressing,
    ReceivingIncomplete,
    ReceivingWaitingCompressor,
    StateOpen,
)
from lonelypsp.auth.config import AuthResult
from lonelypsp.stateful.messages.receive_stream import B2S_ReceiveStreamStartCompressed, B2S_ReceiveStreamStartUncompressed

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import observer

First = Union[B2S_ReceiveStreamStartUncompressed, B2S_ReceiveStreamStartCompressed]
WAITING_MAX = 1024  # messages that are shown while they wait for the application; those beyond are left


def sizes(first: First) -> "tuple[int, int]":
    """Bytes on the wire, and of the message."""
    if first.compressor_id is None:
        return first.uncompressed_length, first.uncompressed_length
    return first.compressed_length, first.decompressed_length


class Reception:
    """A message that has come, from its first part to the last handler's end."""

    def __init__(self, first: First, connection: bytes, ctr: int) -> None:
        self.first = first
        self.connection = connection
        self.ctr = ctr
        self.op = points.stateful_receive()
        self.op.silence()
        self.part = self.offset = 0
        self.large = False  # it is read from a file, and the next handler waits for this one's cleanup
        self.handler = self.handlers = 0
        self.handling = False

    # ---- its parts ----

    def begun(self, size: int) -> None:
        self.offset = size
        self.op.received(self.connection, self.first.identifier, self.ctr, self.first.compressor_id, size)

    def went_on(self, offset: int) -> None:
        """Another part is there. Its counter is not told: lonelypsc counts messages, not parts."""
        self.part += 1
        self.op.received_part(self.part, None, offset - self.offset)
        self.offset = offset

    def complete(self) -> None:
        self.op.body_complete(self.first.topic, sizes(self.first)[1])
        self.op.sending_confirm_receive()

    def accepted(self) -> None:
        self.op.auth_accepted(self.first.topic, self.first.identifier, sizes(self.first)[1], self.connection, self.ctr,
                              self.first.tracing)
        if self.first.compressor_id is None:
            self.op.compressor_skipped()

    # ---- its handlers, one after the other ----

    def is_of(self, message: PubSubClientMessageWithCleanup) -> bool:
        return self.first.topic == message.topic and \
            (self.first.compressor_id is not None or self.first.unverified_uncompressed_sha512 == message.sha512)

    def handler_start(self) -> None:
        self.handling = True
        self.op.handler_start(self.handler)

    @observer
    def handler_end(self, failed: bool) -> None:
        """The handler has returned, or cleaned up if the message is large: whatever lonelypsc waits for."""
        if not self.handling:
            return
        self.handling = False
        self.handler += 1
        self.op.handler_error() if failed else self.op.handler_done()
        if self.handler == self.handlers:
            self.op.no_more_handlers()


class Incoming:
    """What one client receives."""

    def __init__(self, config: WebsocketPubSubConfig) -> None:
        self.config = config
        self.connection = b""
        self.seen: Optional[Receiving] = None
        self.reception: Optional[Reception] = None
        self.missed: Optional[points.handle_stateful_missed] = None
        self.missed_ctr = 0
        self.result: Optional[AuthResult] = None
        self.waiting: Deque[Reception] = deque()  # for their handlers
        self.handled: Optional[Reception] = None
        self.news: Deque[points.handle_stateful_missed] = deque(maxlen=WAITING_MAX)  # of missed messages, to be told

    @observer
    def checked(self, result: AuthResult) -> None:
        """What was said of the authorization of the message that is being received."""
        self.result = result

    # ---- from the state machine ----

    def stepped(self, state: StateOpen, handlers: int, status_handlers: int) -> None:
        """The state machine has made a step; so many handlers there are, of messages and of the connection's status."""
        now, before = state.receiving, self.seen
        if now is before and (not isinstance(now, ReceivingIncomplete) or self.reception is None or
                              now.part_id == self.reception.part):
            return
        self.seen = now
        if isinstance(now, (ReceivingIncomplete, ReceivingAuthorizing)):
            self._part(state, now, before)
        elif isinstance(now, ReceivingAuthorizingMissed):
            self._missed(state, now)
        elif isinstance(now, ReceivingWaitingCompressor):
            self._accepted(before)
            if state.compressors.get_for_decompression(now.first.compressor_id).type == CompressorState.PREPARING and self.reception:
                self.reception.op.waiting_compressor(now.first.compressor_id)
        elif isinstance(before, ReceivingAuthorizingMissed):
            self._missed_accepted(before, status_handlers)
        elif now is None:
            self._done(before, handlers)

    def _part(self, state: StateOpen, now: Union[ReceivingIncomplete, ReceivingAuthorizing], before: Optional[Receiving]) -> None:
        offset = now.body.tell()
        if self.reception is None or self.reception.first is not now.first:
            self.result = None
            self.reception = Reception(now.first, self.connection, state.broadcaster_counter - 1)
            self.reception.begun(offset)
        else:
            self.reception.went_on(offset)
        if isinstance(now, ReceivingIncomplete):
            self.reception.op.sending_continue_receive(self.reception.part)
        else:
            self.reception.complete()

    def _accepted(self, before: Optional[Receiving]) -> None:
        """Authorized; with the last part, if that was known before."""
        reception = self.reception
        if reception is None:
            return
        if isinstance(before, ReceivingIncomplete):
            reception.went_on(sizes(reception.first)[0])
            reception.complete()
        reception.accepted()

    def _done(self, before: Optional[Receiving], handlers: int) -> None:
        """Nothing is being received any more: the handlers are next."""
        reception = self.reception
        if reception is None:
            return
        if isinstance(before, ReceivingDecompressing):
            reception.op.decompressed(sizes(reception.first)[1])
        else:
            self._accepted(before)
        self.reception = None
        most = self.config.max_websocket_message_size
        reception.large = most is not None and sizes(reception.first)[1] >= most
        if not handlers:
            reception.op.no_more_handlers()
        elif len(self.waiting) < WAITING_MAX:
            self.waiting.append(reception)
        else:
            reception.op.leave(errno.ENOBUFS)

    def _missed(self, state: StateOpen, now: ReceivingAuthorizingMissed) -> None:
        self.result = None
        self.missed_ctr = state.broadcaster_counter - 1
        self.missed = points.handle_stateful_missed()
        self.missed.silence()
        self.missed.received(self.connection, self.missed_ctr, now.message.topic)

    def _missed_accepted(self, before: ReceivingAuthorizingMissed, status_handlers: int) -> None:
        op, self.missed = self.missed, None
        if op is None:
            return
        op.auth_accepted(self.connection, self.missed_ctr, before.message.topic, before.message.tracing)
        if status_handlers:
            self.news.append(op)
        else:
            op.connection_established(0)

    def lost(self, state: StateOpen, error: BaseException) -> None:
        """The connection is given up, maybe for what was being received."""
        seen, self.seen = self.seen, None
        reception, self.reception = self.reception, None
        missed, self.missed = self.missed, None
        if missed is not None:
            if self.result is not None and self.result != AuthResult.OK:
                missed.bad_auth_result(self.result)
            missed.leave(errno.ECONNABORTED)
        if reception is not None and seen is not None:
            self._cut(reception, seen, state, isinstance(error, asyncio.QueueFull))
            reception.op.leave(errno.ECONNABORTED)

    def _cut(self, reception: Reception, seen: Receiving, state: StateOpen, full: bool) -> None:
        """What ended a message that was not yet the handlers'."""
        op = reception.op
        if isinstance(seen, ReceivingIncomplete):
            op.connection_lost()
        elif isinstance(seen, ReceivingAuthorizing):
            if self.result is not None and self.result != AuthResult.OK:
                op.bad_auth_result(self.result)
            elif full:
                reception.accepted()
                op.received_queue_full()
        elif isinstance(seen, ReceivingWaitingCompressor):
            try:
                state.compressors.get_for_decompression(seen.first.compressor_id)
            except KeyError:
                op.unknown_compressor(seen.first.compressor_id)
        elif isinstance(seen, ReceivingDecompressing) and seen.task.done() and not seen.task.cancelled():
            if seen.task.exception() is not None:
                op.bad_decompress()
            elif full:
                op.decompressed(sizes(reception.first)[1])
                op.received_queue_full()

    # ---- from the application's handlers, of which one runs at a time ----

    @observer
    def handling(self, message: PubSubClientMessageWithCleanup, handlers: int) -> None:
        """A handler is given a message; those that waited before it had no handler any more."""
        self.handled = found = next((r for r in self.waiting if r.is_of(message)), None)
        if found is None:
            return
        while self.waiting[0] is not found:
            self.waiting.popleft().op.no_more_handlers()
        if not found.handlers:
            found.handlers = handlers
        if found.handler + 1 >= found.handlers:
            self.waiting.popleft()
        found.handler_start()

    @observer
    def told_lost(self, handlers: int) -> None:
        for op in self.news:
            op.connection_lost(handlers)

    @observer
    def told_established(self, handlers: int) -> None:
        while self.news:
            self.news.popleft().connection_established(handlers)

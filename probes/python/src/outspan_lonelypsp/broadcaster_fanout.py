"""lonelypss's web sockets: which of them get a message, and which subscriptions they have."""
from collections import Counter
from types import TracebackType
from typing import Dict, Optional, Type

from lonelypss.util.sync_io import SyncReadableBytesIO
from lonelypss.util.ws_receiver import BaseWSReceiver, SimpleFanoutWSReceiver

from outspan_lonelypsp import points, session
from outspan_lonelypsp.broadcaster_deliveries import Delivery
from outspan_lonelypsp.exchange import current, find, observer


@observer
def irrelevant(topic: bytes) -> None:
    """Before the authorization upstream asks for the topic alone: the identifier is not known here."""
    op = find(points.receive_for_websockets)
    if op is not None:
        op.request_parsed(topic)
        op.topic_irrelevant()


@observer
def accepted(topic: bytes, sha512: bytes, length: int) -> None:
    exchange, op = current.get(), find(points.receive_for_websockets)
    if exchange is not None and op is not None:
        op.auth_accepted(topic, exchange.identifier, length, sha512, exchange.tracing)


@observer
def told_all(count: int) -> None:
    op = find(points.receive_for_websockets) or find(points.missed_for_websockets)
    if op is not None:
        op.no_more_websockets(count)


class TracedWSReceiver:
    """One web socket's end of the fan-out."""

    def __init__(self, inner: BaseWSReceiver, connection: Optional[session.Session]) -> None:
        self.inner = inner
        self.connection = connection

    @observer
    def _matched(self) -> None:
        op = find(points.receive_for_websockets) or find(points.missed_for_websockets)
        if op is not None:
            op.websocket_matched(self.connection.connection if self.connection else None)

    def _queue(self, topic: bytes, length: int, sha512: bytes) -> Optional[Delivery]:
        exchange = current.get()
        if self.connection is None or exchange is None:
            return None
        return self.connection.deliveries.queue(topic, length, sha512, exchange.identifier, exchange.tracing)

    def is_relevant(self, topic: bytes) -> bool:
        return self.inner.is_relevant(topic)

    async def on_large_exclusive_incoming(self, stream: SyncReadableBytesIO, /, *, topic: bytes, sha512: bytes,
                                          length: int) -> int:
        self._matched()
        op = find(points.receive_for_websockets)
        if op is not None:
            op.queued_large()
        delivery = self._queue(topic, length, sha512)
        try:
            count = await self.inner.on_large_exclusive_incoming(stream, topic=topic, sha512=sha512, length=length)
        except BaseException as error:
            if delivery is not None:
                delivery.withdraw(error)
            raise
        if delivery is not None and self.connection is not None and not self.connection.is_unregistered:
            delivery.released()
        if op is not None:
            op.large_released()
        return count

    async def on_small_incoming(self, data: bytes, /, *, topic: bytes, sha512: bytes) -> int:
        self._matched()
        delivery = self._queue(topic, len(data), sha512)
        try:
            count = await self.inner.on_small_incoming(data, topic=topic, sha512=sha512)
        except BaseException as error:
            if delivery is not None:
                delivery.withdraw(error)
            raise
        op = find(points.receive_for_websockets)
        if op is not None:
            op.queued_small()
        return count

    async def on_missed(self, /, *, topic: bytes) -> int:
        self._matched()
        if self.connection is not None:
            self.connection.deliveries.queue_missed(topic, find(points.missed_for_websockets))
        return await self.inner.on_missed(topic=topic)


class TracedFanout:
    """A FanoutWSReceiver that passes everything on; entered and left as SimpleFanoutWSReceiver is."""

    def __init__(self, inner: SimpleFanoutWSReceiver) -> None:
        self.inner = inner
        self._receivers: Dict[int, BaseWSReceiver] = {}
        self._exacts: "Counter[bytes]" = Counter()
        self._globs: "Counter[str]" = Counter()

    async def __aenter__(self) -> "TracedFanout":
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, exc_type: Optional[Type[BaseException]], exc_value: Optional[BaseException],
                        traceback: Optional[TracebackType]) -> None:
        await self.inner.__aexit__(exc_type, exc_value, traceback)

    @property
    def receiver_url(self) -> str:
        return self.inner.receiver_url

    @property
    def missed_url(self) -> Optional[str]:
        return self.inner.missed_url

    def is_relevant(self, topic: bytes) -> bool:
        relevant = self.inner.is_relevant(topic)
        if not relevant:
            irrelevant(topic)
        return relevant

    async def on_large_exclusive_incoming(self, stream: SyncReadableBytesIO, /, *, topic: bytes, sha512: bytes,
                                          length: int) -> int:
        accepted(topic, sha512, length)
        count = await self.inner.on_large_exclusive_incoming(stream, topic=topic, sha512=sha512, length=length)
        told_all(count)
        return count

    async def on_small_incoming(self, data: bytes, /, *, topic: bytes, sha512: bytes) -> int:
        accepted(topic, sha512, len(data))
        count = await self.inner.on_small_incoming(data, topic=topic, sha512=sha512)
        told_all(count)
        return count

    async def on_missed(self, /, *, topic: bytes) -> int:
        count = await self.inner.on_missed(topic=topic)
        told_all(count)
        return count

    async def register_receiver(self, receiver: BaseWSReceiver) -> int:
        registered = await self.inner.register_receiver(TracedWSReceiver(receiver, session.current.get()))
        self._receivers[registered] = receiver
        return registered

    async def unregister_receiver(self, receiver_id: int) -> None:
        await self.inner.unregister_receiver(receiver_id)
        receiver = self._receivers.pop(receiver_id, None)
        connection = session.current.get()
        if connection is not None:
            connection.unregistered(len(getattr(receiver, "exact_subscriptions", ())),
                                    len(getattr(receiver, "glob_subscriptions", ())))

    async def increment_exact(self, topic: bytes, /) -> None:
        connection, failed = session.current.get(), True
        try:
            await self.inner.increment_exact(topic)
            failed = False
            self._exacts[topic] += 1
        finally:
            if connection is not None:
                connection.registered(self._exacts[topic] == 1, failed)

    async def decrement_exact(self, topic: bytes, /) -> None:
        connection, failed = session.current.get(), True
        self._exacts -= Counter([topic])  # those that reach 0 go
        try:
            await self.inner.decrement_exact(topic)
            failed = False
        finally:
            if connection is not None:
                connection.deregistered(topic not in self._exacts, failed)

    async def increment_glob(self, glob: str, /) -> None:
        connection, failed = session.current.get(), True
        try:
            await self.inner.increment_glob(glob)
            failed = False
            self._globs[glob] += 1
        finally:
            if connection is not None:
                connection.registered(self._globs[glob] == 1, failed)

    async def decrement_glob(self, glob: str, /) -> None:
        connection, failed = session.current.get(), True
        self._globs -= Counter([glob])
        try:
            await self.inner.decrement_glob(glob)
            failed = False
        finally:
            if connection is not None:
                connection.deregistered(glob not in self._globs, failed)

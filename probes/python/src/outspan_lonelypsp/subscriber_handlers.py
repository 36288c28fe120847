"""The application's handlers of a lonelypsc that is reached over HTTP: of messages, and of the connection's status."""
from typing import Callable

from lonelypsc.client import (
    PubSubClientConnectionStatus,
    PubSubClientMessageWithCleanup,
    PubSubClientReceiver,
    PubSubDirectConnectionStatusReceiver,
    PubSubDirectOnMessageWithCleanupReceiver,
)

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import Exchange, current, find, observer
from outspan_lonelypsp.subscriber_requests import established_told, lost_told, receive_accepted


@observer
def handler_started(exchange: Exchange) -> None:
    op = exchange.operation
    if isinstance(op, points.receive):
        receive_accepted(exchange)
        op.handler_start(exchange.handler)
        exchange.handler += 1


class TracedHandler:
    """A handler of messages: each call is a nested span, until the message is cleaned up."""

    def __init__(self, inner: PubSubDirectOnMessageWithCleanupReceiver) -> None:
        self.inner = inner

    async def on_message(self, message: PubSubClientMessageWithCleanup) -> None:
        exchange = current.get()
        op = find(points.receive)
        if exchange is None or op is None:
            return await self.inner.on_message(message)
        handler_started(exchange)
        done = False

        async def cleanup() -> None:
            nonlocal done
            if not done and op is not None:
                done = True
                op.handler_done()
            await message.cleanup()

        try:
            await self.inner.on_message(PubSubClientMessageWithCleanup(
                topic=message.topic, sha512=message.sha512, data=message.data, cleanup=cleanup))
        except BaseException as error:
            if not done:
                done = True
                op.handler_error() if isinstance(error, Exception) else op.handler_canceled()
            raise
        if not done:
            op.handler_buffered()


class TracedStatusHandler:
    """A handler of the connection's status; `told` hears which one it has been told."""

    def __init__(self, inner: PubSubDirectConnectionStatusReceiver, told: Callable[[int], None]) -> None:
        self.inner = inner
        self.told = told

    async def on_connection_lost(self) -> None:
        try:
            await self.inner.on_connection_lost()
        finally:
            self.told(points.CONNECTION_STATE_LOST)

    async def on_connection_established(self) -> None:
        try:
            await self.inner.on_connection_established()
        finally:
            self.told(points.CONNECTION_STATE_OK)

    async def on_connection_abandoned(self) -> None:
        await self.inner.on_connection_abandoned()


class TracedReceiver:
    """A PubSubClientReceiver that passes everything on, with the application's handlers in sight."""

    def __init__(self, inner: PubSubClientReceiver) -> None:
        self.inner = inner
        self.status_handlers = 0

    @property
    def connection_status(self) -> PubSubClientConnectionStatus:
        return self.inner.connection_status

    def told(self, connection_state: int) -> None:
        """One more of the status handlers was told: of a missed message as of a connection that was lost for a moment."""
        tell = lost_told if connection_state == points.CONNECTION_STATE_LOST else established_told
        tell(self.status_handlers)

    async def setup_receiver(self) -> None:
        await self.inner.setup_receiver()

    async def teardown_receiver(self) -> None:
        await self.inner.teardown_receiver()

    async def register_on_message(self, /, *, receiver: PubSubDirectOnMessageWithCleanupReceiver) -> int:
        return await self.inner.register_on_message(receiver=TracedHandler(receiver))

    async def unregister_on_message(self, /, *, registration_id: int) -> None:
        await self.inner.unregister_on_message(registration_id=registration_id)

    async def register_status_handler(self, /, *, receiver: PubSubDirectConnectionStatusReceiver) -> int:
        registered = await self.inner.register_status_handler(receiver=TracedStatusHandler(receiver, self.told))
        self.status_handlers += 1
        return registered

    async def unregister_status_handler(self, /, *, registration_id: int) -> None:
        await self.inner.unregister_status_handler(registration_id=registration_id)
        self.status_handlers -= 1

"""The seams of a lonelypsc client that uses web sockets: its connector and receiver, and the state that these keep.

    client = TracedWebsocketPubSubClient(make_websocket_pub_sub_config(...))
"""
from contextlib import contextmanager
from typing import Iterator, Optional, Type

from lonelypsc.client import (
    PubSubClientBulkSubscriptionConnector,
    PubSubClientConnectionStatus,
    PubSubClientMessageWithCleanup,
    PubSubDirectConnectionStatusReceiver,
    PubSubDirectOnMessageWithCleanupReceiver,
    PubSubNotifyResult,
)
from lonelypsc.config.ws_config import WebsocketPubSubConfig, WebsocketPubSubConfigFromParts
from lonelypsc.types.sync_io import SyncStandardIO
from lonelypsc.ws.state import State, StateClosed, StateClosing, StateOpen
from lonelypsc.ws_client import CRState, CRStateSetup, CRStateType, WSPubSubConnectorReceiver

from outspan_lonelypsp import points
from outspan_lonelypsp.subscriber_auth import SessionAuth
from outspan_lonelypsp.subscriber_handlers import TracedStatusHandler
from outspan_lonelypsp.subscriber_receiving import Reception
from outspan_lonelypsp.subscriber_sending import Change, Key, StatefulNotify
from outspan_lonelypsp.subscriber_session import Session


class ObservedSetup(CRStateSetup):
    """What lonelypsc keeps of a client that is set up: each step of its state machine sets `ws_state`, and shows in the session."""

    def __init__(self, state: CRStateSetup, session: Session) -> None:
        self._session = session
        super().__init__(**vars(state))

    @property
    def ws_state(self) -> State:
        return self._ws_state

    @ws_state.setter
    def ws_state(self, state: State) -> None:
        self._ws_state = state
        self._session.stepped(state, len(self.message_receivers), len(self.status_receivers))


class ObservedConnectorReceiver(WSPubSubConnectorReceiver):
    """lonelypsc's connector and receiver, with the steps of its state machine in sight."""

    def __init__(self, config: WebsocketPubSubConfig, session: Session) -> None:
        self._session = session
        super().__init__(config)

    @property
    def state(self) -> CRState:
        return self._state

    @state.setter
    def state(self, state: CRState) -> None:
        self._state: CRState = ObservedSetup(state, self._session) if state.type == CRStateType.SETUP else state


def unsent_is_full(state: CRState) -> bool:
    """Whether the queue that a message would be put into has no room."""
    if state.type != CRStateType.SETUP or isinstance(state.ws_state, StateClosed):
        return False
    if isinstance(state.ws_state, StateOpen):
        return state.ws_state.unsent_notifications.full()
    tasks = state.ws_state.retry.tasks if isinstance(state.ws_state, StateClosing) else state.ws_state.tasks
    return tasks is not None and tasks.unsent_notifications.full()


class TracedSocketHandler:
    """A handler of messages: each call is a nested span, for as long as lonelypsc waits for it."""

    def __init__(self, inner: PubSubDirectOnMessageWithCleanupReceiver, socket: "TracedSocket") -> None:
        self.inner = inner
        self.socket = socket

    async def on_message(self, message: PubSubClientMessageWithCleanup) -> None:
        incoming = self.socket.session.incoming
        incoming.handling(message, self.socket.handlers())
        if incoming.handled is None:
            await self.inner.on_message(message)
        else:
            await self._handle(message, incoming.handled)

    async def _handle(self, message: PubSubClientMessageWithCleanup, reception: Reception) -> None:
        async def cleanup() -> None:
            reception.handler_end(False)
            await message.cleanup()

        try:
            await self.inner.on_message(PubSubClientMessageWithCleanup(
                topic=message.topic, sha512=message.sha512, data=message.data,
                cleanup=cleanup if reception.large else message.cleanup))
        except BaseException:
            reception.handler_end(True)
            raise
        if not reception.large:
            reception.handler_end(False)


class TracedSocket:
    """A connector and receiver for a PubSubClient that uses web sockets; passes everything on."""

    def __init__(self, config: WebsocketPubSubConfig) -> None:
        self.session = Session(config)
        observed = WebsocketPubSubConfigFromParts(config, config, config, SessionAuth(config, self.session))
        self.inner = ObservedConnectorReceiver(observed, self.session)
        self._telling = 0
        self._told = 0

    def handlers(self) -> int:
        return len(self.inner.state.message_receivers) if self.inner.state.type == CRStateType.SETUP else 0

    def told(self, connection_state: int) -> None:
        """One more of the status handlers was told; what all were told is the session's."""
        if connection_state != self._telling:
            self._telling, self._told = connection_state, 0
        self._told += 1
        state = self.inner.state
        handlers = len(state.status_receivers) if state.type == CRStateType.SETUP else 0
        if self._told != handlers:
            return
        self.session.told(connection_state)
        if connection_state == points.CONNECTION_STATE_LOST:
            self.session.incoming.told_lost(handlers)
        else:
            self.session.incoming.told_established(handlers)

    # ---- the connector ----

    async def setup_connector(self) -> None:
        await self.inner.setup_connector()

    async def teardown_connector(self) -> None:
        await self.inner.teardown_connector()

    @contextmanager
    def _changing(self, kind: Type[Change], key: Key) -> Iterator[None]:
        """lonelypsc queues a change and does not wait for it; nothing runs between that and the end of this."""
        try:
            yield
        except BaseException as error:
            self.session.outgoing.change_failed(kind, key, error)
            raise
        self.session.outgoing.queue_change(kind, key)

    async def subscribe_exact(self, /, *, topic: bytes) -> None:
        with self._changing(points.stateful_subscribe_exact, topic):
            await self.inner.subscribe_exact(topic=topic)

    async def subscribe_glob(self, /, *, glob: str) -> None:
        with self._changing(points.stateful_subscribe_glob, glob):
            await self.inner.subscribe_glob(glob=glob)

    async def unsubscribe_exact(self, /, *, topic: bytes) -> None:
        with self._changing(points.stateful_unsubscribe_exact, topic):
            await self.inner.unsubscribe_exact(topic=topic)

    async def unsubscribe_glob(self, /, *, glob: str) -> None:
        with self._changing(points.stateful_unsubscribe_glob, glob):
            await self.inner.unsubscribe_glob(glob=glob)

    def get_bulk(self) -> Optional[PubSubClientBulkSubscriptionConnector]:
        return self.inner.get_bulk()

    def prepare_notifier_trace(self, initializer: None, /) -> StatefulNotify:
        return StatefulNotify()

    async def notify(self, /, *, topic: bytes, message: SyncStandardIO, length: int, message_sha512: bytes,
                     tracer: StatefulNotify) -> PubSubNotifyResult:
        outgoing = self.session.outgoing
        outgoing.queue_notify(tracer, topic, message_sha512, length, unsent_is_full(self.inner.state))
        try:
            result = await self.inner.notify(topic=topic, message=message, length=length, message_sha512=message_sha512, tracer=None)
        except BaseException as error:
            outgoing.notify_failed(tracer, error)
            raise
        outgoing.notified(tracer, result.notified)
        return result

    # ---- the receiver ----

    @property
    def connection_status(self) -> PubSubClientConnectionStatus:
        return self.inner.connection_status

    async def setup_receiver(self) -> None:
        await self.inner.setup_receiver()

    async def teardown_receiver(self) -> None:
        await self.inner.teardown_receiver()

    async def register_on_message(self, /, *, receiver: PubSubDirectOnMessageWithCleanupReceiver) -> int:
        return await self.inner.register_on_message(receiver=TracedSocketHandler(receiver, self))

    async def unregister_on_message(self, /, *, registration_id: int) -> None:
        await self.inner.unregister_on_message(registration_id=registration_id)

    async def register_status_handler(self, /, *, receiver: PubSubDirectConnectionStatusReceiver) -> int:
        return await self.inner.register_status_handler(receiver=TracedStatusHandler(receiver, self.told))

    async def unregister_status_handler(self, /, *, registration_id: int) -> None:
        await self.inner.unregister_status_handler(registration_id=registration_id)

"""The seams of lonelypsc: publishing, subscribing, and what a broadcaster sends, over HTTP and over web sockets.

    config = make_http_pub_sub_config(..., bind=traced_bind(bind), auth=TracedAuth(auth), tracing=SubscriberRoot())
    client = TracedHttpPubSubClient(config)           # as HttpPubSubClient

    config = make_websocket_pub_sub_config(..., auth=TracedAuth(auth))
    client = TracedWebsocketPubSubClient(config)      # as WebsocketPubSubClient
"""
from typing import Protocol, TypeVar

from lonelypsc.client import PubSubClient
from lonelypsc.config.http_config import HttpPubSubConfig
from lonelypsc.config.ws_config import WebsocketPubSubConfig
from lonelypsc.http_client import HttpPubSubClientReceiver
from lonelypsp.tracing.stateless.notify import StatelessTracingNotifyOnSending

from outspan_lonelypsp.notify import Notify
from outspan_lonelypsp.subscriber_auth import TracedAuth
from outspan_lonelypsp.subscriber_handlers import TracedReceiver
from outspan_lonelypsp.subscriber_http import TracedConnector, TracedPubSubClient
from outspan_lonelypsp.subscriber_requests import TracedCallback, traced_bind
from outspan_lonelypsp.subscriber_sending import StatefulNotify
from outspan_lonelypsp.subscriber_socket import TracedSocket

__all__ = ["SubscriberRoot", "TracedAuth", "TracedCallback", "TracedHttpPubSubClient", "TracedReceiver",
           "TracedWebsocketPubSubClient", "traced_bind"]

InitializerT = TypeVar("InitializerT")


class SubscriberRoot:
    """A StatelessTracingSubscriberRoot: lonelypsc's `tracing`. The initializer says nothing to outspan."""

    def notify(self, initializer: object, /) -> Notify:
        return Notify()


class Authorized(Protocol):
    """What a client sets up and tears down of its configuration."""

    async def setup_to_broadcaster_auth(self) -> None: ...
    async def teardown_to_broadcaster_auth(self) -> None: ...
    async def setup_to_subscriber_auth(self) -> None: ...
    async def teardown_to_subscriber_auth(self) -> None: ...


class Setup:
    """The authorization of a client, set up and torn down as lonelypsc's own clients do."""

    def __init__(self, config: Authorized) -> None:
        self.config = config

    async def setup(self) -> None:
        await self.config.setup_to_subscriber_auth()
        try:
            await self.config.setup_to_broadcaster_auth()
        except BaseException:
            await self.config.teardown_to_subscriber_auth()
            raise

    async def teardown(self) -> None:
        try:
            await self.config.teardown_to_broadcaster_auth()
        finally:
            await self.config.teardown_to_subscriber_auth()


def TracedHttpPubSubClient(
        config: HttpPubSubConfig[InitializerT]) -> PubSubClient[InitializerT, StatelessTracingNotifyOnSending]:
    """As lonelypsc's HttpPubSubClient, with its requests and the handlers of messages in sight."""
    auth = Setup(config)
    return TracedPubSubClient(TracedConnector(config), TracedReceiver(HttpPubSubClientReceiver(config)),
                              setup=auth.setup, teardown=auth.teardown)


def TracedWebsocketPubSubClient(config: WebsocketPubSubConfig) -> PubSubClient[None, StatefulNotify]:
    """As lonelypsc's WebsocketPubSubClient, with its connections and all that passes over them in sight."""
    auth, socket = Setup(config), TracedSocket(config)
    return PubSubClient(socket, socket, setup=auth.setup, teardown=auth.teardown)

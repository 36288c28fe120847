"""What the package's classes must be to upstream's own types; checked by `mypy --strict`, never run."""
from typing import Union

from lonelypsc.client import (
    PubSubClient,
    PubSubClientBulkSubscriptionConnector,
    PubSubClientConnector,
    PubSubClientReceiver,
    PubSubClientTracingNotifyStart,
)
from lonelypsc.config.http_config import (
    HttpPubSubBindManualCallback,
    HttpPubSubBindManualConfig,
    HttpPubSubBindUvicornConfig,
    HttpPubSubConfig,
    make_http_pub_sub_config,
)
from lonelypsc.config.ws_config import WebsocketPubSubConfig
from lonelypsp.auth.config import AuthConfig
from lonelypsp.tracing.root import TracingBroadcasterRoot
from lonelypsp.tracing.shared.handle_trusted_notify import HandledTrustedNotify
from lonelypsp.tracing.stateless.notify import (
    StatelessTracingNotifyOnReceived,
    StatelessTracingNotifyOnSending,
    StatelessTracingNotifyOnSendingResponse,
    StatelessTracingNotifyStart,
)
from lonelypsp.tracing.stateless.root import StatelessTracingSubscriberRoot
from lonelypss.config.config import CompressionConfig, DBConfig, LockedMissedInfo, MissedRetryConfig, TracingConfig
from lonelypss.util.ws_receiver import BaseWSReceiver, FanoutWSReceiver, SimpleFanoutWSReceiver

from outspan_lonelypsp import broadcaster, subscriber
from outspan_lonelypsp.broadcaster_fanout import TracedWSReceiver
from outspan_lonelypsp.missed import TracedLockedMissedInfo
from outspan_lonelypsp.notify import HandleNotify, Notify
from outspan_lonelypsp.subscriber_auth import SessionAuth
from outspan_lonelypsp.subscriber_http import TracedConnector
from outspan_lonelypsp.subscriber_sending import StatefulNotify
from outspan_lonelypsp.subscriber_session import Session
from outspan_lonelypsp.subscriber_socket import TracedSocket


def on_the_subscriber(auth: AuthConfig, receiver: PubSubClientReceiver, callback: HttpPubSubBindManualCallback,
                      bind: Union[HttpPubSubBindUvicornConfig, HttpPubSubBindManualConfig]) -> None:
    root: StatelessTracingSubscriberRoot[None] = subscriber.SubscriberRoot()
    start: StatelessTracingNotifyStart = Notify()
    traced_auth: AuthConfig = subscriber.TracedAuth(auth)
    traced_receiver: PubSubClientReceiver = subscriber.TracedReceiver(receiver)
    traced_callback: HttpPubSubBindManualCallback = subscriber.TracedCallback(callback)
    config: HttpPubSubConfig[None] = make_http_pub_sub_config(
        bind=subscriber.traced_bind(bind), host="", broadcasters=[], outgoing_retries_per_broadcaster=1,
        message_body_spool_size=0, outgoing_http_timeout_total=None, outgoing_http_timeout_connect=None,
        outgoing_http_timeout_sock_read=None, outgoing_http_timeout_sock_connect=None, outgoing_retry_ambiguous=False,
        auth=traced_auth, tracing=root)
    client: PubSubClient[None, StatelessTracingNotifyOnSending] = subscriber.TracedHttpPubSubClient(config)
    connector: PubSubClientConnector[None, StatelessTracingNotifyOnSending] = TracedConnector(config)
    bulk: PubSubClientBulkSubscriptionConnector = TracedConnector(config)
    print(start, traced_receiver, traced_callback, client, connector, bulk)


def on_the_subscriber_with_a_web_socket(config: WebsocketPubSubConfig) -> None:
    connector: PubSubClientConnector[None, StatefulNotify] = TracedSocket(config)
    receiver: PubSubClientReceiver = TracedSocket(config)
    start: PubSubClientTracingNotifyStart[StatefulNotify] = StatefulNotify()
    traced_auth: AuthConfig = SessionAuth(config, Session(config))
    client: PubSubClient[None, StatefulNotify] = subscriber.TracedWebsocketPubSubClient(config)
    print(connector, receiver, start, traced_auth, client)


def on_the_broadcaster(auth: AuthConfig, db: DBConfig, retry: MissedRetryConfig, compression: CompressionConfig,
                       fanout: SimpleFanoutWSReceiver, receiver: BaseWSReceiver, mark: LockedMissedInfo) -> None:
    tracing: TracingConfig = broadcaster.TracingConfig()
    root: TracingBroadcasterRoot[None] = broadcaster.BroadcasterRoot()
    received: StatelessTracingNotifyOnReceived = HandleNotify()
    trusted: HandledTrustedNotify[StatelessTracingNotifyOnSendingResponse] = HandleNotify()
    traced_auth: AuthConfig = broadcaster.TracedAuth(auth)
    traced_db: DBConfig = broadcaster.TracedDB(broadcaster.SqliteDB(":memory:"))
    missed: MissedRetryConfig = broadcaster.TracedMissedRetry(retry)
    traced_compression: CompressionConfig = broadcaster.TracedCompression(compression)
    traced_fanout: FanoutWSReceiver = broadcaster.TracedFanout(fanout)
    traced_receiver: BaseWSReceiver = TracedWSReceiver(receiver, None)
    traced_mark: LockedMissedInfo = TracedLockedMissedInfo(mark)
    print(tracing, root, received, trusted, traced_auth, traced_db, missed, traced_compression, traced_fanout,
          traced_receiver, traced_mark)

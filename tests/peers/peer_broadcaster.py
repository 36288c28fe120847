"""The real lonelypss under uvicorn. Lines: none; it says `ready: port=N`."""
import asyncio
import socket
from contextlib import asynccontextmanager
from typing import AsyncIterator

import peer
import uvicorn
from fastapi import FastAPI
from lonelypss.bknd.sweep_missed import sweep_missed
from lonelypss.config.config import (
    CompressionConfigFromParts,
    ConfigFromParts,
    GenericConfigFromValues,
    MissedRetryStandard,
    NotifySessionStandard,
    SubscriberInfoExact,
    SubscriberInfoGlob,
    SubscriberInfoType,
    TracingConfigSimple,
)
from lonelypss.config.helpers.sqlite_db_config import SqliteDBConfig
from lonelypss.config.lifespan import setup_config, teardown_config
from lonelypss.middleware.config import ConfigMiddleware
from lonelypss.middleware.ws_receiver import WSReceiverMiddleware
from lonelypss.router import router
from lonelypss.util.ws_receiver import SimpleFanoutWSReceiver

from outspan_lonelypsp import broadcaster as outspan


async def get_subscribers(self, /, *, topic):
    """As upstream's, but the topic is text for GLOB: some builds of SQLite match no blobs."""
    cursor = self.connection.cursor()
    try:
        cursor.execute("SELECT url, missed_url FROM httppubsub_subscription_exacts WHERE exact = ?", (topic,))
        for url, recovery in cursor.fetchall():
            yield SubscriberInfoExact(type=SubscriberInfoType.EXACT, url=url, recovery=recovery)
        cursor.execute("SELECT glob, url, missed_url FROM httppubsub_subscription_globs WHERE CAST(? AS TEXT) GLOB glob", (topic,))
        for glob, url, recovery in cursor.fetchall():
            yield SubscriberInfoGlob(type=SubscriberInfoType.GLOB, glob=glob, url=url, recovery=recovery)
    finally:
        cursor.close()


class PlainDB(SqliteDBConfig):
    get_subscribers = get_subscribers


class ObservedDB(outspan.SqliteDB):
    get_subscribers = get_subscribers


class SlowCompression(CompressionConfigFromParts):
    delay = 0.0

    async def get_compression_dictionary_by_id(self, dictionary_id, /):
        await asyncio.sleep(self.delay)
        return await super().get_compression_dictionary_by_id(dictionary_id)


def make_config(args):
    auth, missed = peer.make_auth(args.auth), MissedRetryStandard(1, 2, 10, args.max_retries, 1, 0)
    traced = args.tracing == "outspan"
    compression = SlowCompression(
        compression_allowed=args.compression, compression_dictionary_by_id=peer.dictionaries(5), outgoing_max_ws_message_size=3 << 20,
        allow_training=args.compression, compression_min_size=32, compression_trained_max_size=16 << 10,
        compression_training_low_watermark=100 << 10, compression_training_high_watermark=10 << 20,
        compression_retrain_interval_seconds=216000, decompression_max_window_size=8 << 20)
    compression.delay = args.dictionary_delay
    return ConfigFromParts(
        auth=outspan.TracedAuth(auth) if traced else auth,
        db=outspan.TracedDB(ObservedDB(args.db)) if traced else PlainDB(args.db),
        generic=GenericConfigFromValues(
            message_body_spool_size=10 << 20, outgoing_http_timeout_total=30, outgoing_http_timeout_connect=None,
            outgoing_http_timeout_sock_read=args.read_timeout, outgoing_http_timeout_sock_connect=5, websocket_accept_timeout=2,
            websocket_max_pending_sends=args.pending_max, websocket_max_unprocessed_receives=args.unprocessed_max, websocket_large_direct_send_timeout=0.3,
            websocket_send_max_unacknowledged=3, websocket_minimal_headers=not args.expanded_headers, sweep_missed_interval=args.sweep),
        missed=outspan.TracedMissedRetry(missed) if traced else missed,
        compression=outspan.TracedCompression(compression) if traced else compression,
        tracing=outspan.TracingConfig() if traced else TracingConfigSimple(),
        notify_session=NotifySessionStandard())


def make_app(args, url):
    config = make_config(args)
    fanout = SimpleFanoutWSReceiver(receiver_url=url + "/v1/receive_for_websockets",
                                    recovery=url + "/v1/missed_for_websockets", db=config)
    if args.tracing == "outspan":
        fanout = outspan.TracedFanout(fanout)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await setup_config(config)
        try:
            async with fanout, sweep_missed(config):
                peer.ready("port=" + url.rsplit(":", 1)[1])
                yield
        finally:
            await teardown_config(config)

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(ConfigMiddleware, config=config)
    app.add_middleware(WSReceiverMiddleware, ws_receiver=fanout)
    if args.tracing == "outspan":
        app.add_middleware(outspan.TracingMiddleware)
    app.include_router(router)
    app.router.redirect_slashes = False
    return app


def main():
    parser = peer.options(__doc__)
    parser.add_argument("--db", default="subscriptions.db")
    parser.add_argument("--sweep", type=float, default=3600, help="seconds between sweeps for missed messages")
    parser.add_argument("--max-retries", type=int, default=20)
    parser.add_argument("--compression", action="store_true")
    parser.add_argument("--pending-max", type=int, default=255, help="messages that may wait to be sent over a web socket")
    parser.add_argument("--unprocessed-max", type=int, default=255, help="messages that may wait to be handled")
    parser.add_argument("--dictionary-delay", type=float, default=0, help="seconds that it takes to look up a dictionary")
    parser.add_argument("--read-timeout", type=float, default=5)
    args = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", args.port))
    app = make_app(args, "http://127.0.0.1:%d" % listening.getsockname()[1])
    asyncio.run(uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve([listening]))


main()

"""The real lonelypsc: subscribes, and publishes what it is told to on standard input.

`publish TOPIC SIZE` publishes so many zeros, `publish TOPIC @FILE` what is in the file, answered by `published N`
(subscribers); `set N` makes t/0 ... t/N-1 all its subscriptions, answered by `set ETAG`; `check` is answered by `etag HEX`;
`subscribe_exact TOPIC`, `unsubscribe_glob GLOB` and so on ask the broadcaster at once, `hold TOPIC` and `release TOPIC`
count the topic's users as an application's subscriptions do, answered by `done`; or all by `failed ERROR`; `quit`. Of each
message that comes it says `received TOPIC SIZE SHA512`.
"""
import asyncio
import hashlib
import socket
from contextlib import AsyncExitStack

import peer
from lonelypsc.config.http_config import make_http_pub_sub_config
from lonelypsc.config.ws_config import make_websocket_pub_sub_config
from lonelypsc.http_client import HttpPubSubClient
from lonelypsc.ws_client import WebsocketPubSubClient
from lonelypsp.stateless.make_strong_etag import TopicAndRecovery, make_strong_etag
from lonelypsp.tracing.impl.simple.db import SimpleTracingDBSidecar
from lonelypsp.tracing.impl.simple.config import SimpleTracingConfig
from lonelypsp.tracing.impl.simple.root import SimpleTracingSubscriberRoot

from outspan_lonelypsp import subscriber as outspan


async def make_http(args, stack):
    auth = peer.make_auth(args.auth)
    bind = {"type": "uvicorn", "host": "127.0.0.1", "port": args.port}
    traced = args.tracing == "outspan"
    if traced:
        tracing = outspan.SubscriberRoot()
    else:
        settings = SimpleTracingConfig(trace_max_age_seconds=3600)
        sidecar = await stack.enter_async_context(SimpleTracingDBSidecar(settings, args.simple_db))
        tracing = SimpleTracingSubscriberRoot(sidecar, settings).stateless
    config = make_http_pub_sub_config(
        bind=outspan.traced_bind(bind) if traced else bind, host=f"http://127.0.0.1:{args.port}",
        broadcasters=[{"host": args.broadcaster}], outgoing_retries_per_broadcaster=args.passes, message_body_spool_size=10 << 20,
        outgoing_http_timeout_total=60, outgoing_http_timeout_connect=None, outgoing_http_timeout_sock_read=30,
        outgoing_http_timeout_sock_connect=5, outgoing_retry_ambiguous=False,
        auth=outspan.TracedAuth(auth) if traced else auth, tracing=tracing)
    return outspan.TracedHttpPubSubClient(config) if traced else HttpPubSubClient(config)


def make_websocket(args):
    client = outspan.TracedWebsocketPubSubClient if args.tracing == "outspan" else WebsocketPubSubClient
    return client(make_websocket_pub_sub_config(
        broadcasters=[{"host": args.broadcaster}], outgoing_initial_connect_retries=2,
        outgoing_min_reconnect_interval=1, max_websocket_message_size=3 << 20, websocket_open_timeout=5,
        websocket_close_timeout=5, websocket_heartbeat_interval=10, websocket_minimal_headers=not args.expanded_headers,
        max_sent_notifications=None, max_unsent_notifications=None, max_expected_acks=None, max_received=None,
        max_unsent_acks=None, allow_compression=args.compression, compression_dictionary_by_id=peer.dictionaries(5),
        initial_compression_dict_id=peer.PRESET if args.compression else None, allow_training_compression=args.compression,
        decompression_max_window_size=8 << 20, auth=peer.make_auth(args.auth)))


async def receive(messages):
    async for message in messages:
        data = message.data.read()
        peer.say(f"received {message.topic.decode()} {len(data)} {hashlib.sha512(data).hexdigest()}")


def read_message(size):
    """So many zeros; @FILE: what is in the file."""
    if not size.startswith("@"):
        return bytes(int(size))
    with open(size[1:], "rb") as f:
        return f.read()


async def publish(client, topic, size):
    result = await client.notify(trace_initializer=None, topic=topic.encode(), data=read_message(size))
    peer.say(f"published {result.notified}")


async def set_subscriptions(args, client, count):
    host = f"http://127.0.0.1:{args.port}"
    topics = sorted(b"t/%d" % i for i in range(int(count)))
    etag = make_strong_etag(host + "/v1/receive", [TopicAndRecovery(t, host + "/v1/recover") for t in topics], [])
    await client.connector.set_subscriptions(exact=topics, globs=[])
    peer.say(f"set {etag.etag.hex()}")


async def change(client, held, method, key):
    if method == "hold":
        held.append(await client.direct_subscribe_exact(topic=key.encode()))
    elif method == "release":
        await client.direct_unsubscribe_exact(subscription_id=held.pop())
    else:
        await getattr(client.connector, method)(**({"topic": key.encode()} if method.endswith("_exact") else {"glob": key}))
    peer.say("done")


async def command(args, client, held, words):
    try:
        if words[0] == "publish":
            await publish(client, *words[1:])
        elif words[0] == "set":
            await set_subscriptions(args, client, words[1])
        elif words[0] == "check":
            peer.say("etag " + (await client.connector.check_subscriptions()).etag.hex())
        else:
            await change(client, held, *words)
    except Exception as error:
        peer.say(f"failed {type(error).__name__}")


async def run(args):
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(make_websocket(args) if args.websocket else await make_http(args, stack))
        if args.exact or args.glob:
            subscription = await stack.enter_async_context(client.subscribe_multi())
            for topic in args.exact:
                await subscription.subscribe_exact(topic.encode())
            for glob in args.glob:
                await subscription.subscribe_glob(glob)
            receiving = asyncio.create_task(receive(await subscription.messages()))
            stack.callback(receiving.cancel)
            receiving.add_done_callback(lambda done: done.cancelled() or done.exception())
        peer.ready(f"port={args.port}")
        stdin, held = await peer.lines(), []
        while line := (await stdin.readline()).decode().split():
            if line[0] == "quit":
                break
            await command(args, client, held, line)


def main():
    parser = peer.options(__doc__)
    parser.add_argument("--broadcaster", required=True)
    parser.add_argument("--exact", action="append", default=[])
    parser.add_argument("--glob", action="append", default=[])
    parser.add_argument("--websocket", action="store_true")
    parser.add_argument("--compression", action="store_true", help="over web sockets")
    parser.add_argument("--passes", type=int, default=1, help="how often every broadcaster is asked over HTTP")
    parser.add_argument("--simple-db", default="simple.db")
    args = parser.parse_args()
    if not args.port:
        with socket.create_server(("127.0.0.1", 0)) as free:
            args.port = free.getsockname()[1]
    asyncio.run(run(args))


main()

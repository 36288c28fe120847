"""Calls what lonelypss calls while it trains dictionaries for a connection, in its order, on a line of standard input.

lonelypss 0.0.11 has the code for that, and never gets there: what it counts stays 0.
"""
import asyncio
import random

import peer
from lonelypsp.auth.config import AuthResult
from lonelypss.config.config import CompressionConfigFromParts

from outspan_lonelypsp import broadcaster as outspan
from outspan_lonelypsp import session


def make_samples(count):
    words = random.Random(1).choices([b"%x " % (i * i * i) for i in range(900)], k=count * 40)
    return [b"".join(words[i:i + 40]) for i in range(0, len(words), 40)]


async def enable(auth, number, identifier, level):
    await auth.authorize_stateful_enable_zstd_custom(tracing=b"", url=f"websocket:nonce:{number:x}", compressor_identifier=identifier,
                                                     compression_level=level, min_size=32, max_size=16384, sha512=bytes(64), now=0)


async def train(compression, auth):
    assert compression.compression_allowed and compression.allow_training
    dictionary, level = await compression.train_compression_dict_low_watermark(make_samples(1000))
    await enable(auth, 1, 65536, level)
    peer.say(f"low {len(dictionary)}")
    dictionary, level = await compression.train_compression_dict_high_watermark(make_samples(5000))
    await auth.authorize_stateful_disable_zstd_custom(tracing=b"", url="websocket:nonce:2", compressor_identifier=65536, now=0)
    await enable(auth, 3, 65537, level)
    peer.say(f"high {len(dictionary)}")
    try:
        await compression.train_compression_dict_high_watermark([])
    except Exception as error:
        peer.say(f"failed {error}")


async def main():
    compression = outspan.TracedCompression(CompressionConfigFromParts(
        compression_allowed=True, compression_dictionary_by_id={}, outgoing_max_ws_message_size=None, allow_training=True,
        compression_min_size=32, compression_trained_max_size=16384, compression_training_low_watermark=100 << 10,
        compression_training_high_watermark=10 << 20, compression_retrain_interval_seconds=216000, decompression_max_window_size=0))
    stdin = await peer.lines()
    peer.ready("port=0")
    await stdin.readline()
    connection = session.Session({})
    session.current.set(connection)
    connection.opened()
    connection.configured(AuthResult.OK, bytes(32), True, True, 0, b"")
    connection.confirming(bytes(32))
    await train(compression, outspan.TracedAuth(peer.make_auth("none")))
    connection.disconnected(1000)
    connection.unregistered(0, 0)
    connection.ended()
    peer.say("done")
    await stdin.readline()


asyncio.run(main())

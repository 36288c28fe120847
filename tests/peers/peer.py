"""What the Python peers share: their options, authorization, and how they talk to the tests.

They are real lonelypsc and lonelypss in small programs. `ready: ...` on stderr when they serve; a line on stdout per
thing that a test may want to know of, from their own point of view.
"""
import argparse
import asyncio
import sys

import zstandard
from lonelypsp.auth.config import AuthConfig, AuthConfigFromParts
from lonelypsp.auth.helpers import hmac_auth_config as hmac
from lonelypsp.auth.helpers.none_auth_config import ToBroadcasterNoneAuth, ToSubscriberNoneAuth
from lonelypsp.auth.helpers.token_auth_config import ToBroadcasterTokenAuth, ToSubscriberTokenAuth


def options(doc: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--auth", default="none", help="none, token:SECRET or hmac:SECRET, in both directions")
    parser.add_argument("--tracing", default="outspan", choices=["outspan", "simple"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--expanded-headers", action="store_true", help="send headers with their names over web sockets")
    return parser


def make_auth(text: str) -> AuthConfig:
    kind, _, secret = text.partition(":")
    if kind == "none":
        return AuthConfigFromParts(ToBroadcasterNoneAuth(), ToSubscriberNoneAuth())
    if kind == "token":
        return AuthConfigFromParts(ToBroadcasterTokenAuth(token=secret), ToSubscriberTokenAuth(token=secret))
    db = hmac.IncomingHmacAuthDBReentrantConfig(hmac.IncomingHmacAuthSqliteDBConfig(":memory:"))
    return AuthConfigFromParts(hmac.ToBroadcasterHmacAuth(secret=secret, db_config=db),
                               hmac.ToSubscriberHmacAuth(secret=secret, db_config=db))


PRESET = 2  # the number of the dictionary that both sides have


def dictionaries(level: int):
    """What compresses messages of `abc...abc...` to next to nothing."""
    preset = zstandard.ZstdCompressionDict(bytes(range(97, 123)) * 64, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    preset.precompute_compress(level=level)
    return {PRESET: (preset, level)}


def say(text: str) -> None:
    print(text, flush=True)


def ready(text: str) -> None:
    print(f"ready: {text}", file=sys.stderr, flush=True)


async def lines() -> asyncio.StreamReader:
    """Standard input, read without a thread."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader

"""The seams of lonelypss: its tracer, authorization, store, retries, compression, web sockets and requests.

    config = ConfigFromParts(auth=TracedAuth(auth), db=TracedDB(SqliteDB("subs.db")), missed=TracedMissedRetry(missed),
                             compression=TracedCompression(compression), tracing=TracingConfig(), ...)
    fanout = TracedFanout(SimpleFanoutWSReceiver(..., db=config))
    app.add_middleware(TracingMiddleware)
"""
from typing import Optional

from lonelypss.config.config import MissedRetryConfig

from outspan_lonelypsp import broadcaster_notify
from outspan_lonelypsp.broadcaster_auth import TracedAuth
from outspan_lonelypsp.broadcaster_compression import TracedCompression
from outspan_lonelypsp.broadcaster_db import SqliteDB, TracedDB
from outspan_lonelypsp.broadcaster_fanout import TracedFanout
from outspan_lonelypsp.broadcaster_requests import TracingMiddleware
from outspan_lonelypsp.missed import delay_known
from outspan_lonelypsp.notify import HandleNotify

__all__ = ["BroadcasterRoot", "SqliteDB", "TracedAuth", "TracedCompression", "TracedDB", "TracedFanout", "TracedMissedRetry",
           "TracingConfig", "TracingMiddleware"]


class StatelessBroadcasterRoot:
    """A StatelessTracingBroadcasterRoot; lonelypss always gives None as the initializer."""

    def receive_notify(self, initializer: object, /) -> HandleNotify:
        return HandleNotify()


class BroadcasterRoot:
    """A TracingBroadcasterRoot."""

    def __init__(self) -> None:
        self._stateless = StatelessBroadcasterRoot()

    @property
    def stateless(self) -> StatelessBroadcasterRoot:
        return self._stateless


class TracingConfig:
    """lonelypss's `tracing`; it has nothing to set up: a tracer comes and goes from outside."""

    def __init__(self) -> None:
        self._tracer = BroadcasterRoot()

    async def setup_tracing(self) -> None:
        """Nothing to do."""

    @property
    def tracer(self) -> BroadcasterRoot:
        return self._tracer

    async def teardown_tracing(self) -> None:
        """Nothing to do."""


class TracedMissedRetry:
    """lonelypss's `missed`: as the one given, with what comes of a MISSED request in sight."""

    def __init__(self, inner: MissedRetryConfig) -> None:
        self.inner = inner

    async def get_delay_for_next_missed_retry(self, /, *, receive_url: str, missed_url: str, topic: bytes,
                                              attempts: int) -> Optional[float]:
        delay = await self.inner.get_delay_for_next_missed_retry(receive_url=receive_url, missed_url=missed_url,
                                                                 topic=topic, attempts=attempts)
        delay_known(attempts, delay)
        message = broadcaster_notify.find()
        if message is not None:
            message.delay_known(delay)
        return delay

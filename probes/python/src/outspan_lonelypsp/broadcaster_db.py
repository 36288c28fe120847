"""lonelypss's store: what becomes of requests that change subscriptions, and the marks of missed messages."""
from typing import AsyncIterable, AsyncIterator, Literal, Optional

from lonelypss.config.config import DBConfig, LockedMissedInfo, MissedInfo, SubscriberInfo
from lonelypss.config.helpers.sqlite_db_config import SqliteDBConfig
from lonelypss.config.set_subscriptions_info import SetSubscriptionsInfo
from lonelypsp.stateless.make_strong_etag import StrongEtag

from outspan_lonelypsp import broadcaster_notify, missed, points
from outspan_lonelypsp.changes import SetExchange, applied
from outspan_lonelypsp.exchange import current, find, observer


@observer
def subscribed(result: str) -> None:
    op = find(points.handle_subscribe_exact) or find(points.handle_subscribe_glob)
    if op is None:
        return
    if result == "success":
        op.stored()
    elif result == "conflict":
        op.already_subscribed()
    else:
        op.unavailable()


@observer
def unsubscribed(result: str) -> None:
    op = find(points.handle_unsubscribe_exact) or find(points.handle_unsubscribe_glob)
    if op is None:
        return
    if result == "success":
        op.stored()
    elif result == "not_found":
        op.not_subscribed()
    else:
        op.unavailable()


@observer
def computed(etag: StrongEtag) -> None:
    op = find(points.handle_check_subscriptions)
    if op is not None:
        op.etag_computed(etag.etag)


class SqliteDB(SqliteDBConfig):
    """As lonelypss's SqliteDBConfig, with each subscription that a SET changes in sight."""

    async def subscribe_exact(self, /, *, url: str, recovery: Optional[str],
                              exact: bytes) -> Literal["success", "conflict", "unavailable"]:
        result = await super().subscribe_exact(url=url, recovery=recovery, exact=exact)
        applied(points.PATTERN_EXACT, exact, added=result == "success", removed=False)
        return result

    async def unsubscribe_exact(self, /, *, url: str, exact: bytes) -> Literal["success", "not_found", "unavailable"]:
        result = await super().unsubscribe_exact(url=url, exact=exact)
        applied(points.PATTERN_EXACT, exact, added=False, removed=result == "success")
        return result

    async def subscribe_glob(self, /, *, url: str, recovery: Optional[str],
                             glob: str) -> Literal["success", "conflict", "unavailable"]:
        result = await super().subscribe_glob(url=url, recovery=recovery, glob=glob)
        applied(points.PATTERN_GLOB, glob, added=result == "success", removed=False)
        return result

    async def unsubscribe_glob(self, /, *, url: str, glob: str) -> Literal["success", "not_found", "unavailable"]:
        result = await super().unsubscribe_glob(url=url, glob=glob)
        applied(points.PATTERN_GLOB, glob, added=False, removed=result == "success")
        return result

    def rows_changed(self) -> int:
        """Rows that this connection has changed so far; SQLite counts them."""
        return self.connection.total_changes if self.connection is not None else 0


class TracedDB:
    """lonelypss's `db`: as the one given, with what is asked of it in sight."""

    def __init__(self, inner: DBConfig) -> None:
        self.inner = inner

    async def setup_db(self) -> None:
        await self.inner.setup_db()

    async def teardown_db(self) -> None:
        await self.inner.teardown_db()

    async def subscribe_exact(self, /, *, url: str, recovery: Optional[str],
                              exact: bytes) -> Literal["success", "conflict", "unavailable"]:
        result = await self.inner.subscribe_exact(url=url, recovery=recovery, exact=exact)
        subscribed(result)
        return result

    async def unsubscribe_exact(self, /, *, url: str, exact: bytes) -> Literal["success", "not_found", "unavailable"]:
        message = broadcaster_notify.find()
        if message is not None:
            message.unsubscribing(url)
        result = await self.inner.unsubscribe_exact(url=url, exact=exact)
        unsubscribed(result)
        if message is not None:
            message.unsubscribed(url, result)
        return result

    async def subscribe_glob(self, /, *, url: str, recovery: Optional[str],
                             glob: str) -> Literal["success", "conflict", "unavailable"]:
        result = await self.inner.subscribe_glob(url=url, recovery=recovery, glob=glob)
        subscribed(result)
        return result

    async def unsubscribe_glob(self, /, *, url: str, glob: str) -> Literal["success", "not_found", "unavailable"]:
        message = broadcaster_notify.find()
        if message is not None:
            message.unsubscribing(url)
        result = await self.inner.unsubscribe_glob(url=url, glob=glob)
        unsubscribed(result)
        if message is not None:
            message.unsubscribed(url, result)
        return result

    async def check_subscriptions(self, /, *, url: str) -> StrongEtag:
        etag = await self.inner.check_subscriptions(url=url)
        computed(etag)
        return etag

    async def set_subscriptions(self, /, *, url: str, strong_etag: StrongEtag,
                                subscriptions: SetSubscriptionsInfo) -> Literal["success", "unavailable"]:
        exchange = current.get()
        if not isinstance(exchange, SetExchange):
            return await self.inner.set_subscriptions(url=url, strong_etag=strong_etag, subscriptions=subscriptions)
        counter = self.inner.rows_changed if isinstance(self.inner, SqliteDB) else None
        exchange.begin(counter)
        result = await self.inner.set_subscriptions(url=url, strong_etag=strong_etag, subscriptions=subscriptions)
        exchange.end(result)
        return result

    def get_subscribers(self, /, *, topic: bytes) -> AsyncIterable[SubscriberInfo]:
        message, subscribers = broadcaster_notify.find(), self.inner.get_subscribers(topic=topic)
        return subscribers if message is None else message.serve(subscribers)

    async def upsert_missed(self, /, *, info: MissedInfo) -> Literal["success", "unavailable"]:
        message, result = broadcaster_notify.find(), await self.inner.upsert_missed(info=info)
        if message is not None:
            message.noted(result, info.next_retry_at)
        return result

    async def get_overdue_missed_with_lock(self, /, *, now: float) -> AsyncIterator[LockedMissedInfo]:
        op = points.sweep_missed()
        op.sweep_start()
        count = 0
        try:
            async for info in self.inner.get_overdue_missed_with_lock(now=now):
                count += 1
                traced = missed.TracedLockedMissedInfo(info)
                missed.current.set(traced.telling)
                yield traced
            op.sweep_done(count)
        finally:
            missed.current.set(None)
            op.leave()

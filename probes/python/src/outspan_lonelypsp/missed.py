"""A MISSED that lonelypss sends: from the store's mark that is due to the mark's release.

One at a time per sweep: a context variable holds it while the sweep has it.
"""
import sys
from contextvars import ContextVar
from typing import Literal, Optional

import aiohttp
from lonelypss.config.config import LockedMissedInfo, MissedInfo, MutableMissedInfo, SubscriberInfoType
from lonelypss.config.helpers.sqlite_db_config import SqliteLockedMissedInfo
from lonelypsp.auth.config import AuthResult

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import cause_of, observer


class Telling:
    """One mark's operation, and whether its answer has been judged."""

    def __init__(self, info: MissedInfo) -> None:
        self.op = points.tell_missed()
        self.op.silence()  # upstream sends an empty tracing field
        self.judged = False
        who = info.subscriber_info
        glob = who.glob if who.type == SubscriberInfoType.GLOB else b""
        self.op.due(who.recovery, who.url, info.topic, glob, info.attempts, info.next_retry_at)
        if who.recovery is None:
            self.op.no_recovery()


current: "ContextVar[Optional[Telling]]" = ContextVar("outspan_missed", default=None)


@observer
def sending() -> None:
    telling = current.get()
    if telling is not None:
        telling.op.sending_missed()


@observer
def checked(result: AuthResult, tracing: bytes) -> None:
    """What the answer's authorization is: the last thing that is judged of an answer."""
    telling = current.get()
    if telling is None:
        return
    telling.judged = True
    if result == AuthResult.OK:
        telling.op.missed_confirmed(tracing)
    else:
        telling.op.bad_auth_result(result)


@observer
def delay_known(attempts: int, delay: Optional[float]) -> None:
    """lonelypss asks for the delay while it handles what went wrong; the delay is what it stores as the time."""
    telling = current.get()
    if telling is None:
        return
    if not telling.judged:
        telling.judged = True
        if isinstance(sys.exc_info()[1], aiohttp.ClientError):
            telling.op.network_error()
        else:
            telling.op.bad_response()
    if delay is None:
        telling.op.retries_exhausted()
    else:
        telling.op.waiting_to_retry(attempts, delay)


@observer
def released(telling: Telling, result: str, deleted: bool) -> None:
    if result == "ok":
        telling.op.release_ok(deleted)
    elif result == "conflict":
        telling.op.release_conflict()
    else:
        telling.op.release_unavailable()


class TracedLockedMissedInfo:
    """A LockedMissedInfo whose release ends the operation."""

    def __init__(self, inner: LockedMissedInfo) -> None:
        self.inner = inner
        self.telling = Telling(inner.info)

    @property
    def info(self) -> MissedInfo:
        return self.inner.info

    async def release(self, /, *, new_info: Optional[MutableMissedInfo] = None) -> Literal["conflict", "unavailable", "ok"]:
        # The SQLite store keeps the mark in the subscription's row, and deletes that.
        deleted = new_info is None and isinstance(self.inner, SqliteLockedMissedInfo)
        try:
            result = await self.inner.release(new_info=new_info)
        except BaseException as error:
            self.telling.op.leave(cause_of(error))
            raise
        released(self.telling, result, deleted)
        return result

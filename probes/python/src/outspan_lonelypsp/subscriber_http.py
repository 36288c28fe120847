"""What a lonelypsc that speaks HTTP asks a broadcaster for: changes of its subscriptions, one or the whole set.

The application asks the client, which chooses how (TracedPubSubClient); its connector sends a request to one
broadcaster after the other (TracedConnector), whose heads an aiohttp TraceConfig sees. All of it runs in the
application's task, so that context variables say which is meant.
"""
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple, Type, TypeVar, Union

import aiohttp
from lonelypsc.client import DirectSubscribeMultipleResult, PubSubClient, PubSubRequestAmbiguousError
from lonelypsc.config.http_config import HttpPubSubConfig
from lonelypsc.http_client import HttpPubSubClientConnector
from lonelypsp.stateless.make_strong_etag import StrongEtag

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import cause_of, observer, signature_of

InitializerT = TypeVar("InitializerT")
NotifierT = TypeVar("NotifierT")
Key = Union[bytes, str]
Change = Union[points.subscribe_exact, points.subscribe_glob, points.unsubscribe_exact, points.unsubscribe_glob]
Asking = Union[Change, points.set_subscriptions, points.check_subscriptions]

RETRYABLE = (502, 503, 504)
CONFLICT = 409
ASKED_MAX = 256  # changes that one call of the application is shown with; those beyond show as the request's alone


# ---- what the application asks for ---------------------------------------------------------------------


class Asked:
    """The changes that one call of the application asks for, until the client has chosen how to make them."""

    def __init__(self, wanted: Iterable[Tuple[Type[Change], Key]]) -> None:
        self.changes: Dict[Tuple[Type[Change], Key], Change] = {}
        for kind, key in wanted:
            if len(self.changes) < ASKED_MAX:
                self.changes[kind, key] = op = kind()
                op.silence()
                op.start(key)

    def take(self, kind: Type[Change], key: Key) -> Optional[Change]:
        """The change that a request of its own is to make."""
        return self.changes.pop((kind, key), None)

    def first(self) -> Optional[Change]:
        return next(iter(self.changes.values()), None)

    @observer
    def use_bulk(self, num_exact: int, num_globs: int) -> None:
        for op in self.changes.values():
            op.use_bulk(num_exact, num_globs)
            op.lock_acquired()

    @observer
    def bulk_done(self, accepted: bool) -> None:
        for op in self.changes.values():
            op.bulk_accepted() if accepted else op.bulk_failed()
        self.changes.clear()

    @observer
    def counted(self, exact: Dict[bytes, int], globs: Dict[str, int]) -> None:
        """Nothing was sent for those that are left: only the number of users has changed."""
        for (_, key), op in self.changes.items():
            op.refcount_only(exact.get(key, 0) if isinstance(key, bytes) else globs.get(key, 0))

    @observer
    def left(self, error: BaseException) -> None:
        for op in self.changes.values():
            op.leave(cause_of(error))


asked: "ContextVar[Optional[Asked]]" = ContextVar("outspan_asked", default=None)


class TracedPubSubClient(PubSubClient[InitializerT, NotifierT]):
    """lonelypsc's client, with what the application asks it to subscribe to in sight."""

    @contextmanager
    def _asking(self, wanted: Iterable[Tuple[Type[Change], Key]]) -> Iterator[None]:
        group = Asked(wanted)
        token = asked.set(group)
        try:
            yield
            group.counted(self.exact_subscriptions, self.glob_subscriptions)
        except BaseException as error:
            group.left(error)
            raise
        finally:
            asked.reset(token)

    async def direct_subscribe_multiple(self, /, exact: Iterable[bytes], glob: Iterable[str]) -> DirectSubscribeMultipleResult:
        topics, globs = list(exact), list(glob)
        wanted: List[Tuple[Type[Change], Key]] = [(points.subscribe_exact, topic) for topic in topics]
        wanted += [(points.subscribe_glob, pattern) for pattern in globs]
        with self._asking(wanted):
            return await super().direct_subscribe_multiple(exact=topics, glob=globs)

    async def direct_unsubscribe_exact(self, /, *, subscription_id: int) -> None:
        topic = self.active_exact_subscriptions.get(subscription_id)
        with self._asking([] if topic is None else [(points.unsubscribe_exact, topic)]):
            await super().direct_unsubscribe_exact(subscription_id=subscription_id)

    async def direct_unsubscribe_glob(self, /, *, subscription_id: int) -> None:
        glob = self.active_glob_subscriptions.get(subscription_id)
        with self._asking([] if glob is None else [(points.unsubscribe_glob, glob)]):
            await super().direct_unsubscribe_glob(subscription_id=subscription_id)


# ---- a request -----------------------------------------------------------------------------------------


class Request:
    """One request, tried at one broadcaster after the other, as often as lonelypsc's retrying loop does."""

    def __init__(self, op: Asking, key: Optional[Key], config: HttpPubSubConfig[InitializerT]) -> None:
        self.op = op
        self.key = key
        self.url = ""
        self.recovery: Optional[str] = None
        self.etag = b""
        self.signature = ""
        self.attempts = 0
        self.answered = False  # the last attempt has a head, and all that is left is its body
        self.broadcasters = len(config.broadcasters)
        self.passes = config.outgoing_retries_per_broadcaster
        self.retry_ambiguous = config.outgoing_retry_ambiguous

    @observer
    def signing(self, url: str, recovery: Optional[str], etag: bytes) -> None:
        self.url, self.recovery, self.etag = url, recovery, etag
        if isinstance(self.op, points.set_subscriptions):
            self.op.etag_computed(etag)

    @observer
    def signed(self, authorization: Optional[str]) -> None:
        self.signature = signature_of(authorization)

    @observer
    def sending(self, broadcaster: str) -> None:
        """The next attempt; what it says of itself differs."""
        op = self.op
        if self.attempts:
            op.retrying()
        self.attempts += 1
        self.answered = False
        if isinstance(op, points.set_subscriptions):
            op.sending_request(broadcaster, self.url, self.etag)
        elif isinstance(op, points.check_subscriptions):
            op.sending_request(broadcaster, self.url)
        else:
            op.sending_request(broadcaster, self.url, self.recovery, self.key, self.signature)

    @observer
    def responded(self, status: int) -> None:
        op = self.op
        op.response_received(status)
        if status in RETRYABLE:
            op.retryable_status()
            self._again(False)
        elif status == CONFLICT and not isinstance(op, (points.set_subscriptions, points.check_subscriptions)):
            op.conflict_accepted()
        elif not 200 <= status < 300:
            op.refused_status()
        else:
            self.answered = True

    @observer
    def failed(self, error: BaseException) -> None:
        """No head came. What is no error of the client's is none of lonelypsc's to retry."""
        if isinstance(error, aiohttp.ClientError):
            self.op.network_error()
            self._again(True)

    def _again(self, ambiguous: bool) -> None:
        """What lonelypsc does next: it pauses when it has tried all broadcasters."""
        if ambiguous and not self.retry_ambiguous:
            self.op.retry_prevented()
        elif self.attempts >= self.broadcasters * self.passes:
            self.op.retries_exhausted()
        elif self.attempts % self.broadcasters == 0:
            self.op.waiting_to_retry()

    @observer
    def accepted(self, etag: bytes) -> None:
        """lonelypsc takes the answer for a success; it checks none."""
        op = self.op
        if op.ended:
            return
        if isinstance(op, points.set_subscriptions):
            op.response_set_accepted()
        elif isinstance(op, points.check_subscriptions):
            op.response_check_accepted(etag)
        else:
            op.response_generic_accepted()

    @observer
    def raised(self, error: BaseException) -> None:
        """The request's end, if no attempt's: an answer whose body broke off or says something else, a time-out, a cancel."""
        if self.answered and isinstance(error, (PubSubRequestAmbiguousError, ValueError, AssertionError)):
            self.op.bad_response()
            if not self.op.ended:
                self._again(True)
        self.op.leave(cause_of(error))


current: "ContextVar[Optional[Request]]" = ContextVar("outspan_request", default=None)


async def request_started(session: aiohttp.ClientSession, context: SimpleNamespace,
                          params: aiohttp.TraceRequestStartParams) -> None:
    request = current.get()
    if request is not None:
        request.sending(str(params.url).rsplit("/v1/", 1)[0])


async def request_ended(session: aiohttp.ClientSession, context: SimpleNamespace,
                        params: aiohttp.TraceRequestEndParams) -> None:
    request = current.get()
    if request is not None:
        request.responded(params.response.status)


async def request_failed(session: aiohttp.ClientSession, context: SimpleNamespace,
                         params: aiohttp.TraceRequestExceptionParams) -> None:
    request = current.get()
    if request is not None:
        request.failed(params.exception)


def trace_config() -> aiohttp.TraceConfig:
    """What shows the heads of a session's requests; publishing has points of its own."""
    config = aiohttp.TraceConfig()
    signals: Any = config  # aiohttp 3.11 says of its lists of callbacks that they hold lists
    signals.on_request_start.append(request_started)
    signals.on_request_end.append(request_ended)
    signals.on_request_exception.append(request_failed)
    config.freeze()
    return config


class TracedConnector(HttpPubSubClientConnector[InitializerT]):
    """lonelypsc's connector, with its requests in sight."""

    async def setup_connector(self) -> None:
        await super().setup_connector()
        if self._session is not None:
            self._session.trace_configs.append(trace_config())

    @contextmanager
    def _requesting(self, op: Asking, key: Optional[Key] = None) -> Iterator[Request]:
        request = Request(op, key, self.config)
        token = current.set(request)
        try:
            yield request
        except BaseException as error:
            request.raised(error)
            raise
        finally:
            current.reset(token)

    @contextmanager
    def _changing(self, kind: Type[Change], key: Key) -> Iterator[None]:
        """A request for one change, which the application may have asked for or not."""
        group = asked.get()
        op = group.take(kind, key) if group is not None else None
        if op is None:
            op = kind()
            op.silence()
            op.start(key)
        op.use_direct()
        op.lock_acquired()
        with self._requesting(op, key) as request:
            yield
            request.accepted(b"")

    async def subscribe_exact(self, /, *, topic: bytes) -> None:
        with self._changing(points.subscribe_exact, topic):
            await super().subscribe_exact(topic=topic)

    async def subscribe_glob(self, /, *, glob: str) -> None:
        with self._changing(points.subscribe_glob, glob):
            await super().subscribe_glob(glob=glob)

    async def unsubscribe_exact(self, /, *, topic: bytes) -> None:
        with self._changing(points.unsubscribe_exact, topic):
            await super().unsubscribe_exact(topic=topic)

    async def unsubscribe_glob(self, /, *, glob: str) -> None:
        with self._changing(points.unsubscribe_glob, glob):
            await super().unsubscribe_glob(glob=glob)

    async def set_subscriptions(self, /, *, exact: List[bytes], globs: List[str]) -> None:
        group = asked.get() or Asked([])
        group.use_bulk(len(exact), len(globs))
        op = points.set_subscriptions()
        op.silence()
        op.start(group.first(), len(exact), len(globs))
        accepted = False
        try:
            with self._requesting(op) as request:
                await super().set_subscriptions(exact=exact, globs=globs)
                request.accepted(b"")
                accepted = True
        finally:
            group.bulk_done(accepted)

    async def check_subscriptions(self) -> StrongEtag:
        op = points.check_subscriptions()
        op.silence()
        op.start()
        with self._requesting(op) as request:
            etag = await super().check_subscriptions()
            request.accepted(etag.etag)
            return etag

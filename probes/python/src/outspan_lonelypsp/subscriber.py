"""The seams of lonelypsc over HTTP: publishing, and the requests that a broadcaster sends here.

    config = make_http_pub_sub_config(..., bind=traced_bind(bind), auth=TracedAuth(auth), tracing=SubscriberRoot())
    client = TracedHttpPubSubClient(config)     # as HttpPubSubClient, with the handlers in sight
"""
from typing import Any, Callable, Coroutine, Optional, TypeVar, Union

from fastapi import APIRouter
from fastapi.routing import APIRoute
from lonelypsc.client import (
    PubSubClient,
    PubSubClientConnectionStatus,
    PubSubClientMessageWithCleanup,
    PubSubClientReceiver,
    PubSubDirectConnectionStatusReceiver,
    PubSubDirectOnMessageWithCleanupReceiver,
)
from lonelypsc.config.helpers.uvicorn_bind_config import handle_bind_with_uvicorn
from lonelypsc.config.http_config import HttpPubSubBindManualConfig, HttpPubSubBindUvicornConfig, HttpPubSubConfig
from lonelypsc.http_client import HttpPubSubClientConnector, HttpPubSubClientReceiver
from lonelypsp.auth.config import AuthConfig, AuthConfigFromParts, AuthResult
from lonelypsp.tracing.stateless.notify import StatelessTracingNotifyOnSending
from starlette.requests import Request
from starlette.responses import Response

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import Exchange, cause_of, current, find, observer
from outspan_lonelypsp.notify import Notify

InitializerT = TypeVar("InitializerT")


class SubscriberRoot:
    """A StatelessTracingSubscriberRoot: lonelypsc's `tracing`. The initializer says nothing to outspan."""

    def notify(self, initializer: object, /) -> Notify:
        return Notify()


# ---- requests ----------------------------------------------------------------------------------------


@observer
def answered_receive(op: points.receive, exchange: Exchange, status: int) -> None:
    """An answer that no other seam has explained."""
    if status == 503:
        op.abandoned()
    elif b"sha-512=" not in exchange.headers.get(b"repr-digest", b""):
        op.bad_digest_header()
    else:
        op.bad_request()


@observer
def answered(exchange: Exchange, status: int) -> None:
    op = exchange.operation
    if op.ended or status == 200:
        return
    if isinstance(op, points.handle_missed):
        if status == 503:
            op.abandoned()
    elif isinstance(op, points.receive) and not exchange.identifier:
        answered_receive(op, exchange, status)
    elif isinstance(op, points.receive) and status == 400:
        op.length_mismatch()
    elif isinstance(op, points.receive) and status == 403:
        op.hash_mismatch()


@observer
def left(op: points.Operation, error: BaseException) -> None:
    """The application's code raised, or the request was cancelled."""
    if isinstance(op, points.handle_missed) and isinstance(error, ValueError):
        op.bad_request()
    op.leave(cause_of(error))


def begin(request: Request) -> Optional[Exchange]:
    """The exchange of a request of the protocol."""
    op: Union[points.receive, points.handle_missed]
    path = request.url.path
    if path.endswith("/v1/receive"):
        op = points.receive()
    elif path.endswith("/v1/recover"):
        op = points.handle_missed()
    else:
        return None
    exchange = Exchange(op, request.scope["headers"])
    op.received()
    return exchange


class TracedRoute(APIRoute):
    """A route of lonelypsc's router: its requests are operations."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            exchange = begin(request)
            if exchange is None:
                return await inner(request)
            token = current.set(exchange)
            try:
                response = await inner(request)
                answered(exchange, response.status_code)
                return response
            except BaseException as error:
                left(exchange.operation, error)
                raise
            finally:
                current.reset(token)
                exchange.operation.leave()

        return handle


class TracedCallback:
    """An HttpPubSubBindManualCallback that serves the same routes with their requests in sight."""

    def __init__(self, inner: Callable[[APIRouter], Coroutine[Any, Any, None]]) -> None:
        self.inner = inner

    async def __call__(self, router: APIRouter) -> None:
        traced = APIRouter(route_class=TracedRoute)
        for route in router.routes:
            if isinstance(route, APIRoute):
                traced.add_api_route(route.path, route.endpoint, methods=sorted(route.methods))
            else:
                traced.routes.append(route)
        await self.inner(traced)


async def serve_uvicorn(bind: HttpPubSubBindUvicornConfig, router: APIRouter) -> None:
    manual = await handle_bind_with_uvicorn(bind)
    await TracedCallback(manual["callback"])(router)


def traced_bind(bind: Union[HttpPubSubBindUvicornConfig, HttpPubSubBindManualConfig]) -> HttpPubSubBindManualConfig:
    """lonelypsc's `bind`: as the one given, with the broadcaster's requests in sight."""
    if bind["type"] == "manual":
        return {"type": "manual", "callback": TracedCallback(bind["callback"])}
    uvicorn = bind

    async def callback(router: APIRouter) -> None:
        await serve_uvicorn(uvicorn, router)

    return {"type": "manual", "callback": callback}


# ---- authorization -----------------------------------------------------------------------------------


@observer
def receive_checked(exchange: Exchange, topic: bytes, identifier: bytes, tracing: bytes, result: AuthResult) -> None:
    op = exchange.operation
    if not isinstance(op, points.receive):
        return
    exchange.topic, exchange.identifier, exchange.tracing = topic, identifier, tracing
    op.request_parsed(topic, identifier, exchange.message_length(), tracing)
    if result == AuthResult.UNAVAILABLE:
        op.auth_unavailable()
    elif result != AuthResult.OK:
        op.bad_auth_result(result)
    else:
        op.auth_tentatively_accepted()


@observer
def receive_accepted(exchange: Exchange) -> None:
    """The body is read and its hash compared: that is known when the first handler is called, or the answer made."""
    op = exchange.operation
    if isinstance(op, points.receive) and not exchange.accepted:
        exchange.accepted = True
        op.auth_accepted(exchange.topic, exchange.identifier, exchange.message_length(), exchange.tracing)


@observer
def receive_confirmed(exchange: Exchange, num_subscribers: int) -> None:
    op = exchange.operation
    if isinstance(op, points.receive):
        receive_accepted(exchange)
        op.no_more_handlers()
        op.sending_response(num_subscribers)


@observer
def missed_checked(topic: bytes, recovery: str, tracing: bytes, result: AuthResult) -> None:
    op = find(points.handle_missed)
    if op is None:
        return
    if result == AuthResult.OK:
        op.auth_accepted(topic, recovery, tracing)
    else:
        op.bad_auth_result(result)


@observer
def missed_confirmed() -> None:
    op = find(points.handle_missed)
    if op is not None:
        op.sending_response()


class TracedAuth(AuthConfigFromParts):
    """lonelypsc's `auth`: as the one given, with the checks in sight."""

    def __init__(self, auth: AuthConfig) -> None:
        super().__init__(auth, auth)

    async def is_receive_allowed(self, /, *, tracing: bytes, url: str, topic: bytes, message_sha512: bytes, identifier: bytes,
                                 now: float, authorization: Optional[str]) -> AuthResult:
        result = await super().is_receive_allowed(tracing=tracing, url=url, topic=topic, message_sha512=message_sha512,
                                                  identifier=identifier, now=now, authorization=authorization)
        exchange = current.get()
        if exchange is not None:
            receive_checked(exchange, topic, identifier, tracing, result)
        return result

    async def authorize_confirm_receive(self, /, *, tracing: bytes, identifier: bytes, num_subscribers: int, url: str,
                                        now: float) -> Optional[str]:
        exchange = current.get()
        if exchange is not None:
            receive_confirmed(exchange, num_subscribers)
        return await super().authorize_confirm_receive(tracing=tracing, identifier=identifier,
                                                       num_subscribers=num_subscribers, url=url, now=now)

    async def is_missed_allowed(self, /, *, tracing: bytes, recovery: str, topic: bytes, now: float,
                                authorization: Optional[str]) -> AuthResult:
        result = await super().is_missed_allowed(tracing=tracing, recovery=recovery, topic=topic, now=now,
                                                 authorization=authorization)
        missed_checked(topic, recovery, tracing, result)
        return result

    async def authorize_confirm_missed(self, /, *, tracing: bytes, topic: bytes, url: str, now: float) -> Optional[str]:
        missed_confirmed()
        return await super().authorize_confirm_missed(tracing=tracing, topic=topic, url=url, now=now)


# ---- handlers ----------------------------------------------------------------------------------------


@observer
def handler_started(exchange: Exchange) -> None:
    op = exchange.operation
    if isinstance(op, points.receive):
        receive_accepted(exchange)
        op.handler_start(exchange.handler)
        exchange.handler += 1


class TracedHandler:
    """A handler of messages: each call is a nested span, until the message is cleaned up."""

    def __init__(self, inner: PubSubDirectOnMessageWithCleanupReceiver) -> None:
        self.inner = inner

    async def on_message(self, message: PubSubClientMessageWithCleanup) -> None:
        exchange = current.get()
        op = find(points.receive)
        if exchange is None or op is None:
            return await self.inner.on_message(message)
        handler_started(exchange)
        done = False

        async def cleanup() -> None:
            nonlocal done
            if not done and op is not None:
                done = True
                op.handler_done()
            await message.cleanup()

        try:
            await self.inner.on_message(PubSubClientMessageWithCleanup(
                topic=message.topic, sha512=message.sha512, data=message.data, cleanup=cleanup))
        except BaseException as error:
            if not done:
                done = True
                op.handler_error() if isinstance(error, Exception) else op.handler_canceled()
            raise
        if not done:
            op.handler_buffered()


class TracedReceiver:
    """A PubSubClientReceiver that passes everything on, with the handlers of messages in sight."""

    def __init__(self, inner: PubSubClientReceiver) -> None:
        self.inner = inner

    @property
    def connection_status(self) -> PubSubClientConnectionStatus:
        return self.inner.connection_status

    async def setup_receiver(self) -> None:
        await self.inner.setup_receiver()

    async def teardown_receiver(self) -> None:
        await self.inner.teardown_receiver()

    async def register_on_message(self, /, *, receiver: PubSubDirectOnMessageWithCleanupReceiver) -> int:
        return await self.inner.register_on_message(receiver=TracedHandler(receiver))

    async def unregister_on_message(self, /, *, registration_id: int) -> None:
        await self.inner.unregister_on_message(registration_id=registration_id)

    async def register_status_handler(self, /, *, receiver: PubSubDirectConnectionStatusReceiver) -> int:
        return await self.inner.register_status_handler(receiver=receiver)

    async def unregister_status_handler(self, /, *, registration_id: int) -> None:
        await self.inner.unregister_status_handler(registration_id=registration_id)


def TracedHttpPubSubClient(
        config: HttpPubSubConfig[InitializerT]) -> "PubSubClient[InitializerT, StatelessTracingNotifyOnSending]":
    """As lonelypsc's HttpPubSubClient, with the handlers of messages in sight."""

    async def setup() -> None:
        await config.setup_to_subscriber_auth()
        try:
            await config.setup_to_broadcaster_auth()
        except BaseException:
            await config.teardown_to_subscriber_auth()
            raise

    async def teardown() -> None:
        try:
            await config.teardown_to_broadcaster_auth()
        finally:
            await config.teardown_to_subscriber_auth()

    return PubSubClient(HttpPubSubClientConnector(config), TracedReceiver(HttpPubSubClientReceiver(config)),
                        setup=setup, teardown=teardown)

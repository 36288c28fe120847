"""The requests that a broadcaster sends to lonelypsc over HTTP: RECEIVE and MISSED, from their head to their answer."""
from typing import Any, Callable, Coroutine, Optional, Union

from fastapi import APIRouter
from fastapi.routing import APIRoute
from lonelypsc.config.helpers.uvicorn_bind_config import handle_bind_with_uvicorn
from lonelypsc.config.http_config import HttpPubSubBindManualConfig, HttpPubSubBindUvicornConfig
from lonelypsp.auth.config import AuthResult
from starlette.requests import Request
from starlette.responses import Response

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import Exchange, cause_of, current, find, observer


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


# ---- what their authorization says --------------------------------------------------------------------


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
def lost_told(handlers: int) -> None:
    """One more of so many handlers was told that the connection is lost, for a message was missed."""
    exchange, op = current.get(), find(points.handle_missed)
    if exchange is not None and op is not None:
        exchange.told += 1
        if exchange.told == handlers:
            exchange.told = 0
            op.connection_lost(handlers)


@observer
def established_told(handlers: int) -> None:
    """One more of so many handlers was told that the connection is there again."""
    exchange, op = current.get(), find(points.handle_missed)
    if exchange is not None and op is not None:
        exchange.told += 1
        if exchange.told == handlers:
            exchange.accepted = True
            op.connection_established(handlers)


@observer
def missed_confirmed() -> None:
    exchange, op = current.get(), find(points.handle_missed)
    if exchange is not None and op is not None:
        if not exchange.accepted:
            op.connection_established(0)
        op.sending_response()

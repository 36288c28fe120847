"""The requests that a broadcaster gets, as ASGI middleware: where they begin and with which status they end."""
import errno
from typing import Any, Awaitable, Callable, Dict, MutableMapping, Optional, Type

from outspan_lonelypsp import points, session
from outspan_lonelypsp.changes import SetExchange
from outspan_lonelypsp.exchange import Exchange, cause_of, current, observer

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

WEBSOCKET = "/v1/websocket"
# NOTIFY has a tracer of its own.
REQUESTS: Dict[str, Type[points.Operation]] = {
    "/v1/subscribe/exact": points.handle_subscribe_exact,
    "/v1/subscribe/glob": points.handle_subscribe_glob,
    "/v1/unsubscribe/exact": points.handle_unsubscribe_exact,
    "/v1/unsubscribe/glob": points.handle_unsubscribe_glob,
    "/v1/check_subscriptions": points.handle_check_subscriptions,
    "/v1/set_subscriptions": points.handle_set_subscriptions,
    "/v1/receive_for_websockets": points.receive_for_websockets,
    "/v1/missed_for_websockets": points.missed_for_websockets,
}


def path_of(scope: Message) -> str:
    """The path of the protocol, without the prefix that the application is mounted at."""
    path, root = str(scope.get("path", "")), str(scope.get("root_path", ""))
    return path[len(root):] if root and path.startswith(root) else path


def begin(scope: Message) -> Optional[Exchange]:
    kind = REQUESTS.get(path_of(scope))
    if kind is None or scope.get("method") != "POST":
        return None
    op = kind()
    headers = scope.get("headers", [])
    exchange = SetExchange(op, headers) if isinstance(op, points.handle_set_subscriptions) else Exchange(op, headers)
    op.received()  # type: ignore[attr-defined]
    return exchange


@observer
def rejected(exchange: Exchange, body_size: int) -> None:
    """A status 400 that no other seam has explained: from where the operation is, what it must have been."""
    op = exchange.operation
    if op.ended:
        return
    if isinstance(op, points.receive_for_websockets):
        if exchange.identifier:
            op.leave(errno.EBADMSG)  # the length or the hash is wrong; upstream does not say which
        elif b"sha-512=" not in exchange.headers.get(b"repr-digest", b""):
            op.bad_digest_header()
        elif body_size:
            op.wrong_url()
        else:
            op.bad_request()
    elif isinstance(op, points.missed_for_websockets):
        op.wrong_url()
    else:
        op.bad_request()  # type: ignore[attr-defined]


class TracingMiddleware:
    """Wraps the whole application: `app.add_middleware(TracingMiddleware)`."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and path_of(scope) == WEBSOCKET:
            return await self.websocket(scope, receive, send)
        exchange = begin(scope) if scope["type"] == "http" else None
        if exchange is None:
            return await self.app(scope, receive, send)
        return await self.request(exchange, scope, receive, send)

    async def request(self, exchange: Exchange, scope: Message, receive: Receive, send: Send) -> None:
        status = 0

        async def traced_receive() -> Message:
            message = await receive()
            if isinstance(exchange, SetExchange):
                exchange.body.feed(message.get("body", b""))
            return message

        async def traced_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif status == 400:
                rejected(exchange, len(message.get("body", b"")))
            await send(message)

        token = current.set(exchange)
        try:
            await self.app(scope, traced_receive, traced_send)
        except BaseException as error:
            if isinstance(exchange.operation, points.missed_for_websockets) and isinstance(error, ValueError):
                exchange.operation.bad_request()
            exchange.operation.leave(cause_of(error))
            raise
        finally:
            current.reset(token)
            exchange.operation.leave()

    async def websocket(self, scope: Message, receive: Receive, send: Send) -> None:
        connection = session.Session(scope)

        async def traced_receive() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive":
                connection.received(message.get("bytes") or b"")
            elif message["type"] == "websocket.disconnect":
                connection.disconnected(message.get("code", 0))
            return message

        async def traced_send(message: Message) -> None:
            data = message.get("bytes") or b""
            connection.sending(data)
            await send(message)
            connection.sent(data)
            if message["type"] == "websocket.accept":
                connection.opened()

        token = session.current.set(connection)
        try:
            await self.app(scope, traced_receive, traced_send)
        except BaseException as error:
            connection.failed(error)
            raise
        finally:
            session.current.reset(token)
            connection.ended()

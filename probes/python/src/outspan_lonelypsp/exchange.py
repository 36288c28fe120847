"""Which operation a seam speaks of: the one of the request that its task handles.

A request's operation is found by a context variable, which tasks copy when they are made, never by
thread: one event loop handles many requests at a time.
"""
import errno
import functools
from contextvars import ContextVar
from typing import Any, Callable, List, Optional, Tuple, Type, TypeVar

from outspan_lonelypsp.points import Operation

C = TypeVar("C", bound=Callable[..., Any])
O = TypeVar("O", bound=Operation)

Headers = List[Tuple[bytes, bytes]]


class Exchange:
    """One request that this process handles."""

    def __init__(self, operation: Operation, headers: Headers) -> None:
        operation.silence()  # upstream sends empty tracing fields in these answers
        self.operation = operation
        self.headers = dict(headers)
        self.url = ""
        self.recovery: Optional[str] = None
        self.topic = b""
        self.identifier = b""
        self.tracing = b""
        self.accepted = False  # the message, or the news of a missed one, is the application's
        self.handler = 0  # of how many handlers of the application it was given to
        self.told = 0  # how many of the application's status handlers were told what they are being told

    def body_length(self) -> int:
        """Bytes of the request's body as its head says; 0 if it does not."""
        text = self.headers.get(b"content-length", b"")
        return int(text) if text.isdigit() else 0

    def message_length(self) -> int:
        """Bytes of the message of a RECEIVE, whose body is v16 tracing, v16 topic, v8 identifier, u64 length, message."""
        head = 2 + len(self.tracing) + 2 + len(self.topic) + 1 + len(self.identifier) + 8
        return max(0, self.body_length() - head)


current: "ContextVar[Optional[Exchange]]" = ContextVar("outspan_exchange", default=None)


def find(kind: Type[O]) -> Optional[O]:
    """The operation of the current request, if it is of this kind and has not ended."""
    exchange = current.get()
    operation = exchange.operation if exchange else None
    return operation if isinstance(operation, kind) and not operation.ended else None


def cause_of(error: BaseException) -> int:
    """The errno value that says most about an exception; 0 if there is none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if isinstance(error, TimeoutError):
        return errno.ETIMEDOUT
    return 0


def signature_of(authorization: Optional[str]) -> str:
    """What tells a request that is signed with HMAC from all others (`X-HMAC <time>:<nonce>:<mac>`), and may be told to anybody."""
    if authorization is None or not authorization.startswith("X-HMAC ") or authorization.count(":") < 2:
        return ""
    seconds, nonce, _ = authorization[len("X-HMAC "):].split(":", 2)
    return f"{seconds}:{nonce}"


def observer(function: C) -> C:
    """Makes a function that only looks on: whatever it raises is its own affair, not the application's; it gives None then."""

    @functools.wraps(function)
    def safely(*args: object, **names: object) -> Any:
        try:
            return function(*args, **names)
        except Exception:  # noqa: BLE001 - a trace point may not fail its application
            return None

    return safely  # type: ignore[return-value]

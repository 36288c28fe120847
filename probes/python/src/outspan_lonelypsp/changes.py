"""SET_SUBSCRIPTIONS at the broadcaster: how many subscriptions the request names, and what the store made of them."""
from typing import Callable, Generator, Optional, Union

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import Exchange, Headers, current, observer


class BodyCounter:
    """Counts the topics and globs that a SET body names as it passes by, keeping less than a length field of it.

    v16 tracing, v16 url, u8 format, b64 etag, u32 E, E times (v16 topic, v16 recovery), u32 G, then the globs.
    """

    def __init__(self) -> None:
        self.num_exact = 0
        self.num_globs = 0
        self._skip = 0
        self._held = b""
        self._numbers = self._parse()
        self._size = next(self._numbers)  # of the number that is read next; 0 = all is known

    def _parse(self) -> Generator[int, int, None]:
        """Yields the size of a number and is sent the number."""
        for _ in range(2):
            self._skip = yield 2
        self._skip += 1 + 64
        self.num_exact = yield 4
        for _ in range(2 * self.num_exact):
            self._skip = yield 2
        self.num_globs = yield 4
        yield 0

    def feed(self, data: bytes) -> None:
        """The next bytes of the body."""
        data = self._held + data
        at = 0
        while self._size:
            step = min(self._skip, len(data) - at)
            at += step
            self._skip -= step
            if self._skip or len(data) - at < self._size:
                break
            number = int.from_bytes(data[at:at + self._size], "big")
            at += self._size
            self._size = self._numbers.send(number)
        self._held = data[at:] if self._size else b""


class SetExchange(Exchange):
    """One request to replace a url's subscriptions."""

    operation: points.handle_set_subscriptions

    def __init__(self, operation: points.handle_set_subscriptions, headers: Headers) -> None:
        super().__init__(operation, headers)
        self.body = BodyCounter()
        self.etag = b""
        self.applying = False
        self.added = 0
        self._rows_changed: Optional[Callable[[], int]] = None
        self._rows_before = 0

    @observer
    def begin(self, rows_changed: Optional[Callable[[], int]]) -> None:
        """The lists are what was authorized, and the store begins."""
        self.operation.auth_accepted(self.url, self.etag, self.body.num_exact, self.body.num_globs, self.tracing)
        self.applying = True
        self._rows_changed = rows_changed
        self._rows_before = rows_changed() if rows_changed else 0

    @observer
    def end(self, result: str) -> None:
        """The store is done; the counts are 0 for a store that does not tell."""
        self.applying = False
        if result != "success":
            self.operation.unavailable()
        elif self._rows_changed is None:
            self.operation.set_done()
        else:
            removed = self._rows_changed() - self._rows_before - self.added
            kept = self.body.num_exact + self.body.num_globs - self.added
            self.operation.set_done(self.added, max(0, removed), max(0, kept))


@observer
def applied(kind: int, key: Union[bytes, str], added: bool, removed: bool) -> None:
    """The store has changed one subscription."""
    exchange = current.get()
    if not isinstance(exchange, SetExchange) or not exchange.applying:
        return
    if added:
        exchange.added += 1
        exchange.operation.subscription_added(kind, key)
    elif removed:
        exchange.operation.subscription_removed(kind, key)

"""The messages of a web socket as they pass: what kind each is, and what its head says of the part that it brings."""
import io
from typing import Any, Dict, Optional

from lonelypsp.stateful.constants import PubSubStatefulMessageFlags
from lonelypsp.stateful.parser_helpers import parse_expanded_headers, parse_minimal_message_headers

HEAD_MAX = 4096  # bytes that are kept of a message; a longer head is not read
MINIMAL = int(PubSubStatefulMessageFlags.MINIMAL_HEADERS)

# The minimal form has no names: these are in its order. A stream's first part has the last five, too.
WHOLE = ("authorization", "x-tracing", "x-identifier", "x-topic", "x-compressor", "x-compressed-length",
         "x-decompressed-length", "x-compressed-sha512")
PART = ("authorization", "x-tracing", "x-identifier", "x-part-id")
FIRST_PART = ("x-topic", "x-compressor", "x-compressed-length", "x-decompressed-length", "x-compressed-sha512")


def read_headers(body: io.BytesIO, minimal: bool, stream: bool) -> Dict[str, bytes]:
    """The headers of NOTIFY, or (stream) of NOTIFY_STREAM or RECEIVE_STREAM."""
    if not minimal:
        return parse_expanded_headers(body)
    values = parse_minimal_message_headers(body)
    headers = dict(zip(PART if stream else WHOLE, values))
    if stream and not any(headers["x-part-id"]):
        headers.update(zip(FIRST_PART, values))
    return headers


class Head:
    """What a head says; all 0 if nobody has read it."""

    __slots__ = ("identifier", "part_id", "compressor", "sent_length", "length", "payload")

    def __init__(self, headers: Dict[str, bytes], payload: int) -> None:
        def number(name: str) -> int:
            return int.from_bytes(headers.get(name, b""), "big")

        self.identifier = headers.get("x-identifier", b"")
        self.part_id = number("x-part-id")
        self.compressor = number("x-compressor")
        self.sent_length = number("x-compressed-length")  # of all parts
        self.length = number("x-decompressed-length")
        self.payload = payload  # bytes that this message brings


UNREAD = Head({}, 0)


def kind_of(message: Any) -> int:
    """The number of a message's type; 0 if it has none."""
    return int.from_bytes(message[2:4], "big")


class Frame:
    """A message that has come or is about to go; not much is kept of a large one."""

    __slots__ = ("kind", "_start", "_size", "_head")

    def __init__(self, message: Any) -> None:
        self.kind = kind_of(message)
        self._start = message[:HEAD_MAX]
        self._size = len(message)
        self._head: Optional[Head] = None

    def read(self, stream: bool) -> Head:
        """Its head, once; stream: it is NOTIFY_STREAM or RECEIVE_STREAM."""
        if self._head is None:
            body = io.BytesIO(self._start)
            minimal = bool(int.from_bytes(body.read(4)[:2], "big") & MINIMAL)
            try:
                headers = read_headers(body, minimal, stream)
                self._head = Head(headers, self._size - body.tell())
            except (ValueError, KeyError):
                self._head = UNREAD
        return self._head

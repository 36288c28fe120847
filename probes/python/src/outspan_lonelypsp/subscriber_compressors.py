"""The compressors that a broadcaster offers lonelypsc on one connection: from the offer to the connection's end."""
import errno
from typing import Dict, Optional, Tuple, Union

from lonelypsc.config.ws_config import WebsocketPubSubConfig
from lonelypsc.ws.compressor import Compressor, CompressorPreparing, CompressorReady
from lonelypsc.ws.state import Receiving, ReceivingAuthorizingSimple, StateOpen
from lonelypsp.auth.config import AuthResult
from lonelypsp.stateful.messages.disable_zstd_custom import B2S_DisableZstdCustom
from lonelypsp.stateful.messages.enable_zstd_custom import B2S_EnableZstdCustom
from lonelypsp.stateful.messages.enable_zstd_preset import B2S_EnableZstdPreset

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import observer

Offer = Union[B2S_EnableZstdPreset, B2S_EnableZstdCustom]
SHOWN_MAX = 64  # compressors of one connection; those beyond are not shown


def counter_of(url: str) -> int:
    """url: websocket:<nonce>:<counter in hexadecimal>"""
    return int(url.rsplit(":", 1)[1], 16)


class Compressors:
    """Those of one client; it has them from its broadcaster for as long as a connection lasts."""

    def __init__(self, config: WebsocketPubSubConfig, parent: points.Operation) -> None:
        self.config = config
        self.parent = parent
        self.connection = b""
        self.offer: Optional[Tuple[int, points.handle_compressor]] = None  # being authorized
        self.preparing: Dict[int, Tuple[CompressorPreparing, points.handle_compressor]] = {}
        self.ready: Dict[int, points.handle_compressor] = {}
        self.removed: Optional[points.handle_compressor] = None
        self.known = False  # what is to be removed was in use

    # ---- from the authorization ----

    @observer
    def offered(self, url: str, message: Offer, dict_length: int) -> None:
        if len(self.preparing) + len(self.ready) >= SHOWN_MAX:
            return
        op = points.handle_compressor()
        op.silence()
        op.enable_received(self.parent, self.connection, counter_of(url), message.identifier, message.compression_level,
                           message.min_size, message.max_size, dict_length)
        self.offer = message.identifier, op

    @observer
    def offer_checked(self, url: str, message: Offer, result: AuthResult) -> None:
        if self.offer is None:
            return
        if result == AuthResult.OK:
            self.offer[1].auth_accepted(self.connection, counter_of(url), message.identifier, message.tracing)
        else:
            self.offer[1].bad_auth_result(result)

    @observer
    def disabling(self, url: str, message: B2S_DisableZstdCustom) -> None:
        op = self.ready.pop(message.identifier, None)
        self.known = op is not None
        if op is not None:
            op.disable_received(counter_of(url))
        else:
            op = points.handle_compressor()
            op.silence()
            op.unmatched_disable_received(self.connection, counter_of(url), message.identifier)
        self.removed = op

    @observer
    def disable_checked(self, result: AuthResult) -> None:
        op, self.removed = self.removed, None
        if op is None:
            return
        if result != AuthResult.OK:
            op.bad_auth_result(result)
        elif self.known:
            op.removed()
        else:
            op.unknown_compressor()

    # ---- from the state machine ----

    def stepped(self, state: StateOpen, before: Optional[Receiving]) -> None:
        """The state machine has made a step; before it `before` was being received."""
        if self.offer is not None and isinstance(before, ReceivingAuthorizingSimple) and state.receiving is None:
            self._taken(state, *self.offer)
        for identifier, (_, op) in list(self.preparing.items()):
            if isinstance(self._find(state, identifier), CompressorReady):
                del self.preparing[identifier]
                self.ready[identifier] = op
                op.ready()

    def _taken(self, state: StateOpen, identifier: int, op: points.handle_compressor) -> None:
        self.offer = None
        found = self._find(state, identifier)
        if isinstance(found, CompressorPreparing):
            op.preparing()
            self.preparing[identifier] = found, op
        else:
            op.leave()  # number 0 means no compression

    def _find(self, state: StateOpen, identifier: int) -> Optional[Compressor]:
        try:
            return state.compressors.get_for_decompression(identifier)
        except KeyError:
            return None

    def lost(self, state: StateOpen) -> None:
        """The connection is given up, maybe for an offer."""
        if self.offer is not None:
            self._refused(state, *self.offer)
            self.offer = None
        for compressor, op in self.preparing.values():
            task = compressor.task
            failed = task.done() and not task.cancelled() and task.exception() is not None
            op.prepare_failed() if failed else op.connection_lost()
        for op in self.ready.values():
            op.connection_lost()
        self.preparing.clear()
        self.ready.clear()

    def _refused(self, state: StateOpen, identifier: int, op: points.handle_compressor) -> None:
        if op.ended:
            return
        if not self.config.allow_compression:
            op.not_allowed()
        elif self._find(state, identifier) is not None:
            op.already_enabled()
        op.leave(errno.ECONNABORTED)

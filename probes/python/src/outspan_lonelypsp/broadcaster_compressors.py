"""What lonelypss offers one connection: its compressors, and the training of dictionaries for it."""
from typing import TYPE_CHECKING, Dict, List, Optional, Set, Tuple

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import observer

if TYPE_CHECKING:
    import zstandard

STANDARD = 1  # the compressor without a dictionary
FIRST_TRAINED = 65536
OFFERS_MAX = 64  # upstream has four at most
NO_MAXIMUM = 2**64 - 1


def kind_of(identifier: int) -> int:
    if identifier == STANDARD:
        return points.DICTIONARY_NONE
    return points.DICTIONARY_PRESET if identifier < FIRST_TRAINED else points.DICTIONARY_TRAINED


class Compressors:
    """One connection's compressors and its training."""

    def __init__(self, session: points.handle_stateful_session) -> None:
        self._session = session
        self.connection = b""
        self._zstd = self._training = False  # wanted by the subscriber
        self._initial_dict = 0
        self._offers: Dict[int, points.compressor] = {}
        self.preparing: Set[int] = set()
        self._is_seen = False  # there is a TracedCompression, so that all offers are known
        self._train: Optional[points.train_compressor] = None
        self._trained_length = 0

    def _begin(self, identifier: int) -> None:
        if len(self._offers) < OFFERS_MAX:
            op = points.compressor()
            op.silence()  # upstream sends an empty tracing field
            op.preparing(self._session, identifier, kind_of(identifier))
            self._offers[identifier] = op
            self.preparing.add(identifier)

    def configure(self, zstd: bool, training: bool, initial_dict: int) -> None:
        """What the subscriber wants."""
        self._zstd, self._training, self._initial_dict = zstd, training, initial_dict

    @observer
    def allowed(self, allowed: bool) -> None:
        """lonelypss looks whether it may compress: what it offers at first is decided."""
        if self._is_seen or not self.connection:
            return
        self._is_seen = True
        if allowed and self._zstd:
            self._begin(STANDARD)
            if self._initial_dict > STANDARD:
                self._begin(self._initial_dict)

    def is_unknown(self, identifier: int) -> bool:
        """Whether no such compressor is or was offered."""
        return self._is_seen and identifier not in self._offers

    def _ready(self, identifier: int, level: int, min_size: int, max_size: int, dict_length: int) -> None:
        if identifier in self.preparing:
            self.preparing.remove(identifier)
            self._offers[identifier].ready(level, min_size, max_size, dict_length)

    @observer
    def loaded(self, identifier: int, found: "Optional[Tuple[zstandard.ZstdCompressionDict, int]]", min_size: int) -> None:
        """A preset dictionary was looked up; without one the connection ends."""
        if found is not None:
            self._ready(identifier, found[1], min_size, NO_MAXIMUM, len(found[0]))
        elif identifier in self.preparing:
            self.preparing.remove(identifier)
            self._offers.pop(identifier).prepare_failed()

    @observer
    def enabling(self, counter: int, identifier: int, level: int, min_size: int, max_size: int) -> None:
        """ENABLE_ZSTD_PRESET or ENABLE_ZSTD_CUSTOM is about to be sent."""
        if identifier not in self._offers:
            self._begin(identifier)
        self._ready(identifier, level, min_size, max_size, self._trained_length if identifier >= FIRST_TRAINED else 0)
        self._offers[identifier].sending_enable(self.connection, counter)

    @observer
    def disabling(self, counter: int, identifier: int) -> None:
        op = self._offers.pop(identifier)
        op.rotated_out()
        op.sending_disable(counter)

    # ---- training ----

    def _sample(self) -> None:
        self._train = points.train_compressor()
        self._train.sampling(self._session, self.connection)

    @observer
    def training_allowed(self, allowed: bool) -> None:
        if allowed and self._training and self._train is None:
            self._sample()

    @observer
    def watermark(self, mark: int, samples: List[bytes]) -> None:
        if self._train is None or self._train.ended:
            self._sample()
        if self._train is not None:
            self._train.watermark(mark, len(samples), sum(map(len, samples)))

    @observer
    def trained(self, mark: int, dictionary: "zstandard.ZstdCompressionDict", level: int) -> None:
        """Behind the low watermark, more samples are gathered."""
        self._trained_length = len(dictionary)
        if self._train is not None:
            self._train.trained(self._trained_length, level)
        if mark == points.MARK_LOW:
            self._sample()

    @observer
    def train_failed(self) -> None:
        if self._train is not None:
            self._train.train_failed()

    @observer
    def lost(self) -> None:
        """The connection is over."""
        for op in self._offers.values():
            op.connection_lost()
        self._offers.clear()
        if self._train is not None and not self._train.ended:
            self._train.connection_lost()

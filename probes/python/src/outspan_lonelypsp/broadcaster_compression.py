"""lonelypss's compression: the dictionaries that it looks up and trains."""
from typing import TYPE_CHECKING, List, Optional, Tuple

from lonelypss.config.config import CompressionConfig

from outspan_lonelypsp import points, session
from outspan_lonelypsp.broadcaster_compressors import Compressors

if TYPE_CHECKING:
    import zstandard


def find() -> Optional[Compressors]:
    """Those of the connection whose task this is."""
    connection = session.current.get()
    return connection.compressors if connection is not None else None


class TracedCompression:
    """lonelypss's `compression`: as the one given, with what is looked up and trained in sight."""

    def __init__(self, inner: CompressionConfig) -> None:
        self.inner = inner

    @property
    def compression_allowed(self) -> bool:
        allowed, compressors = self.inner.compression_allowed, find()
        if compressors is not None:
            compressors.allowed(allowed)
        return allowed

    async def get_compression_dictionary_by_id(self, dictionary_id: int,
                                               /) -> "Optional[Tuple[zstandard.ZstdCompressionDict, int]]":
        compressors = find()
        try:
            found = await self.inner.get_compression_dictionary_by_id(dictionary_id)
        except Exception:
            if compressors is not None:
                compressors.loaded(dictionary_id, None, 0)
            raise
        if compressors is not None:
            compressors.loaded(dictionary_id, found, self.inner.compression_min_size)
        return found

    @property
    def outgoing_max_ws_message_size(self) -> Optional[int]:
        return self.inner.outgoing_max_ws_message_size

    @property
    def allow_training(self) -> bool:
        allowed, compressors = self.inner.allow_training, find()
        if compressors is not None:
            compressors.training_allowed(allowed)
        return allowed

    @property
    def compression_min_size(self) -> int:
        return self.inner.compression_min_size

    @property
    def compression_trained_max_size(self) -> int:
        return self.inner.compression_trained_max_size

    @property
    def compression_training_low_watermark(self) -> int:
        return self.inner.compression_training_low_watermark

    async def train_compression_dict_low_watermark(self, /, samples: List[bytes]) -> "Tuple[zstandard.ZstdCompressionDict, int]":
        return await self._train(points.MARK_LOW, samples)

    @property
    def compression_training_high_watermark(self) -> int:
        return self.inner.compression_training_high_watermark

    async def train_compression_dict_high_watermark(self, /, samples: List[bytes]) -> "Tuple[zstandard.ZstdCompressionDict, int]":
        return await self._train(points.MARK_HIGH, samples)

    @property
    def compression_retrain_interval_seconds(self) -> int:
        return self.inner.compression_retrain_interval_seconds

    @property
    def decompression_max_window_size(self) -> int:
        return self.inner.decompression_max_window_size

    async def _train(self, mark: int, samples: List[bytes]) -> "Tuple[zstandard.ZstdCompressionDict, int]":
        low = mark == points.MARK_LOW
        train = self.inner.train_compression_dict_low_watermark if low else self.inner.train_compression_dict_high_watermark
        compressors = find()
        if compressors is None:
            return await train(samples)
        compressors.watermark(mark, samples)
        try:
            dictionary, level = await train(samples)
        except Exception:
            compressors.train_failed()
            raise
        compressors.trained(mark, dictionary, level)
        return dictionary, level

"""How much sound and how many records a source will be, from its size and the headers of a few others."""

from __future__ import annotations

import math
import statistics

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pipelines.audio.formats import suffix_of
from pipelines.audio.sources import iterate
from pipelines.config import DatasetConfig
from pipelines.dataset.records import RecordSpec

_PROBES = 32  # headers read per suffix to estimate seconds from bytes
_FALLBACK_BYTES_PER_SECOND = 32000.0  # 16 bit, 16 kHz, mono
_RECORD_OVERHEAD_BYTES = 250


class Estimator:
    """Seconds and records of a source from its size: headers of a few files a suffix tell bytes per second."""

    def __init__(self, build: pa.Table, config: DatasetConfig) -> None:
        self.config = config
        self.spec = RecordSpec.of(config)
        self.bytes_per_second: dict[str, float] = {}
        if config.audio.segments == "all" and len(build):
            self._probe(build)

    def _probe(self, build: pa.Table) -> None:
        """Read the headers of some files of each suffix. Their median counts, so that one that lies does not."""
        from pipelines.audio.headers import header_seconds

        suffixes = pa.array([suffix_of(s) for s in iterate(build["source"])], pa.string())
        for suffix in sorted(pc.unique(suffixes).to_pylist()):
            rows = build.filter(pc.equal(suffixes, suffix))
            step = max(1, len(rows) // _PROBES)
            probed = rows.take(list(range(0, len(rows), step))[:_PROBES]).to_pylist()
            lengths = header_seconds([store.join(row["root"], row["source"]) for row in probed])
            rates = [row["size"] / length for row, length in zip(probed, lengths, strict=True) if length]
            self.bytes_per_second[suffix] = (statistics.median(rates) if rates else 0.0) or _FALLBACK_BYTES_PER_SECOND

    def seconds(self, source: str, size: int) -> float:
        """Estimated length in seconds."""
        return size / self.bytes_per_second.get(suffix_of(source), _FALLBACK_BYTES_PER_SECOND)

    def output_bytes(self, source: str, size: int) -> float:
        """Estimated bytes of its records."""
        records = 1
        if self.config.audio.segments == "all":
            hop = self.config.audio.segment_hop_samples / self.config.audio.sample_rate
            records = max(1, math.ceil(self.seconds(source, size) / hop))
        return float(records * (self.spec.array_bytes + _RECORD_OVERHEAD_BYTES))

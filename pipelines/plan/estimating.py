"""How much sound and how many records a source will be, from its size and the headers of a few others."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pipelines.audio.formats import suffix_of
from pipelines.audio.sources import iterate
from pipelines.config import DatasetConfig
from pipelines.console.durations import in_words
from pipelines.console.names import printable
from pipelines.dataset.records import RecordSpec

if TYPE_CHECKING:
    from pipelines.audio.headers import Header

_PROBES = 32  # headers read per suffix to estimate seconds from bytes
_FALLBACK_BYTES_PER_SECOND = 32000.0  # 16 bit, 16 kHz, mono
_RECORD_OVERHEAD_BYTES = 250


class Estimator:
    """Seconds and records of a source from its size: headers of a few files a suffix tell bytes per second.

    max_source_seconds: longer sources fail, and come to nothing. least_seconds: of all sources together, at least:
    those whose headers were read by these, others as if all were as dense as the densest of their suffix. longest: the
    longest of which a header was read, its name and seconds. headers: all that were read.
    """

    def __init__(self, build: pa.Table, config: DatasetConfig, max_source_seconds: float = math.inf) -> None:
        self.config = config
        self.array_bytes = RecordSpec.of(config).array_bytes
        self.max_source_seconds = max_source_seconds
        self.num_sources = len(build)
        self.least_seconds = 0.0
        self.longest = ("", 0.0)
        self.headers: list[Header] = []
        self.bytes_per_second: dict[str, float] = {}
        if config.audio.segments == "all" and len(build):
            self._probe(build)

    def _probe(self, build: pa.Table) -> None:
        """Read the headers of some files of each suffix. Their median counts, so that one that lies does not."""
        from pipelines.audio.headers import read_headers

        suffixes = pa.array([suffix_of(s) for s in iterate(build["source"])], pa.string())
        for suffix in sorted(pc.unique(suffixes).to_pylist()):
            rows = build.filter(pc.equal(suffixes, suffix))
            step = max(1, len(rows) // _PROBES)
            probed = rows.take(list(range(0, len(rows), step))[:_PROBES]).to_pylist()
            headers = read_headers([store.join(row["root"], row["source"]) for row in probed])
            self.headers += [header for header in headers if header is not None]
            lengths = [header and header.seconds for header in headers]
            rates = [row["size"] / length for row, length in zip(probed, lengths, strict=True) if length]
            self._add_least(rows, probed, lengths)
            self.bytes_per_second[suffix] = (statistics.median(rates) if rates else 0.0) or _FALLBACK_BYTES_PER_SECOND

    def _add_least(self, rows: pa.Table, probed: list[dict[str, Any]], lengths: list[float | None]) -> None:
        known = [(row, length) for row, length in zip(probed, lengths, strict=True) if length]
        usable = [(row["source"], length) for row, length in known if length <= self.max_source_seconds]
        if known:
            densest = max(row["size"] / length for row, length in known)
            others = pc.sum(rows["size"]).as_py() - sum(row["size"] for row in probed)
            self.least_seconds += math.fsum(length for _, length in usable) + max(0, others) / densest
        self.longest = max([self.longest, *usable], key=lambda each: each[1])

    @property
    def least_bytes(self) -> float:
        """What the records of all sources take, at least, as far as headers tell the truth."""
        return self._least_records(self.least_seconds, self.num_sources) * self.array_bytes

    @property
    def longest_bytes(self) -> float:
        """What the records of the longest source take, at least."""
        return self._least_records(self.longest[1], 1) * self.array_bytes

    def _least_records(self, seconds: float, num_sources: int) -> float:
        audio = self.config.audio
        if audio.leaves_out:
            return 0.0
        if audio.segments == "first":
            return num_sources
        hop_seconds = audio.segment_hop_samples / audio.sample_rate
        beyond = max(0.0, audio.segment_seconds - hop_seconds)  # of each source, where segments overlap
        return max(0.0, (seconds - beyond * num_sources) / hop_seconds)

    def seconds(self, source: str, size: int) -> float:
        """Estimated length in seconds."""
        return size / self.bytes_per_second.get(suffix_of(source), _FALLBACK_BYTES_PER_SECOND)

    def output_bytes(self, source: str, size: int) -> float:
        """Estimated bytes of its records."""
        records = 1
        if self.config.audio.segments == "all":
            hop = self.config.audio.segment_hop_samples / self.config.audio.sample_rate
            records = max(1, math.ceil(self.seconds(source, size) / hop))
        return float(records * (self.array_bytes + _RECORD_OVERHEAD_BYTES))


def room_text(estimator: Estimator) -> str:
    """Where the figure of `least_bytes` comes from, and what can be done about it."""
    text = f"by the headers that were read, the new files hold {in_words(estimator.least_seconds)} of sound"
    source, seconds = estimator.longest
    if seconds > estimator.least_seconds / 2:
        text += f", {printable(source)} alone {in_words(seconds)} (--exclude or --max-source-seconds leave it out)"
    return text

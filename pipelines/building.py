"""Build one shard: load, segment, pad, extract, normalise and write, a source after the other. No Beam, no TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import google_crc32c

from pipelines import store
from pipelines.audio import iter_segments, valid_frames
from pipelines.config import DatasetConfig
from pipelines.decoding import local_path
from pipelines.errors import SourceError, WorkError
from pipelines.planning import ShardTask, failed_row
from pipelines.records import Record, RecordSpec, frame, read_frames, serialize, source_of
from pipelines.sources import join
from pipelines.spectrogram import LogSpectrogramExtractor, MinMaxNormaliser


@dataclass(frozen=True)
class ShardSummary:
    """What became of a shard: a few numbers, all that crosses a stage boundary of the pipeline.

    seconds, min_db and max_db are over the sources decoded now, not over records copied from an older shard.
    min_db and max_db are None when there is none.
    """

    shard: str
    split: str
    num_examples: int
    num_bytes: int
    crc32c: int
    seconds: float = 0.0
    written: int = 0
    failed: int = 0
    min_db: float | None = None
    max_db: float | None = None


@dataclass(frozen=True)
class BuiltShard:
    """A shard's summary and the manifest row of each source that was decoded or failed."""

    summary: ShardSummary
    rows: list[dict[str, Any]]


Watch = Callable[[int, float], None]
"""Called with (index of the source, its seconds done so far) at least once a segment: a sign of life."""


class Saver:
    """Writes records to one TFRecord file and keeps its length and checksum.

    A source is written between `begin` and the next one; `rollback` takes back what the last one wrote.
    """

    def __init__(self, file: BinaryIO, dtype: str) -> None:
        self._file = file
        self._dtype = dtype
        self.num_examples = 0
        self.num_bytes = 0
        self.crc32c = 0
        self.begin()

    def begin(self) -> None:
        """Mark the place that `rollback` returns to."""
        self._mark = (self.num_examples, self.num_bytes, self.crc32c)

    def save(self, record: Record) -> None:
        """Append a record."""
        self.save_serialized(serialize(record, self._dtype))

    def save_serialized(self, serialized: bytes) -> None:
        """Append a record that is serialized already."""
        entry = frame(serialized)
        self._file.write(entry)
        self.num_examples += 1
        self.num_bytes += len(entry)
        self.crc32c = google_crc32c.extend(self.crc32c, entry)

    def rollback(self) -> None:
        """Take back all since `begin`."""
        self.num_examples, self.num_bytes, self.crc32c = self._mark
        self._file.seek(self.num_bytes)
        self._file.truncate()


class ShardBuilder:
    """The steps of one dataset, from a source to its records."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config
        spectrogram = config.spectrogram
        self.extractor = LogSpectrogramExtractor(spectrogram.frame_size, spectrogram.hop_length, spectrogram.top_db)
        self.normaliser = MinMaxNormaliser(0.0, 1.0)
        self._label_pattern = re.compile(config.label_pattern) if config.label_pattern else None

    def records(self, source: str, root: str) -> Iterator[tuple[Record, float]]:
        """The records of a source, each with the seconds of sound that it adds to the ones before it."""
        audio = self.config.audio
        labels = self._labels(source)
        covered = 0
        for segment in iter_segments(join(root, source), audio):
            decibels = self.extractor.extract(segment.samples)
            end = segment.index * audio.segment_hop_samples + segment.valid_samples
            record = Record(
                spectrogram=self.normaliser.normalise(decibels),
                min_db=float(decibels.min()),
                max_db=float(decibels.max()),
                source=source,
                segment=segment.index,
                start_seconds=segment.start_seconds,
                valid_frames=valid_frames(segment.valid_samples, audio.segment_samples, self.extractor.hop_length),
                labels=labels,
            )
            yield record, (end - covered) / audio.sample_rate
            covered = end

    def _labels(self, source: str) -> dict[str, str]:
        if self._label_pattern is None:
            return {}
        match = self._label_pattern.search(source)
        if match is None:
            return dict.fromkeys(self.config.label_names, "")
        return {name: value or "" for name, value in match.groupdict().items()}

    def build(
        self, task: ShardTask, run_uri: str, failed: Mapping[int, tuple[str, str]] | None = None, watch: Watch | None = None
    ) -> BuiltShard:
        """Decode a task's sources into `run_uri/shard`, which appears whole or not at all.

        failed: sources (by index) known to fail, with stage and reason, that are not tried. WorkError when the shard
        can't be written.
        """
        rows: list[dict[str, Any]] = []
        with _shard_file(store.join(run_uri, task.shard)) as file:
            saver = Saver(file, self.config.dtype)
            for index, (source, root, size, stamp) in enumerate(task.sources):
                saver.begin()
                try:
                    if failed and index in failed:
                        raise SourceError(source, *failed[index])
                    row = self._write_source(saver, source, root, lambda seconds, i=index: watch and watch(i, seconds))
                    row.update(source=source, size=size, stamp=stamp, split=task.split, shard=task.shard)
                except SourceError as error:
                    saver.rollback()
                    row = failed_row(source, size, stamp, task.split, error.stage, error.reason)
                rows.append(row)
            _discard_if_empty(file, saver)
        return BuiltShard(_summarise(task, saver, rows), rows)

    def _write_source(self, saver: Saver, source: str, root: str, alive: Callable[[float], object]) -> dict[str, Any]:
        alive(0.0)
        count, seconds, low, high = 0, 0.0, float("inf"), float("-inf")
        for record, more in self.records(source, root):
            saver.save(record)
            count, seconds = count + 1, seconds + more
            low, high = min(low, record.min_db), max(high, record.max_db)
            alive(seconds)
        row: dict[str, Any] = {"status": "written", "num_segments": count, "seconds": round(seconds, 6)}
        return row | {"min_db": low, "max_db": high, "error_stage": None, "error": None}


def copy_shard(task: ShardTask, dataset_uri: str, run_uri: str, dtype: str) -> BuiltShard:
    """Copy the records of the sources that stay from an old shard, byte for byte, without decoding them."""
    keep = frozenset(task.keep)
    old = store.join(dataset_uri, task.copy_of or "")
    with _shard_file(store.join(run_uri, task.shard)) as file:
        saver = Saver(file, dtype)
        with store.open_read(old) as records:
            for serialized in read_frames(records, old):
                if source_of(serialized) in keep:
                    saver.save_serialized(serialized)
        _discard_if_empty(file, saver)
    return BuiltShard(_summarise(task, saver, []), [])


def _summarise(task: ShardTask, saver: Saver, rows: list[dict[str, Any]]) -> ShardSummary:
    written = [row for row in rows if row["status"] == "written"]
    summary = ShardSummary(task.shard, task.split, saver.num_examples, saver.num_bytes, saver.crc32c)
    return dataclasses.replace(
        summary,
        seconds=sum(row["seconds"] for row in written),
        written=len(written),
        failed=len(rows) - len(written),
        min_db=min((row["min_db"] for row in written), default=None),
        max_db=max((row["max_db"] for row in written), default=None),
    )


class _Discarded(Exception):
    """The shard turned out to hold no record."""


def _discard_if_empty(file: BinaryIO, saver: Saver) -> None:
    if saver.num_examples == 0:
        raise _Discarded


@contextlib.contextmanager
def _shard_file(uri: str) -> Iterator[BinaryIO]:
    """A seekable file that becomes the shard when the block ends; none is left when it holds no record or on an error."""
    path = local_path(uri)
    folder = os.path.dirname(path) if path is not None else None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".building-", dir=folder)
        try:
            with open(descriptor, "w+b", buffering=1 << 20) as file:
                yield file
            if path is not None:
                os.chmod(temporary, 0o644)
                os.replace(temporary, path)
            else:
                fs, remote = store.filesystem(uri)
                fs.put_file(temporary, remote)
        except _Discarded:
            pass
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except SourceError:
        raise
    except OSError as error:
        raise WorkError(f"{uri}: cannot be written: {error.strerror or error}") from error



"""The steps put together: files become records in one TFRecord file. Needs neither Beam nor TensorFlow."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from pipelines.audio.decoding import Incomplete
from pipelines.audio.features import Extractor, extractor_of
from pipelines.audio.limits import SourceLimits
from pipelines.audio.loading import Loader, loader_of
from pipelines.audio.segments import Padder, Segment, cut_segments, valid_frames
from pipelines.audio.spectrogram import MinMaxNormaliser
from pipelines.config import DatasetConfig
from pipelines.dataset.framing import frame
from pipelines.dataset.records import Record, serialize
from pipelines.errors import SettingError, SourceError, describe, require, stage_of
from pipelines.matching import search
from pipelines.store.paths import join

Row = dict[str, Any]
"""What became of a source: status, num_segments, seconds, min_db, max_db, or error_stage and error."""
Watch = Callable[[float], object]
"""Called with the seconds of a source done so far, at least once a segment: a sign of life."""


class Saver:
    """Writes records to one TFRecord file open for writing and reading, and keeps what a dataset says of it.

    num_examples, num_bytes and crc32c are those of the file so far; min_db and max_db the range of its records.

    >>> import io
    >>> from pipelines import open_dataset
    >>> saver = Saver(io.BytesIO())
    >>> saver.save(next(open_dataset(dataset).records("train")))
    >>> saver.num_examples, saver.num_bytes > 2 * 256 * 64  # float16
    (1, True)
    """

    def __init__(self, file: BinaryIO, dtype: str = "float16") -> None:
        self._file = file
        self._dtype = dtype
        self.num_examples = 0
        self.num_bytes = 0
        self.crc32c = 0
        self.min_db = float("inf")
        self.max_db = float("-inf")

    def save(self, record: Record) -> None:
        """Append a record."""
        self.save_serialized(serialize(record, self._dtype))
        self.min_db = min(self.min_db, record.min_db)
        self.max_db = max(self.max_db, record.max_db)

    def save_serialized(self, serialized: bytes) -> None:
        """Append a record that is serialized already."""
        entry = frame(serialized)
        self._file.write(entry)
        self.num_examples += 1
        self.num_bytes += len(entry)
        self.crc32c = google_crc32c.extend(self.crc32c, entry)

    def mark(self) -> tuple[int, int, int, float, float]:
        """The state that `rollback` returns to."""
        return self.num_examples, self.num_bytes, self.crc32c, self.min_db, self.max_db

    def rollback(self, mark: tuple[int, int, int, float, float]) -> None:
        """Take back all records since `mark`."""
        self.num_examples, self.num_bytes, self.crc32c, self.min_db, self.max_db = mark
        self._file.seek(self.num_bytes)
        self._file.truncate()


class PreprocessingPipeline:
    """Load, cut, pad, extract, normalise and save, source by source.

    segment_seconds: length of a segment, None for the loader's `duration` (then a file has one segment, its first).
    segment_hop_seconds: start of one segment to the start of the next, None for no overlap. label_pattern: regular
    expression whose named groups, searched in the relative path, become labels.

    >>> from pipelines import LogSpectrogramExtractor
    >>> with open(folder / "sounds.tfrecord", "w+b") as file:
    ...     steps = Loader(16000, 0.5), Padder(), LogSpectrogramExtractor(512, 256), MinMaxNormaliser()
    ...     rows = PreprocessingPipeline(*steps, Saver(file, "float32")).process(str(sounds))
    >>> len(rows), rows["tone_00.wav"]["status"]
    (12, 'written')
    """

    def __init__(
        self,
        loader: Loader,
        padder: Padder,
        extractor: Extractor,
        normaliser: MinMaxNormaliser,
        saver: Saver,
        segment_seconds: float | None = None,
        segment_hop_seconds: float | None = None,
        label_pattern: str | None = None,
    ) -> None:
        seconds = segment_seconds or loader.duration
        require(seconds is not None, "segment_seconds", seconds, "given when the loader has no duration")
        require(loader.sample_rate is not None, "loader.sample_rate", None, "one rate for all files")
        assert seconds is not None
        assert loader.sample_rate is not None
        self.loader = loader
        self.padder = padder
        self.extractor = extractor
        self.normaliser = normaliser
        self.saver = saver
        self.sample_rate = loader.sample_rate
        self.segment_samples = int(seconds * self.sample_rate)
        self.hop_samples = int((segment_hop_seconds or seconds) * self.sample_rate)
        self._label_pattern = re.compile(label_pattern) if label_pattern else None

    @classmethod
    def of(cls, config: DatasetConfig, saver: Saver, limits: SourceLimits | None = None) -> PreprocessingPipeline:
        """The pipeline that makes the records of a dataset. limits: what a source is let be."""
        audio, spectrogram = config.audio, config.spectrogram
        return cls(
            loader_of(audio, limits),
            Padder(audio.pad_mode),
            extractor_of(audio, spectrogram),
            MinMaxNormaliser(0.0, 1.0),
            saver,
            audio.segment_seconds,
            audio.segment_hop_seconds,
            config.label_pattern,
        )

    def process(self, audio_files_dir: str) -> dict[str, Row]:
        """Save the records of every audio file in a directory tree, in the order of their relative paths.

        Returns what became of each; a file that can't be used leaves no record and does not end the others.
        """
        from pipelines.audio.sources import list_sources  # it needs Arrow, which builders do without

        table = list_sources([audio_files_dir]).table
        rows = {}
        for listed in table.to_pylist():
            source, error = listed["source"], listed["error"]
            rows[source] = failure("list", error) if error else self.process_source(source, listed["root"])
        return rows

    def fetch(self, sources: Iterable[tuple[str, str]]) -> None:
        """Ask other stores for files, (source, root) each, before `preload`; see `Loader.fetch`."""
        self.loader.fetch(join(root, source) for source, root in sources)

    def preload(self, sources: Iterable[tuple[str, str]]) -> None:
        """Load short files, (source, root) each, before `process_source` is called for them; see `Loader.preload`."""
        self.loader.preload(join(root, source) for source, root in sources)

    def process_source(self, source: str, root: str, watch: Watch = lambda seconds: None) -> Row:
        """Save the records of one source, or none of them if it turns out to be damaged."""
        mark = self.saver.mark()
        try:
            try:
                return self._saved(source, root, watch)
            except Incomplete:
                self.saver.rollback(mark)
                return self._saved(source, root, watch, again=True)
        except SourceError as error:
            self.saver.rollback(mark)
            return failure(error.stage, error.reason)

    def _saved(self, source: str, root: str, watch: Watch, again: bool = False) -> Row:
        """The row of a source whose records are saved. SourceError when it can't be used."""
        count, low, high, end = 0, float("inf"), float("-inf"), 0
        watch(0.0)
        self.loader.alive = lambda: watch(end / self.sample_rate)
        for record, end in self._records(source, root, again):
            self.saver.save(record)
            count += 1
            low, high = min(low, record.min_db), max(high, record.max_db)
            watch(end / self.sample_rate)
        warning = warning_of(self.loader, join(root, source))
        row = {"status": "written", "num_segments": count, "seconds": round(end / self.sample_rate, 6)}
        return row | {"min_db": low, "max_db": high, "error_stage": None, "error": None, "warning": warning}

    def _records(self, source: str, root: str, again: bool) -> Iterator[tuple[Record, int]]:
        """The records of a source, each with the sample at which its sound ends.

        SourceError for whatever a file's content makes libraries raise: writing is not among what happens here.
        """
        with blaming(join(root, source)):
            yield from self._extracted(source, root, again)

    def _extracted(self, source: str, root: str, again: bool) -> Iterator[tuple[Record, int]]:
        """The way of one source, step by step; `process_source` writes what comes out."""
        uri = join(root, source)
        labels = labels_of(source, self._label_pattern)
        # load
        blocks = self.loader.blocks(uri, again)
        # segment
        segments = cut_segments(blocks, self.segment_samples, self.hop_samples, self.sample_rate, self.padder)
        for segment in segments:
            # log-spectrogram
            decibels, low, high = levels(self.extractor, segment, uri)
            # normalise
            normalised = self.normaliser.normalise(decibels)
            valid = valid_frames(segment.valid_samples, self.segment_samples, self.extractor.hop_length)
            record = Record(normalised, low, high, source, segment.index, segment.start_seconds, valid, labels)
            # write
            yield record, segment.index * self.hop_samples + segment.valid_samples
            if self.loader.duration is not None:
                return


@contextlib.contextmanager
def blaming(uri: str, stage: str = "decode") -> Iterator[None]:
    """Turn whatever a file's content makes libraries raise in this block into a SourceError of this stage."""
    try:
        yield
    except (SourceError, SettingError):
        raise
    except Exception as error:
        raise SourceError(uri, stage_of(error, stage), describe(error)) from error


def warning_of(loader: Loader, uri: str) -> str | None:
    """What is to be told of a file that was loaded, once. SourceError when its loader is strict."""
    warning = "; ".join(loader.warnings.pop(uri, ())) or None
    if warning and loader.limits.strict:
        raise SourceError(uri, "decode", f"{warning} (--strict)")
    return warning


def levels(extractor: Extractor, segment: Segment, uri: str) -> tuple[NDArray[np.float32], float, float]:
    """A segment's log-spectrogram in dB with its lowest and highest value. SourceError when one is not finite."""
    with blaming(uri, "extract"), np.errstate(over="ignore", invalid="ignore"):
        decibels = extractor.extract(segment.samples)
    low, high = float(decibels.min()), float(decibels.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        reason = f"the level at {segment.start_seconds:g} s is no finite number of decibels"
        raise SourceError(uri, "extract", reason)
    return decibels, low, high


def labels_of(source: str, pattern: re.Pattern[str] | None) -> dict[str, str]:
    """Named groups of the label pattern, searched in a source's path; empty texts where it does not match."""
    if pattern is None:
        return {}
    match = search("label_pattern", pattern, source)
    if match is None:
        return dict.fromkeys(pattern.groupindex, "")
    return {name: value or "" for name, value in match.groupdict().items()}


def failure(stage: str, reason: str) -> Row:
    """The row of a source that could not be used."""
    nothing = {"num_segments": 0, "seconds": None, "min_db": None, "max_db": None}
    return {"status": "failed", **nothing, "error_stage": stage, "error": reason, "warning": None}

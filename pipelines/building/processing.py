"""The steps put together: files become records in one TFRecord file. Needs neither Beam nor TensorFlow."""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.decoding import Incomplete
from pipelines.audio.features import Extractor, extractor_of
from pipelines.audio.limits import SourceLimits
from pipelines.audio.loading import Loader, loader_of
from pipelines.audio.segments import Padder, Segment, cut_segments, valid_frames, worth_keeping
from pipelines.audio.spectrogram import MinMaxNormaliser
from pipelines.building.savers import Keeps, RecordSaver, Saver
from pipelines.config import DatasetConfig
from pipelines.course_names import refuse_methods
from pipelines.dataset.names import FAILED, SILENT, WRITTEN
from pipelines.dataset.records import Range, Record, merged_range
from pipelines.errors import SettingError, SourceError, describe, require, stage_of
from pipelines.matching import search
from pipelines.store.paths import join

Row = dict[str, Any]
"""What became of a source: status, num_segments, seconds, min_db, max_db, or error_stage and error."""
Watch = Callable[[float], object]
"""Called with the seconds of a source done so far, at least once a segment: a sign of life."""


_NOT_CALLED = dict.fromkeys(
    ("_process_file", "_is_padding_necessary", "_apply_padding", "_store_min_max_value"),
    "a part of your own in place of loader, padder, extractor, normaliser or saver does it",
)


class PreprocessingPipeline:
    """Load, cut, pad, extract, normalise and save, source by source.

    loader, padder, extractor, normaliser, saver: its parts, given or set later as attributes; what follows from a part,
    such as the length of a segment, follows from the one that is set. saver: a Saver, which takes any normaliser, or a
    RecordSaver, which takes MinMaxNormaliser(0, 1) alone. segment_seconds: length of a segment, None for the loader's
    `duration` (then a file has one segment, its first). segment_hop_seconds: start of one segment to the start of the
    next, None for no overlap. label_pattern: regular expression whose named groups, searched in the relative path,
    become labels. min_level_db, one_shot_db: which segments are left out, as of AudioConfig.

    >>> from pipelines import LogSpectrogramExtractor, Saver
    >>> pipeline = PreprocessingPipeline()
    >>> pipeline.loader, pipeline.padder = Loader(16000, 0.5), Padder()
    >>> pipeline.extractor, pipeline.normaliser = LogSpectrogramExtractor(512, 256), MinMaxNormaliser(0, 1)
    >>> pipeline.saver = Saver(folder / "features", folder / "ranges")
    >>> rows = pipeline.process(str(sounds))
    >>> len(rows), rows["tone_00.wav"]["status"], len(pipeline.min_max_values)
    (12, 'written', 12)
    """

    loader: Loader
    padder: Padder
    extractor: Extractor
    normaliser: MinMaxNormaliser
    saver: Keeps

    def __init__(
        self,
        loader: Loader | None = None,
        padder: Padder | None = None,
        extractor: Extractor | None = None,
        normaliser: MinMaxNormaliser | None = None,
        saver: Keeps | None = None,
        segment_seconds: float | None = None,
        segment_hop_seconds: float | None = None,
        label_pattern: str | None = None,
        min_level_db: float | None = None,
        one_shot_db: float | None = None,
    ) -> None:
        parts = {"loader": loader, "padder": padder, "extractor": extractor, "normaliser": normaliser, "saver": saver}
        vars(self).update(parts)
        self.segment_seconds = segment_seconds
        self.segment_hop_seconds = segment_hop_seconds
        self.min_level_db, self.one_shot_db = min_level_db, one_shot_db
        self._label_pattern = re.compile(label_pattern) if label_pattern else None
        if None not in parts.values():
            self.require_whole()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        refuse_methods(cls, _NOT_CALLED)

    def require_whole(self) -> None:
        """SettingError when a part is not set yet, or does not go with another."""
        parts = {name: getattr(self, name) for name in ("loader", "padder", "extractor", "normaliser", "saver")}
        missing = next((name for name, part in parts.items() if part is None), None)
        require(missing is None, f"pipeline.{missing}", None, "set before anything is processed")
        seconds = self.segment_seconds or self.loader.duration
        require(seconds is not None, "segment_seconds", seconds, "given when the loader has no duration")
        require(self.loader.sample_rate is not None, "loader.sample_rate", None, "one rate for all files")
        if isinstance(self.saver, RecordSaver):
            bounds = self.normaliser.min, self.normaliser.max
            rule = "MinMaxNormaliser(0, 1) where records are written: what reads them takes 0 and 1 for their range"
            require(bounds == (0, 1), "normaliser", f"MinMaxNormaliser{bounds}", rule)

    @property
    def sample_rate(self) -> int:
        """The loader's, in Hz."""
        return self.loader.sample_rate or 0

    @property
    def segment_samples(self) -> int:
        """Samples in a segment."""
        return int((self.segment_seconds or self.loader.duration or 0) * self.sample_rate)

    @property
    def hop_samples(self) -> int:
        """Samples from the start of a segment to the start of the next."""
        seconds = self.segment_hop_seconds or self.segment_seconds or self.loader.duration or 0
        return int(seconds * self.sample_rate)

    @property
    def min_max_values(self) -> dict[str, dict[str, float]]:
        """What 0 and 1 stand for in each feature that was saved, in decibels by its path; a record holds its own."""
        return getattr(self.saver, "min_max_values", {})

    @classmethod
    def of(cls, config: DatasetConfig, saver: RecordSaver, limits: SourceLimits | None = None) -> PreprocessingPipeline:
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
            audio.min_level_db,
            audio.one_shot_db,
        )

    def process(self, audio_files_dir: str | os.PathLike[str]) -> dict[str, Row]:
        """Save the records of every audio file in a directory tree, in the order of their relative paths.

        Returns what became of each; a file that can't be used leaves no record and does not end the others, and the
        first of them is told on standard error. A Saver's table is written at the end. SettingError when a part is
        missing, or there is no audio.
        """
        from pipelines.audio.sources import list_sources  # it needs Arrow, which builders do without

        self.require_whole()
        folder = os.fspath(audio_files_dir)
        listing = list_sources([folder])
        rows = {}
        for listed in listing.table.to_pylist():
            source, error = listed["source"], listed["error"]
            rows[source] = failure("list", error) if error else self.process_source(source, listed["root"])
        require(len(rows) > 0, "audio_files_dir", folder, f"a folder with audio in it{listing.why_nothing}")
        if isinstance(self.saver, Saver):
            self.saver.save_min_max_values(self.saver.min_max_values)
        failed = [f"{name}: {row['error_stage']}: {row['error']}" for name, row in rows.items() if row["error"]]
        if failed:
            print(f"{len(failed)} of {len(rows)} files could not be used, such as {failed[0]}", file=sys.stderr)
        return rows

    def fetch(self, sources: Iterable[tuple[str, str]]) -> None:
        """Ask other stores for files, (source, root) each, before `preload`; see `Loader.fetch`."""
        self.loader.fetch(join(root, source) for source, root in sources)

    def preload(self, sources: Iterable[tuple[str, str]]) -> None:
        """Load short files, (source, root) each, before `process_source` is called for them; see `Loader.preload`."""
        self.loader.preload(join(root, source) for source, root in sources)

    def process_source(self, source: str, root: str, watch: Watch = lambda seconds: None) -> Row:
        """Save the records of one source, or none of them if it turns out to be damaged."""
        self.require_whole()
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
        ranges: list[Range] = []
        loudest: list[float] = []
        level_channels = getattr(self.extractor, "level_channels", None)
        end, left_out, covered = 0, 0, Coverage()
        watch(0.0)
        self.loader.alive = lambda: watch(end / self.sample_rate)
        for record, start, end in self._records(source, root, again):
            if record is None:
                left_out += 1
            else:
                self.saver.save(record)
                ranges.append((record.min_db, record.max_db))
                if level_channels is not None:
                    loudest.append(record.loudest_db(level_channels))
                covered.add(start, end)
            watch(end / self.sample_rate)
        warning = warning_of(self.loader, join(root, source))
        if not ranges:
            return silent(left_out, warning)
        low, high = merged_range(ranges)
        seconds = round(covered.total / self.sample_rate, 6)
        row = {"status": WRITTEN, "num_segments": len(ranges), "seconds": seconds, "min_db": low, "max_db": high}
        row["loudest_db"] = max(loudest, default=None)
        return row | {"error_stage": None, "error": None, "warning": warning, "left_out": left_out or None}

    def _records(self, source: str, root: str, again: bool) -> Iterator[tuple[Record | None, int, int]]:
        """The records of a source, each with the samples at which its sound starts and ends; None for one left out.

        SourceError for whatever a file's content makes libraries raise: writing is not among what happens here.
        """
        with blaming(join(root, source)):
            yield from self._extracted(source, root, again)

    def _extracted(self, source: str, root: str, again: bool) -> Iterator[tuple[Record | None, int, int]]:
        """The way of one source, step by step; `process_source` writes what comes out."""
        uri = join(root, source)
        labels = labels_of(source, self._label_pattern)
        # load
        blocks: Iterable[NDArray[np.float32]] = self.loader.blocks(uri, again)
        if type(self.loader).load is not Loader.load:  # of one's own
            blocks = [_with_channel_axis(self.loader.load(uri))]
        # segment
        segments = cut_segments(blocks, self.segment_samples, self.hop_samples, self.sample_rate, self.padder)
        if self.loader.duration is not None:
            segments = islice(segments, 1)
        for segment, is_kept in worth_keeping(segments, self.hop_samples, self.min_level_db, self.one_shot_db):
            start = segment.index * self.hop_samples
            end = start + segment.valid_samples
            if not is_kept:
                yield None, start, end
                continue
            # log-spectrogram
            decibels, low, high = levels(self.extractor, segment, uri)
            self._require_frames(decibels, segment)
            # normalise
            normalised = self.normaliser.normalise(decibels)
            valid = valid_frames(segment.valid_samples, self.segment_samples, self.extractor.hop_length)
            record = Record(normalised, low, high, source, segment.index, segment.start_seconds, valid, labels)
            # write
            yield record, start, end

    def _require_frames(self, decibels: NDArray[np.float32], segment: Segment) -> None:
        frames = 1 + self.segment_samples // self.extractor.hop_length
        channels = getattr(self.extractor, "num_channels", segment.samples.shape[1])
        if decibels.shape[1:] != (frames, channels):
            given = f"of a segment {segment.samples.shape}"
            raise SettingError(f"extractor gave {decibels.shape} {given}, it must be (rows, {frames}, {channels})")


def _with_channel_axis(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """A waveform (n_samples,) or (n_samples, n_channels) as the latter."""
    return np.asarray(waveform, np.float32).reshape(len(waveform), -1)


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


class Coverage:
    """How much of a source lies in its records. total: what has been added, in the unit of that."""

    def __init__(self) -> None:
        self.total = 0.0
        self._end = 0.0

    def add(self, start: float, end: float) -> None:
        """One more record, in their order; what it shares with those before counts once."""
        self.total += end - max(start, self._end)
        self._end = end


_NOTHING = {"num_segments": 0, "seconds": None, "min_db": None, "max_db": None}


def failure(stage: str, reason: str) -> Row:
    """The row of a source that could not be used."""
    return {"status": FAILED, **_NOTHING, "error_stage": stage, "error": reason, "warning": None, "left_out": None}


def silent(left_out: int, warning: str | None) -> Row:
    """The row of a source all of whose segments are left out."""
    return {"status": SILENT, **_NOTHING, "error_stage": None, "error": None, "warning": warning, "left_out": left_out}

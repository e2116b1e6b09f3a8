"""What passes between the transforms of this room, and the plain functions that turn one into the next."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from apache_beam.io import fileio
from apache_beam.io.filesystem import FileMetadata
from numpy.typing import NDArray

from pipelines.audio.features import Extractor
from pipelines.audio.segments import Padder, Segment, cut_segments, valid_frames, worth_keeping
from pipelines.audio.sources import canonical, list_sources
from pipelines.audio.spectrogram import MinMaxNormaliser, normalise_to
from pipelines.building.processing import labels_of, levels
from pipelines.config import AudioConfig, DatasetConfig
from pipelines.dataset.records import Range, Record, serialize
from pipelines.errors import SettingError, require
from pipelines.store import join


@dataclass(frozen=True)
class AudioFile:
    """A file to read. source: its path below root, which identifies it. stamp: changes when the file does.

    warning: what is to be told of it, once it is loaded. digest: of its content, where its store has said one. Of sound
    that comes from elsewhere a name is enough: `Waveform(AudioFile("take.wav"), samples)`.
    """

    source: str
    root: str = ""
    size: int = 0
    stamp: str = ""
    warning: str | None = None
    digest: str | None = None

    @property
    def uri(self) -> str:
        """Where it lies."""
        return join(self.root, self.source)


@dataclass(frozen=True)
class Failure:
    """A file that could not be used: the stage (list, read, open, decode, extract), the reason, and the segment."""

    file: AudioFile
    stage: str
    reason: str
    segment: int = -1


@dataclass(frozen=True)
class Waveform:
    """A whole file, float32 (n_samples, n_channels) at full scale ±1."""

    file: AudioFile
    samples: NDArray[np.float32]


@dataclass(frozen=True)
class FileSegment:
    """A segment of a file, of one length for all. end_seconds: where its sound ends in the file, without padding."""

    file: AudioFile
    segment: Segment
    end_seconds: float


@dataclass(frozen=True)
class Feature:
    """What was extracted from a segment: decibels, float32 (n_bins, n_frames, n_channels), with their own range."""

    file: AudioFile
    decibels: NDArray[np.float32]
    min_db: float
    max_db: float
    segment: int
    start_seconds: float
    end_seconds: float
    valid_frames: int


@dataclass(frozen=True)
class FileRecord:
    """A record with the file that it comes from. end_seconds: where its sound ends in the file."""

    file: AudioFile
    record: Record
    end_seconds: float

    @property
    def min_db(self) -> float:
        """What 0 stands for."""
        return self.record.min_db

    @property
    def max_db(self) -> float:
        """What 1 stands for."""
        return self.record.max_db


def files_at(path: str, root: str | None = None) -> Iterator[AudioFile | Failure]:
    """The audio file at a path or URI, or those of a folder.

    root: folder that their names are relative to; without it that of a folder is the folder, that of a file the one it
    lies in. A file that can't be listed is a Failure. SettingError when the path does not lie below root.
    """
    above = canonical(root) if root else None
    try:
        rows = list_sources([path]).table.to_pylist()
    except SettingError as error:  # it is not there, or not to be read
        folder, name = os.path.split(canonical(path))
        yield Failure(_placed(AudioFile(name, folder, 0, ""), above), "list", str(error))
        return
    for row in rows:
        file = AudioFile(row["source"], row["root"], row["size"], row["stamp"], digest=row["digest"])
        file = _placed(file, above)
        yield Failure(file, "list", row["error"]) if row["error"] else file


def _placed(file: AudioFile, root: str | None) -> AudioFile:
    """The file with its name relative to a root above it."""
    if root is None or file.root == root:
        return file
    require(file.root.startswith(root + "/"), "root", root, f"a folder above {file.uri}")
    return dataclasses.replace(file, source=f"{file.root[len(root) + 1 :]}/{file.source}", root=root)


def path_of(element: str | os.PathLike[str] | FileMetadata | fileio.ReadableFile) -> str:
    """The path in an element: itself one, or a match of Beam's `fileio`."""
    if isinstance(element, fileio.ReadableFile):
        element = element.metadata
    return str(element.path if isinstance(element, FileMetadata) else os.fspath(element))


def segments_of(waveform: Waveform, config: AudioConfig) -> Iterator[FileSegment]:
    """The segments of a waveform that has the rate and channels of the settings, but those that they leave out."""
    size, hop, rate = config.segment_samples, config.segment_hop_samples, config.sample_rate
    segments = cut_segments([waveform.samples], size, hop, rate, Padder(config.pad_mode))
    if config.segments == "first":
        segments = islice(segments, 1)
    for segment, is_kept in worth_keeping(segments, hop, config.min_level_db, config.one_shot_db):
        if is_kept:
            yield FileSegment(waveform.file, segment, (segment.index * hop + segment.valid_samples) / rate)


def feature_of(piece: FileSegment, extractor: Extractor) -> Feature:
    """What the extractor finds in a segment. SourceError when it is no finite number of decibels."""
    segment = piece.segment
    decibels, low, high = levels(extractor, segment, piece.file.uri)
    valid = valid_frames(segment.valid_samples, len(segment.samples), extractor.hop_length)
    return Feature(piece.file, decibels, low, high, segment.index, segment.start_seconds, piece.end_seconds, valid)


def record_of(feature: Feature, bounds: Range | None = None) -> FileRecord:
    """A feature mapped to [0, 1] by its own range, or by bounds in dB."""
    low, high = bounds or (feature.min_db, feature.max_db)
    require(low is not None and high is not None, "bounds", bounds, "a lowest and a highest value in dB")
    assert low is not None
    assert high is not None
    if bounds:
        normalised = normalise_to(feature.decibels, low, high)
    else:
        normalised = MinMaxNormaliser(0.0, 1.0).normalise(feature.decibels)
    file, start, valid = feature.file, feature.start_seconds, feature.valid_frames
    record = Record(normalised, low, high, file.source, feature.segment, start, valid)
    return FileRecord(file, record, feature.end_seconds)


def serialized(element: FileRecord, config: DatasetConfig) -> bytes:
    """The `tf.train.Example` of a record, with the labels that its file's name has."""
    pattern = re.compile(config.label_pattern) if config.label_pattern else None
    record = element.record
    labels = labels_of(record.source, pattern) | record.labels
    values = vars(record) | {"labels": labels}
    return serialize(Record(**values), config.dtype)

"""What a run would do, from names, sizes and headers alone."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import soxr

from pipelines import store
from pipelines.audio.features import Extractor, extractor_of
from pipelines.audio.headers import read_headers
from pipelines.audio.loading import QUALITY
from pipelines.audio.sources import Listing
from pipelines.audio.spectrogram import MinMaxNormaliser
from pipelines.config import DatasetConfig
from pipelines.dataset.framing import frame
from pipelines.dataset.records import Record, serialize
from pipelines.plan.changes import Changes
from pipelines.plan.estimating import Estimator
from pipelines.plan.tasks import tasks
from pipelines.space import free_bytes
from pipelines.store.paths import local_path

_START_SECONDS = 4.0  # Beam and the builder processes, measured on two cores
_TYPICAL_RATE_HZ = 44100


@dataclass(frozen=True)
class DryRun:
    """Counts of files (of duplicates those that are new) and shards, hours, bytes, and the time that it may take.

    bytes_free: on the disk of a local output.
    """

    files: int
    unchanged: int
    new: int
    changed: int
    removed: int
    moved: int
    duplicates: int
    failed_before: int
    ignored: int
    unreadable_headers: int
    hours: float
    shards: int
    records: int
    bytes_to_write: int
    bytes_free: int | None
    estimated_seconds: float


def describe_plan(
    changes: Changes, listing: Listing, config: DatasetConfig, shard_mb: float, workers: int | None, output: str
) -> DryRun:
    """What a run would do."""
    seconds, unreadable = _header_seconds(changes.build)
    segments = sum(_num_segments(length, config) for length in seconds)
    num_shards = sum(1 for _ in tasks(changes, config, Estimator(changes.build, config), shard_mb))
    busy = segments * _seconds_per_segment(config) / (workers or os.cpu_count() or 1)
    return DryRun(
        files=len(listing.table),
        unchanged=changes.unchanged,
        new=changes.new,
        changed=changes.changed,
        removed=changes.removed,
        moved=changes.moved,
        duplicates=changes.new_duplicates,
        failed_before=changes.failed_before,
        ignored=listing.ignored,
        unreadable_headers=unreadable,
        hours=round(math.fsum(seconds) / 3600, 4),
        shards=num_shards,
        records=segments,
        bytes_to_write=segments * _record_bytes(config),
        bytes_free=free_bytes(path) if (path := local_path(output)) is not None else None,
        estimated_seconds=round(_START_SECONDS + busy, 1) if not changes.nothing else 0.0,
    )


def _header_seconds(build: pa.Table) -> tuple[list[float], int]:
    """The length of each file that has a readable header, and how many have none."""
    uris = [store.join(row["root"], row["source"]) for row in build.select(["root", "source"]).to_pylist()]
    headers = read_headers(uris, os.cpu_count() or 1)
    known = [header.seconds for header in headers if header is not None]
    return known, len(headers) - len(known)


def _num_segments(seconds: float, config: DatasetConfig) -> int:
    if config.audio.segments == "first":
        return 1
    samples = math.ceil(seconds * config.audio.sample_rate)
    beyond = max(0, samples - config.audio.segment_samples)
    return 1 + math.ceil(beyond / config.audio.segment_hop_samples)


def _example(config: DatasetConfig) -> tuple[Extractor, np.ndarray]:
    extractor = extractor_of(config.audio, config.spectrogram)
    samples = int(config.audio.segment_seconds * _TYPICAL_RATE_HZ) or 1
    noise = np.random.default_rng(0).normal(0, 0.1, (samples, config.audio.channels))
    return extractor, noise.astype(np.float32)


def _serialized(extractor: Extractor, noise: np.ndarray, config: DatasetConfig) -> bytes:
    audio = config.audio
    waveform = soxr.resample(noise, _TYPICAL_RATE_HZ, audio.sample_rate, QUALITY)
    padded = np.zeros((audio.segment_samples, audio.channels), np.float32)
    padded[: len(waveform)] = waveform[: len(padded)]
    decibels = extractor.extract(padded)
    labels = dict.fromkeys(config.label_names, "label")
    record = Record(MinMaxNormaliser().normalise(decibels), 0.0, 0.0, "folder/name.wav", 0, 0.0, 0, labels)
    return frame(serialize(record, config.dtype))


def _seconds_per_segment(config: DatasetConfig) -> float:
    """Time of resampling, extracting and serializing a segment of noise, measured now."""
    extractor, noise = _example(config)
    _serialized(extractor, noise, config)
    start, rounds = time.perf_counter(), 20
    for _ in range(rounds):
        _serialized(extractor, noise, config)
    return (time.perf_counter() - start) / rounds


def _record_bytes(config: DatasetConfig) -> int:
    """Bytes of a record with a name of common length."""
    return len(_serialized(*_example(config), config))

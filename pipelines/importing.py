"""Spectrograms that another program made, as a dataset: the course's `.npy` files and the table of their ranges."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines import store
from pipelines.audio.sources import LISTING, Listing
from pipelines.building.processing import Row, failure, labels_of
from pipelines.building.shards import ShardSummary, save_shard
from pipelines.building.task import ShardTask, shard_name
from pipelines.config import DatasetConfig, split_of
from pipelines.dataset.array_settings import settings_of_shape
from pipelines.dataset.folder import Dataset
from pipelines.dataset.npy import parse_npy
from pipelines.dataset.ranges_table import Bounds, ranges_of, read_ranges
from pipelines.dataset.records import Record, merged_range, serialize
from pipelines.errors import SettingError, WorkError
from pipelines.plan.changes import compare
from pipelines.plan.policy import MaxFailures, Policy
from pipelines.request import RunOptions
from pipelines.runs import committing, plan_files
from pipelines.runs.folder import PlannedRun, clear_leftovers, open_base
from pipelines.store.holding import lock
from pipelines.store.paths import Place
from pipelines.store.protocol import Item

_SUFFIX = ".npy"


@dataclass(frozen=True)
class ImportedArrays:
    """What was imported. failed: features that could not be used, by why, as they are in the manifest."""

    dataset: Dataset
    written: int
    failed: dict[str, str]


@dataclass(frozen=True)
class _Feature:
    """A file of features with the range of its sound, which is what a record is made of."""

    item: Item
    bounds: Bounds

    @property
    def source(self) -> str:
        """The name of the sound that it was made of."""
        return self.item.name.removesuffix(_SUFFIX)


def import_npy(
    features: Place,
    min_max: Place,
    output: Place,
    *,
    sample_rate: int | None = None,
    hop_length: int | None = None,
    **settings: Any,
) -> ImportedArrays:
    """Make a dataset of the course's `.npy` files and the table of their ranges: `audio-vae import-npy`.

    features: the folder of arrays (n_bins, n_frames) or (n_bins, n_frames, n_channels) in [0, 1]. min_max: the table,
    `min_max_values.json` or the course's pickle, which is read as data. output: a new folder. sample_rate, hop_length:
    what the arrays do not tell, 22,050 Hz and half a frame unless given. settings: `split`, `split_pattern`,
    `label_pattern` and `dtype` (float32 unless given) as of `preprocess`. The values are those of the arrays. An array
    that can't be used is a failure in the manifest. SettingError names what does not fit, and then nothing is written.

    >>> from pipelines import Loader, LogSpectrogramExtractor, MinMaxNormaliser, Padder, PreprocessingPipeline, Saver
    >>> steps = Loader(22050, 0.74), Padder(), LogSpectrogramExtractor(512, 256), MinMaxNormaliser()
    >>> saver = Saver(folder / "features", folder / "ranges")
    >>> _ = PreprocessingPipeline(*steps, saver).process(sounds)
    >>> table = folder / "ranges" / "min_max_values.pkl"
    >>> done = import_npy(folder / "features", table, folder / "dataset", split="none")
    >>> done.written, done.dataset.record.shape, done.dataset.record.dtype
    (12, (256, 64, 1), 'float32')
    """
    features, min_max, output = os.fspath(features), os.fspath(min_max), os.fspath(output).rstrip("/")
    found = _found(features, min_max)
    shape = _first_shape(features, found)
    audio, spectrogram = settings_of_shape(shape, sample_rate, hop_length)
    config = DatasetConfig(audio, spectrogram, dtype="float32").replaced(settings)
    with lock(output):
        if open_base(output) is not None:
            raise SettingError(f"--output {output}: must be a new folder, it is a dataset")
        clear_leftovers(output, None)
        run = _planned(features, output, config, len(found))
        try:
            failed: dict[str, str] = {}
            summaries = [_write(run, features, task, held, failed) for task, held in _shards(found, config)]
            whole = merged_range((summary.min_db, summary.max_db) for summary in summaries)
            dataset = committing.commit(run, summaries, whole)
        except BaseException:
            clear_leftovers(output, None, own=run.name)
            raise
    return ImportedArrays(dataset, dataset.sources.written, failed)


def _found(features: str, min_max: str) -> list[_Feature]:
    """The features in the order of their names, each with its range."""
    try:
        items = sorted(item for item in store.files(features) if item.name.endswith(_SUFFIX))
    except OSError as error:
        raise SettingError(f"FEATURES {features}: must be a folder that can be listed: {error.strerror}") from error
    items = [item for item in items if not os.path.basename(item.name).startswith(".")]
    if not items:
        raise SettingError(f"FEATURES {features}: must hold at least one {_SUFFIX} file")
    bounds = ranges_of(read_ranges(min_max), [item.name for item in items], min_max)
    return [_Feature(*pair) for pair in zip(items, bounds, strict=True)]


def _first_shape(features: str, found: list[_Feature]) -> tuple[int, ...]:
    """The shape of the first feature that can be used, which all must have. WorkError when there is none."""
    reason = ""
    for feature in found:
        try:
            return _array(features, feature).shape
        except ValueError as error:
            reason = reason or f"{feature.item.name}: {error}"
    raise WorkError(f"FEATURES {features}: none of {len(found)} features can be used. The first: {reason}")


def _array(features: str, feature: _Feature) -> NDArray[np.float32]:
    """The feature as (n_bins, n_frames, n_channels). ValueError when it can be no record."""
    array = parse_npy(store.read_bytes(store.join(features, feature.item.name)))
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"its shape {array.shape} is not (n_bins, n_frames) or (n_bins, n_frames, n_channels)")
    if not np.isfinite(array).all():
        raise ValueError("it has values that are no finite numbers, as the course makes them of silence")
    if array.min() < 0 or array.max() > 1:
        raise ValueError(f"its values lie from {array.min():g} to {array.max():g}, not in [0, 1]")
    return array


def _planned(features: str, output: str, config: DatasetConfig, num_sources: int) -> PlannedRun:
    nothing = Listing(LISTING.empty_table(), {}, ())
    changes = compare(nothing, None, Policy(), config)
    run = plan_files.plan_run(output, None, config, nothing, changes, (), MaxFailures())
    return dataclasses.replace(run, inputs=(features,), num_sources=num_sources)


def _shards(found: Sequence[_Feature], config: DatasetConfig) -> Iterator[tuple[ShardTask, list[_Feature]]]:
    """The features cut into shards, split by split."""
    by_split: dict[str, list[_Feature]] = {}
    for feature in found:
        by_split.setdefault(split_of(feature.source, config), []).append(feature)
    bytes_each = np.dtype(config.dtype).itemsize * int(np.prod(config.record_shape))
    at_once = max(1, int(RunOptions().shard_mb * 1e6 / bytes_each))
    for split, features in by_split.items():
        for number, start in enumerate(range(0, len(features), at_once)):
            yield ShardTask(shard_name(split, number), split), features[start : start + at_once]


def _write(
    run: PlannedRun, features: str, task: ShardTask, held: Sequence[_Feature], failed: dict[str, str]
) -> ShardSummary:
    """Write one shard and its rows of the manifest; what can't be used goes into `failed`."""
    rows: list[Row] = []

    def records() -> Iterator[bytes]:
        for feature in held:
            known = {"source": feature.source, "size": feature.item.size, "stamp": feature.item.stamp}
            try:
                record = _record(features, feature, run.config)
            except ValueError as error:
                failed[feature.item.name] = str(error)
                rows.append(known | {"split": task.split, "shard": None, **failure("decode", str(error))})
                continue
            rows.append(known | {"split": task.split, "shard": task.shard, **_row(feature, run.config)})
            yield serialize(record, run.config.dtype)

    built = save_shard(task, records(), rows, run.config.dtype, run.uri)
    plan_files.write_rows(run, built)
    return built.summary


def _record(features: str, feature: _Feature, config: DatasetConfig) -> Record:
    array = _array(features, feature)
    if array.shape != config.record_shape:
        raise ValueError(f"its shape {array.shape} is not that of the others, {config.record_shape}")
    bounds, labels = feature.bounds, labels_of(feature.source, _pattern(config))
    return Record(array, bounds.min_db, bounds.max_db, feature.source, 0, 0.0, array.shape[1], labels)


def _row(feature: _Feature, config: DatasetConfig) -> Row:
    seconds = round(config.audio.segment_seconds, 6)
    bounds = {"min_db": feature.bounds.min_db, "max_db": feature.bounds.max_db}
    row = {"status": "written", "num_segments": 1, "seconds": seconds, **bounds}
    return row | {"error_stage": None, "error": None, "warning": None}


def _pattern(config: DatasetConfig) -> re.Pattern[str] | None:
    return None if config.label_pattern is None else re.compile(config.label_pattern)

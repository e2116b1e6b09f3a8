"""From a dataset's shards to the batches of a model: interleave, cache, shuffle, batch, parse, scale, prefetch."""

from __future__ import annotations

import math
from typing import Any

import fsspec
import numpy as np
import tensorflow as tf
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from pipelines.dataset import Dataset
from pipelines.errors import WorkError
from pipelines.records import parse_batch
from vae_model.bundle import ValueRange

SHUFFLE_MB = 256
"""A split larger than this is shuffled through a buffer of this size, and its shards come in a new order each epoch."""

SUMMARY_EXAMPLES = 2048
"""Training examples that statistics of the data are taken from: at most this many, from all shards alike."""

_PARALLEL_SHARDS = 8
_MB = 2**20


def batches(
    dataset: Dataset,
    split: str,
    value_range: ValueRange,
    batch_size: int,
    *,
    shuffle_seed: int | None = None,
    cache_mb: int = 1024,
) -> tf.data.Dataset:
    """The spectrograms of a split, float32 (batch, n_bins, n_frames, n_channels), scaled to `value_range`.

    shuffle_seed: reproducible order, a new one every epoch; None keeps one fixed order. cache_mb: a split of at most
    this size stays in memory after its first reading, as serialized records. The last batch may be smaller.
    SettingError when there is no such split.
    """

    def scale(example: dict[str, tf.Tensor]) -> tf.Tensor:
        return scaled(example, value_range)

    data = _examples(dataset, split, batch_size, shuffle_seed, cache_mb).map(scale, num_parallel_calls=tf.data.AUTOTUNE)
    count = math.ceil(dataset.split(split).num_examples / batch_size)
    return data.apply(tf.data.experimental.assert_cardinality(count)).prefetch(tf.data.AUTOTUNE)


def scaled(example: dict[str, Any], value_range: ValueRange) -> Any:
    """A batch of parsed records, each in [0, 1] of its own range, in [0, 1] of `value_range` instead.

    (x * (max_db - min_db) + min_db - range.min_db) / (range.max_db - range.min_db), a multiply and an add a cell.
    Records stay as they are when the range is per record.
    """
    spectrogram = example["spectrogram"]
    if value_range.per_record:
        return spectrogram
    span = value_range.span_db
    factor = (example["max_db"] - example["min_db"]) / span
    offset = (example["min_db"] - value_range.min_db) / span
    return spectrogram * factor[:, None, None, None] + offset[:, None, None, None]


def first_examples(dataset: Dataset, split: str, limit: int = SUMMARY_EXAMPLES) -> dict[str, NDArray[Any]]:
    """Up to `limit` records of a split, taken from its shards in turn: the features of `parse_batch` as arrays."""
    data = _examples(dataset, split, limit, None, 0).take(1)
    return dict(next(data.as_numpy_iterator()))


def record_range(examples: dict[str, NDArray[Any]]) -> ValueRange:
    """The typical range of records that are each scaled to their own: the medians of min_db and of max_db."""
    low, high = float(np.median(examples["min_db"])), float(np.median(examples["max_db"]))
    return ValueRange(low, high, per_record=True)


def _examples(
    dataset: Dataset, split: str, batch_size: int, shuffle_seed: int | None, cache_mb: int
) -> tf.data.Dataset:
    """Batches of the features of `parse_batch`."""
    stored = dataset.split(split)
    split_bytes = sum(shard.num_bytes for shard in stored.shards)
    cached = split_bytes <= cache_mb * _MB
    files = tf.data.Dataset.from_tensor_slices(_local_paths(dataset, split))
    if shuffle_seed is not None and not cached:
        files = files.shuffle(len(stored.shards), seed=shuffle_seed)
    records = files.interleave(
        tf.data.TFRecordDataset,
        cycle_length=_PARALLEL_SHARDS,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    if cached:
        records = records.cache()
    if shuffle_seed is not None:
        fitting = stored.num_examples * SHUFFLE_MB * _MB // max(split_bytes, 1)
        records = records.shuffle(max(batch_size, min(stored.num_examples, fitting)), seed=shuffle_seed)
    spec = dataset.record
    return records.batch(batch_size).map(lambda batch: parse_batch(batch, spec), num_parallel_calls=tf.data.AUTOTUNE)


def _local_paths(dataset: Dataset, split: str) -> list[str]:
    """Paths of a split's shards; those on a remote store are copied to a folder that goes when the process ends."""
    uris = dataset.shard_uris(split)
    if not uris:
        raise WorkError(f"{dataset.uri}: its split {split} holds no records")
    try:
        if isinstance(fsspec.core.url_to_fs(uris[0])[0], LocalFileSystem):
            return [fsspec.core.url_to_fs(uri)[1] for uri in uris]
        return list(fsspec.open_local([f"simplecache::{uri}" for uri in uris], mode="rb"))
    except OSError as error:
        raise WorkError(f"{dataset.uri}: the shards of split {split} cannot be read: {error}") from error

"""From a dataset's shards to the batches of a model: order, read, shuffle, batch, parse, scale, prefetch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipelines.dataset.folder import Dataset
from pipelines.dataset.framing import check_lengths
from pipelines.dataset.records import (
    MAX_DB,
    MIN_DB,
    SEGMENT,
    SOURCE,
    SPECTROGRAM,
    VALID_FRAMES,
    RecordSpec,
    parse_batch,
    parse_stored,
    to_float,
)
from pipelines.errors import WorkError
from pipelines.store.paths import local_path
from vae_model.model_folder.value_range import ValueRange
from vae_model.training.parsed import Moves, loudest_db, scaled
from vae_model.training.shard_cache import CACHE, FETCHED, FETCHES

SHUFFLE_MB = 256
"""A split is shuffled through a buffer of this size; a larger one also by its shards, in a new order each epoch."""
SUMMARY_EXAMPLES = 3072
"""Training examples that statistics of the data are taken from: at most this many, from all shards alike."""
_PARALLEL_SHARDS = 8
_PARSED_AT_ONCE = 64
MB = 2**20


class Order:
    """The order of the examples: a function of the seed and of `epoch`, counted from 0, alone.

    Set `epoch` before the data are iterated over: they read it when they begin.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._epoch = tf.Variable(0, dtype=tf.int64, trainable=False, name="epoch")

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration over the data gives."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch.assign(epoch)

    def key(self) -> tf.Tensor:
        """int32 (2,): the seed and the epoch, read inside a tf.data function."""
        return tf.stack([tf.constant(self.seed, tf.int32), tf.cast(self._epoch.read_value(), tf.int32)])

    def key_at(self, step: tf.Tensor) -> tf.Tensor:
        """int32 (2,): of an epoch's step."""
        return tf.random.experimental.stateless_fold_in(self.key(), step)


@dataclass(frozen=True)
class _Held:
    """A split in memory: spectrograms (count, n_bins, n_frames, n_channels) as they are stored, the rest (count,)."""

    spectrogram: tf.Tensor
    min_db: tf.Tensor
    max_db: tf.Tensor
    valid_frames: tf.Tensor

    def at(self, numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        """The features that `scaled` needs of the examples with these numbers, (batch,)."""
        stored = tf.gather(self.spectrogram, numbers)
        return {
            SPECTROGRAM: to_float(stored),
            MIN_DB: tf.gather(self.min_db, numbers),
            MAX_DB: tf.gather(self.max_db, numbers),
            VALID_FRAMES: tf.gather(self.valid_frames, numbers),
        }


class Examples:
    """A split's records, in memory when they are at most `cache_mb` large, else read from its shards each epoch.

    The order in which they come does not depend on which of both it is. replicas: devices that share each batch; a last
    batch of an epoch too small for all of them is left out. SettingError when there is no such split.
    """

    def __init__(self, dataset: Dataset, split: str, cache_mb: int = 0, replicas: int = 1) -> None:
        self.spec: RecordSpec = dataset.record
        stored = dataset.split(split)
        self.count = stored.num_examples
        self._replicas = replicas
        self._counts = [shard.num_examples for shard in stored.shards]
        self.num_bytes = sum(shard.num_bytes for shard in stored.shards)
        self._name = f"{dataset.uri}: split {split}"
        self._may_lack = dataset.config.audio.leaves_out
        self._level_channels = dataset.config.level_channels
        self._shards = [
            (uri, shard.num_bytes) for uri, shard in zip(dataset.shard_uris(split), stored.shards, strict=True)
        ]
        if not self._shards:
            raise WorkError(f"{dataset.uri}: its split {split} holds no records")
        self._seen: set[int] = set()
        self._is_local = local_path(self._shards[0][0]) is not None
        self._held = self._read_all() if self.num_bytes <= cache_mb * MB else None

    @property
    def in_memory(self) -> bool:
        """Whether the records are held in memory."""
        return self._held is not None

    def steps(self, batch_size: int) -> int:
        """Batches an epoch; the last one may be smaller."""
        whole, rest = divmod(self.count, batch_size)
        return whole + (rest >= self._replicas)

    def batches(
        self,
        value_range: ValueRange,
        batch_size: int,
        order: Order | None = None,
        skip_steps: int = 0,
        *,
        moves: Moves | None = None,
        with_valid_frames: bool = False,
        weight: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> tf.data.Dataset:
        """One epoch of spectrograms, float32 (batch, n_bins, n_frames, n_channels), scaled to `value_range`.

        order: shuffled for the epoch that it stands at when the iteration begins; None keeps one fixed order.
        skip_steps: batches at the epoch's beginning that are left out. moves: with an order, how far each batch is
        moved. with_valid_frames: pairs of that and int64 (batch,), the frames
        before the padding. weight: what each counts, by its loudest level in dB (batch,); then triples with a target,
        that is the spectrograms or the frames, and the weights, whose mean in a batch is 1.
        """
        steps = self.steps(batch_size)
        examples = self._ordered(batch_size, order).take(steps * batch_size).skip(skip_steps * batch_size)
        data = examples.batch(batch_size)
        held, spec, levels = self._held, self.spec, self._level_channels

        def parse(step: tf.Tensor, batch: tf.Tensor) -> Any:
            example = held.at(batch) if held else parse_batch(batch, spec)
            if order is not None and moves:
                spectrograms, example = moves.drawn(order.key_at(step), example, value_range, levels)
            else:
                spectrograms = scaled(example, value_range)
            if weight is not None:
                weights = weight(loudest_db(example, levels))
                target = example[VALID_FRAMES] if with_valid_frames else spectrograms
                return spectrograms, target, weights / tf.reduce_mean(weights)
            return (spectrograms, example[VALID_FRAMES]) if with_valid_frames else spectrograms

        data = data.enumerate(skip_steps).map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        options = tf.data.Options()  # several machines read the same and each takes its share: the order stays
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        data = data.apply(tf.data.experimental.assert_cardinality(steps - skip_steps))
        return data.prefetch(tf.data.AUTOTUNE).with_options(options)

    def first(self, limit: int = SUMMARY_EXAMPLES) -> dict[str, NDArray[Any]]:
        """Up to `limit` records, taken from the shards in turn: the features of `parse_batch` as arrays."""
        data = self._read(tf.data.Dataset.range(len(self._shards)))
        data = data.take(limit).batch(_PARSED_AT_ONCE).map(lambda batch: parse_batch(batch, self.spec))
        parts = list(data.as_numpy_iterator())
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _ordered(self, batch_size: int, order: Order | None) -> tf.data.Dataset:
        """Serialized records, or numbers of records in memory, in the order of an epoch."""
        read = self._numbers if self._held else self._read
        if order is None:
            return read(tf.data.Dataset.range(len(self._shards)))
        fitting = self.count * SHUFFLE_MB * MB // max(self.num_bytes, 1)
        buffer = max(batch_size, min(self.count, fitting))

        def epoch(_: tf.Tensor) -> tf.data.Dataset:
            key = order.key()
            shards = tf.random.experimental.stateless_shuffle(tf.range(len(self._shards), dtype=tf.int64), seed=key)
            seeds = tf.random.stateless_uniform((2,), key, minval=1, maxval=2**62, dtype=tf.int64)
            return _shuffled(read(tf.data.Dataset.from_tensor_slices(shards)), buffer, seeds)

        return tf.data.Dataset.range(1).flat_map(epoch)

    def _read(self, shards: tf.data.Dataset, at_once: int = _PARALLEL_SHARDS) -> tf.data.Dataset:
        """The serialized records of shards, of a few at a time in turn; remote ones are fetched ahead."""
        if self._is_local:
            paths = tf.constant([local_path(uri) for uri, _ in self._shards])
            files = shards.map(lambda shard: tf.gather(paths, self._checked(shard)))
        else:
            files = shards.map(self._fetched, num_parallel_calls=FETCHES, deterministic=True).prefetch(FETCHES)
        return files.interleave(
            tf.data.TFRecordDataset,
            at_once,
            # of remote shards no more are opened than are read, so that their copies may go
            num_parallel_calls=tf.data.AUTOTUNE if self._is_local else None,
            deterministic=True if self._is_local else None,
        )

    def _checked(self, shard: tf.Tensor) -> tf.Tensor:
        """The number of a local shard once its lengths have been looked at."""

        def check(number: Any) -> Any:
            self._check(int(number), local_path(self._shards[number][0]) or "")
            return number

        number = tf.numpy_function(check, [shard], tf.int64)
        number.set_shape(())
        return number

    def _check(self, number: int, path: str) -> None:
        """Look at a shard before TensorFlow does, the first time that it is read."""
        if number not in self._seen:
            uri, num_bytes = self._shards[number]
            check_lengths(path, num_bytes, self._counts[number], uri)
            self._seen.add(number)

    def _fetched(self, shard: tf.Tensor) -> tf.Tensor:
        def fetch(number: Any) -> bytes:
            uri, num_bytes = self._shards[number]
            return FETCHED.path(uri, num_bytes, partial(self._check, int(number))).encode()

        path = tf.numpy_function(fetch, [shard], tf.string)
        path.set_shape(())
        return path

    def _numbers(self, shards: tf.data.Dataset) -> tf.data.Dataset:
        """The numbers in memory of the records of shards, in the same order as `_read`."""
        ends = np.cumsum([0, *self._counts])
        return shards.interleave(
            lambda shard: tf.data.Dataset.range(tf.gather(ends, shard), tf.gather(ends, shard + 1)), _PARALLEL_SHARDS
        )

    def _read_all(self) -> _Held:
        """All records, shard after shard."""
        stored = np.empty((self.count, *self.spec.shape), self.spec.dtype)
        decibels = np.empty((2, self.count), np.float32)
        valid_frames = np.empty(self.count, np.int64)
        data = self._read(tf.data.Dataset.range(len(self._shards)), at_once=1).batch(_PARSED_AT_ONCE)
        data = data.map(lambda batch: parse_stored(batch, self.spec)).prefetch(tf.data.AUTOTUNE)
        start, last = 0, (b"", -1)
        for batch in data.as_numpy_iterator():
            end = start + len(batch[SPECTROGRAM])
            if end > self.count:
                break
            stored[start:end] = batch[SPECTROGRAM]
            decibels[:, start:end] = batch[MIN_DB], batch[MAX_DB]
            valid_frames[start:end] = batch[VALID_FRAMES]
            last = self._check_numbers(batch, last, start)
            start = end
        if start != self.count:
            raise WorkError(f"{self._name} must hold {self.count} records, as its dataset.json says")
        if not self._is_local:
            CACHE.clear()
        return _Held(*map(tf.convert_to_tensor, (stored, *decibels, valid_frames)))

    def _check_numbers(self, batch: dict[str, Any], last: tuple[bytes, int], start: int) -> tuple[bytes, int]:
        """WorkError where the segments of a source do not follow one another from 0, those that are left out apart.

        Returns the last one.

        last: the source and segment before this batch. start: the number of its first record in the split.
        """
        sources, segments = batch[SOURCE], batch[SEGMENT]
        before = np.concatenate([[last[0]], sources[:-1]])
        numbers = np.concatenate([[last[1]], segments[:-1]])
        wanted = np.where(sources == before, numbers + 1, 0)
        wrong = np.flatnonzero(segments < wanted if self._may_lack else segments != wanted)
        if len(wrong):
            ends = np.cumsum(self._counts)
            shard = int(np.searchsorted(ends, start + wrong[0], side="right"))
            number = start + wrong[0] - (ends[shard] - self._counts[shard]) + 1
            name = sources[wrong[0]].decode()
            raise WorkError(
                f"{self._shards[shard][0]}: record {number}: segment={segments[wrong[0]]} of {name!r} must be numbered "
                "from 0, one after the other"
            )
        return sources[-1], int(segments[-1])


def _shuffled(data: tf.data.Dataset, buffer: int, seeds: tf.Tensor) -> tf.data.Dataset:
    """`data.shuffle` with both its seeds, int64 (2,): that one takes no tensor, and mixes in the global seed."""
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(data),
        buffer_size=buffer,
        seed=seeds[0],
        seed2=seeds[1],
        output_types=[data.element_spec.dtype],
        output_shapes=[data.element_spec.shape],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, data.element_spec)


def batches(dataset: Dataset, split: str, value_range: ValueRange, batch_size: int) -> tf.data.Dataset:
    """The spectrograms of a split in one fixed order, float32 (batch, n_bins, n_frames, n_channels) in `value_range`.

    They are read from the shards each time. The last batch may be smaller. SettingError when there is no such split.
    """
    return Examples(dataset, split).batches(value_range, batch_size)


def first_examples(dataset: Dataset, split: str, limit: int = SUMMARY_EXAMPLES) -> dict[str, NDArray[Any]]:
    """Up to `limit` records of a split, taken from its shards in turn: the features of `parse_batch` as arrays."""
    return Examples(dataset, split).first(limit)


def typical_range(examples: dict[str, NDArray[Any]]) -> ValueRange:
    """The typical range of records that are each scaled to their own: the medians of min_db and of max_db."""
    low, high = float(np.median(examples["min_db"])), float(np.median(examples["max_db"]))
    return ValueRange(low, high, per_record=True)

"""Parsed records as a model is given them: in its value range, and while it is trained moved a little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.dataset.records import MAX_DB, MIN_DB, SPECTROGRAM, VALID_FRAMES
from vae_model.model_folder.config import TrainConfig
from vae_model.model_folder.value_range import ValueRange


@dataclass(frozen=True)
class Moves:
    """How far batches are moved at most while a model is trained: in frames, in bins, in dB; each time, all alike.

    False when they are not moved.
    """

    frames: int = 0
    bins: int = 0
    level_db: float = 0.0

    @classmethod
    def of(cls, train: TrainConfig) -> Moves:
        """The settings' own."""
        return cls(train.time_shift_frames, train.frequency_shift_bins, train.level_shift_db)

    def __bool__(self) -> bool:
        return bool(self.frames or self.bins or self.level_db)

    def least(self, sign: int) -> Moves:
        """A frame and a bin, where such moves are made, and half of the level's: later, up and louder for sign 1."""
        return Moves(sign * min(self.frames, 1), sign * min(self.bins, 1), sign * self.level_db / 2)

    def drawn(
        self, key: tf.Tensor, example: dict[str, Any], value_range: ValueRange, level_channels: int
    ) -> tuple[tf.Tensor, dict[str, Any]]:
        """(a batch in its value range, what it is of), moved as far as a key, int32 (2,), says."""
        if self.frames:
            frames = tf.random.stateless_uniform((), key, -self.frames, self.frames + 1, tf.int32)
            example = shifted(example, frames, self.frames)
        spectrograms = scaled(example, value_range)
        if self.bins:
            own = tf.random.experimental.stateless_fold_in(key, 1)
            bins = tf.random.stateless_uniform((), own, -self.bins, self.bins + 1, tf.int32)
            spectrograms = higher(spectrograms, bins)
        if self.level_db:
            own = tf.random.experimental.stateless_fold_in(key, 2)
            level_db = tf.random.stateless_uniform((), own, -self.level_db, self.level_db)
            spectrograms = louder(spectrograms, level_db, value_range, level_channels)
        return spectrograms, example


def higher(spectrograms: Any, bins: Any) -> Any:
    """Spectrograms (batch, n_bins, n_frames, n_channels) so many bins up, or down if below 0.

    Beyond the first and the last bin lies more of the same.
    """
    n_bins = spectrograms.shape[1]
    return tf.gather(spectrograms, tf.clip_by_value(tf.range(n_bins) - bins, 0, n_bins - 1), axis=1)


def louder(spectrograms: Any, level_db: Any, value_range: ValueRange, level_channels: int) -> Any:
    """Spectrograms (batch, n_bins, n_frames, n_channels), in [0, 1] of a range in dB, so many dB louder.

    Cells at the floor, such as padding, and channels that hold no levels stay what they are.
    """
    levels, others = spectrograms[..., :level_channels], spectrograms[..., level_channels:]
    raised = tf.clip_by_value(levels + level_db / (value_range.max_db - value_range.min_db), 0.0, 1.0)
    return tf.concat([tf.where(levels > 0, raised, 0.0), others], axis=-1)


def shifted(example: dict[str, Any], frames: Any, most: int) -> dict[str, Any]:
    """A batch of parsed records moved later by `frames`, or earlier if below 0; |frames| <= most.

    What moves in is 0, the record's least level; what moves out is lost.
    """
    spectrogram = tf.convert_to_tensor(example[SPECTROGRAM])
    n_frames = spectrogram.shape[2]
    padded = tf.pad(spectrogram, [[0, 0], [0, 0], [most, most], [0, 0]])
    moved = tf.slice(padded, [0, 0, most - frames, 0], [-1, -1, n_frames, -1])
    moved = tf.ensure_shape(moved, spectrogram.shape)
    valid = tf.clip_by_value(example[VALID_FRAMES] + tf.cast(frames, tf.int64), 0, n_frames)
    return example | {SPECTROGRAM: moved, VALID_FRAMES: valid}


def loudest_db(example: dict[str, Any], level_channels: int) -> Any:
    """The loudest level of each record of a batch, (batch,), in dB: a tensor of tensors, an array of arrays."""
    values, low, high = example[SPECTROGRAM][..., :level_channels], example[MIN_DB], example[MAX_DB]
    if isinstance(values, np.ndarray):
        return values.max(axis=(1, 2, 3)) * (high - low) + low
    return tf.reduce_max(values, axis=(1, 2, 3)) * (high - low) + low


def scaled(example: dict[str, Any], value_range: ValueRange) -> Any:
    """A batch of parsed records, each in [0, 1] of its own range, in [0, 1] of `value_range` instead.

    Records stay as they are when the range is per record.
    """
    spectrogram = example[SPECTROGRAM]
    if value_range.per_record:
        return spectrogram
    return value_range.from_range(spectrogram, ValueRange.of_each(example[MIN_DB], example[MAX_DB]))

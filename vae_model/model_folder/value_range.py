"""Records as a model is given them: what 0 and 1 stand for in its input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.dataset.records import Record


def record_range(record: Record, value_range: ValueRange) -> ValueRange:
    """The decibels that 0 and 1 stand for when a model of `value_range` is given this record."""
    return ValueRange(record.min_db, record.max_db, per_record=True) if value_range.per_record else value_range


def log_spectrogram(record: Record) -> NDArray[np.float32]:
    """The record's spectrogram in dB, (n_bins, n_frames, n_channels)."""
    return record.spectrogram * np.float32(record.max_db - record.min_db) + np.float32(record.min_db)


def model_input(record: Record, value_range: ValueRange) -> NDArray[np.float32]:
    """The record's spectrogram in [0, 1] as a model of `value_range` is given it, (n_bins, n_frames, n_channels)."""
    own = record_range(record, value_range)
    scaled: NDArray[np.float32] = (log_spectrogram(record) - np.float32(own.min_db)) / np.float32(own.span_db)
    return scaled


@dataclass(frozen=True)
class ValueRange:
    """The decibels that 0 and 1 stand for in a model's input and output.

    per_record: the model's input is each record scaled to its own range; min_db and max_db are then the typical range
    (medians over training records), for sounds that come from no record.
    """

    min_db: float
    max_db: float
    per_record: bool = False

    @property
    def span_db(self) -> float:
        """max_db - min_db; 1 for a range without extent, so that scaling by it never divides by zero."""
        return self.max_db - self.min_db or 1.0

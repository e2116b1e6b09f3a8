"""Records as a model is given them: what 0 and 1 stand for in its input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Record
from vae_model.bundle import ValueRange


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

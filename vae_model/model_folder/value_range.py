"""What 0 and 1 stand for in a model's input and output: the one place that turns decibels into [0, 1] and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipelines.dataset.records import Record

Decibels = Any
"""A float; for many records at once a numpy array or a tensor that broadcasts over their values."""


@dataclass(frozen=True)
class ValueRange:
    """The decibels that 0 and 1 stand for in a model's input and output.

    per_record: the model's input is each record scaled to its own range; min_db and max_db are then the typical range
    (medians over training records), for sounds that come from no record.

    Whatever is scaled may be a numpy array or a tensor in a traced function, float32, and stays what it is. A range
    without extent never divides by zero: a record's own gives its one level back whatever a model makes of it, a
    model's is taken to be 1 dB wide.

    >>> ValueRange(-80.0, 20.0).to_db(np.array([0, 0.5, 1], np.float32))
    array([-80., -30.,  20.], dtype=float32)
    """

    min_db: Decibels
    max_db: Decibels
    per_record: bool = False

    @classmethod
    def of_each(cls, min_db: Any, max_db: Any) -> ValueRange:
        """The own ranges of records, (count,) each, to scale values (count, n_bins, n_frames, n_channels) with."""
        return cls(min_db[:, None, None, None], max_db[:, None, None, None], per_record=True)

    def of_levels(self, min_db: float, max_db: float) -> ValueRange:
        """What 0 and 1 stand for when a model of this range is given a sound of these lowest and highest decibels."""
        return ValueRange(min_db, max_db, per_record=True) if self.per_record else self

    def of_record(self, record: Record) -> ValueRange:
        """What 0 and 1 stand for when a model of this range is given the record."""
        return self.of_levels(record.min_db, record.max_db)

    def rows(self, rows: Any) -> ValueRange:
        """The ranges of some of the records of `of_each`; one range of all is that of each."""
        if not isinstance(self.min_db, np.ndarray):
            return self
        return replace(self, min_db=self.min_db[rows], max_db=self.max_db[rows])

    @property
    def span_db(self) -> Decibels:
        """max_db - min_db; 1 for a range without extent, so that scaling by it never divides by zero."""
        extent = self.max_db - self.min_db
        if isinstance(extent, np.ndarray):
            return np.where(extent == 0, extent.dtype.type(1), extent)
        if isinstance(extent, (int, float, np.generic)):
            return extent or 1.0
        import tensorflow as tf

        return tf.where(extent == 0, tf.ones_like(extent), extent)

    @property
    def unit_db(self) -> Any:
        """The decibels from 0 to 1, in float32: what a difference of values is multiplied by."""
        return _float32(self.max_db - self.min_db if self.per_record else self.span_db)

    def to_db(self, values: Any) -> Any:
        """Decibels of values in [0, 1]."""
        return values * self.unit_db + _float32(self.min_db)

    def from_db(self, decibels: Any) -> Any:
        """The inverse of `to_db`. What lies beyond the range lies beyond [0, 1]."""
        return (decibels - _float32(self.min_db)) / _float32(self.span_db)

    def from_range(self, values: Any, other: ValueRange) -> Any:
        """from_db(other.to_db(values)), but for rounding, in a multiply and an add a value; of silence at least 0."""
        start = _silence_within(self.from_db(_float32(other.min_db)), other.unit_db)
        return values * (other.unit_db / _float32(self.span_db)) + start

    def model_input(self, record: Record) -> NDArray[np.float32]:
        """The record's spectrogram as a model of this range is given it, float32 (n_bins, n_frames, n_channels)."""
        scaled = self.of_record(record).from_db(record.log_spectrogram)
        inside: NDArray[np.float32] = np.maximum(scaled, 0) if record.min_db == record.max_db else scaled
        return inside


def _silence_within(scaled: Any, extent_db: Any) -> Any:
    """Lowest levels scaled to a range; of records without extent at least 0: silence, which no range counts."""
    if isinstance(scaled, (np.ndarray, np.generic)):
        return np.where(extent_db == 0, np.maximum(scaled, np.float32(0)), scaled)
    import tensorflow as tf

    return tf.where(extent_db == 0, tf.maximum(scaled, 0.0), scaled)


def _float32(decibels: Decibels) -> Any:
    """In the precision of spectrograms; a tensor is in it already."""
    return np.float32(decibels) if isinstance(decibels, (int, float, np.ndarray, np.generic)) else decibels

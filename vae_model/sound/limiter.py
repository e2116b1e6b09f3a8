"""A look-ahead limiter: what is beyond full scale becomes quieter for a moment, and nothing else changes.

The gain at a sample follows from what all samples within the look-ahead need: the largest need near each, averaged over
the same distance. So it is never too little, and it turns too slowly to be heard as a click.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray

CEILING_DB = -0.3
"""The highest true peak, in dB of full scale: room for what resampling and lossy coding add."""
_MARGIN_DB = 0.6  # that far below it goes what is beyond it: a moving gain has peaks of its own between samples
_LOOK_AHEAD_SECONDS = 0.005
_RELEASE_SECONDS = 0.08  # until a need has fallen to 1/e
_OVERSAMPLED = 4  # as ITU-R BS.1770 measures true peaks
_CONTEXT = 33  # samples on both sides that the oversampling filter sees
_FILTER = scipy.signal.firwin(_OVERSAMPLED * 64 + 1, 1 / _OVERSAMPLED, window=("kaiser", 8.0))
_QUIET = 0.5  # samples below this have no true peak near the ceiling
_LEAST_DB = 1e-4  # less than this is no need


class Limiter:
    """Keeps a sound below a true peak of `CEILING_DB`. limited_db: the most that was taken off so far, 0 for nothing.

    A sound that stays below it is passed on as it is, to the bit. One for each sound, however long it is. All channels
    get the same gain, so that nothing moves between them.

    >>> import numpy as np
    >>> loud = np.sin(np.arange(8000, dtype=np.float32))[:, None] * np.float32(2)
    >>> limiter = Limiter(8000)
    >>> bool(np.abs(np.concatenate(list(limiter.limit([loud])))).max() < 0.97), round(limiter.limited_db, 1)
    (True, 6.4)
    """

    def __init__(self, sample_rate: int) -> None:
        self.limited_db = 0.0
        self._reach = max(1, round(_LOOK_AHEAD_SECONDS * sample_rate))
        hann = np.hanning(2 * self._reach + 3)[1:-1]
        self._weights = hann / hann.sum()
        self._release = 1 / (_RELEASE_SECONDS * sample_rate)  # a sample, in powers of e
        self._need = 0.0  # at the last sample that was looked at

    def limit(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """The sound in blocks (n_samples, n_channels), as many samples as were given."""
        blocks = iter(blocks)
        first_block = next(blocks, None)
        if first_block is None:
            return
        behind = 2 * self._reach + _CONTEXT
        silence = np.zeros((behind, first_block.shape[1]), np.float32)
        waiting, needs, position = silence, np.zeros(behind), behind  # position: of the next sample to give
        for block in itertools.chain([first_block], blocks, [silence]):
            waiting = np.concatenate([waiting, block])
            needs = np.concatenate([needs, self._released(self._needs(waiting, len(needs)))])
            end = len(needs) - 2 * self._reach
            if end > position:
                yield self._given(waiting, needs, position, end)
                passed = end - behind
                waiting, needs, position = waiting[passed:], needs[passed:], behind

    def _needs(self, waiting: NDArray[np.float32], start: int) -> NDArray[np.float64]:
        """By how many dB each sample from `start` on must fall, as far as what comes behind it is known."""
        end = max(start, len(waiting) - _CONTEXT)
        seen = waiting[start - _CONTEXT : end + _CONTEXT]
        if end == start or float(np.abs(seen).max()) < _QUIET:
            return np.zeros(end - start)
        fine = np.abs(scipy.signal.resample_poly(seen, _OVERSAMPLED, 1, axis=0, window=_FILTER)).max(axis=1)
        near = scipy.ndimage.maximum_filter1d(fine, 2 * _OVERSAMPLED - 1)[::_OVERSAMPLED][_CONTEXT:][: end - start]
        peaks = np.maximum(near, np.abs(waiting[start:end]).max(axis=1))
        over = 20 * np.log10(np.maximum(peaks, 1e-9)) - CEILING_DB
        return np.where(over > 0, over + _MARGIN_DB, 0.0)

    def _released(self, needs: NDArray[np.float64]) -> NDArray[np.float64]:
        """The needs, each of which falls off slowly behind its sample."""
        if len(needs) == 0 or (self._need < _LEAST_DB and not needs.any()):
            self._need = 0.0
            return needs
        slope = self._release * np.arange(len(needs) + 1)
        with np.errstate(divide="ignore"):
            logarithms = np.log(np.concatenate([[self._need], needs]))
        released = np.exp(np.maximum.accumulate(logarithms + slope) - slope)[1:]
        self._need = float(released[-1])
        return released

    def _given(
        self, waiting: NDArray[np.float32], needs: NDArray[np.float64], start: int, end: int
    ) -> NDArray[np.float32]:
        """Samples from start to end at their gain."""
        if not needs.any():
            return waiting[start:end]
        largest = scipy.ndimage.maximum_filter1d(needs, 2 * self._reach + 1, mode="constant")
        reduction = np.convolve(largest, self._weights, "same")[start:end]
        self.limited_db = max(self.limited_db, float(reduction.max()))
        return waiting[start:end] * np.power(10.0, -reduction / 20)[:, None].astype(np.float32)


def limited(waveform: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """A waveform (n_samples, n_channels) below a true peak of `CEILING_DB`."""
    return np.concatenate(list(Limiter(sample_rate).limit([waveform])))

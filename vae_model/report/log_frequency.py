"""The logarithmic frequency axis of pictures: as many rows for each octave, as ears have it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vae_model.report.axes import Tick, number

LOWEST_HZ = 40.0
"""Where the axis begins, unless the bins are wider than that."""
ROWS = 256
_STEPS = (1, 2, 5)
CLOSEST = 0.06


def to_log_rows(
    log_spectrogram: NDArray[np.float32], sample_rate: int, num_rows: int = ROWS, means: bool = False
) -> NDArray[np.float32]:
    """A log-spectrogram (n_bins, n_frames, n_channels) in dB over rows evenly apart in octaves, low ones first.

    A row has the loudest of the bins in it, with `means` their mean; one without any, what lies between two bins'
    decibels.
    """
    n_bins = len(log_spectrogram)
    edges = _edges(n_bins, sample_rate, num_rows) / (sample_rate / 2) * n_bins
    centres = np.sqrt(edges[:-1] * edges[1:])
    below = np.clip(np.floor(centres).astype(int), 0, n_bins - 1)
    above = np.minimum(below + 1, n_bins - 1)
    part = np.clip(centres - below, 0, 1)[:, None, None].astype(np.float32)
    rows = log_spectrogram[below] * (1 - part) + log_spectrogram[above] * part
    first = np.ceil(edges).astype(int)
    for row in np.flatnonzero(np.diff(first)):
        inside = log_spectrogram[first[row] : max(first[row + 1], first[row] + 1)]
        rows[row] = inside.mean(axis=0) if means else inside.max(axis=0)
    return np.asarray(rows, np.float32)


def log_frequency_ticks(n_bins: int, sample_rate: int, closest: float = CLOSEST) -> list[Tick]:
    """Ticks at 1, 2 and 5 times powers of ten in Hz or kHz, for a picture of `to_log_rows`.

    closest: parts of the height; nearer to each other, or to the upper end, ticks would touch.
    """
    lowest, nyquist = _lowest(n_bins, sample_rate), sample_rate / 2
    ticks: list[Tick] = []
    for hz in (factor * 10**power for power in range(1, 6) for factor in _STEPS):
        position = float(np.log(hz / lowest) / np.log(nyquist / lowest))
        if 0 <= position <= 1 - closest / 2 and (not ticks or position - ticks[-1].position >= closest):
            ticks.append(Tick(position, f"{number(hz / 1000)} kHz" if hz >= 1000 else f"{number(hz)} Hz"))
    return ticks


def _lowest(n_bins: int, sample_rate: int) -> float:
    """The lower end of the axis in Hz: below the first bin there is nothing to tell apart."""
    return min(max(LOWEST_HZ, sample_rate / 2 / n_bins), sample_rate / 4)


def _edges(n_bins: int, sample_rate: int, num_rows: int) -> NDArray[np.float64]:
    return np.geomspace(_lowest(n_bins, sample_rate), sample_rate / 2, num_rows + 1)

"""Sounds as a crowd beside real ones: how many are like real ones, how much of the real they reach, and copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 3
_AT_ONCE = 256


def precision_and_recall(real: NDArray[np.float32], made: NDArray[np.float32]) -> tuple[float, float]:
    """Improved precision and recall of sounds by their features, (count, dim) each: arXiv:1904.06991.

    Precision: the part of the made that lie within the distance from some real one to its third nearest real one.
    Recall: the same with both exchanged. At least 4 of each.
    """
    return _covered(real, made), _covered(made, real)


def _covered(crowd: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """The part of the others that lie within the reach of some of the crowd."""
    reach = np.concatenate(
        [np.sort(_squares(rows, crowd), axis=1)[:, min(NEIGHBOURS, len(crowd) - 1)] for rows in _parts(crowd)]
    )
    within = [(_squares(rows, crowd) <= reach).any(axis=1) for rows in _parts(others)]
    return float(np.concatenate(within).mean())


def nearest(made: NDArray[np.float32], real: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each spectrogram (count, ...) the mean squared distance to the nearest real one, (count,)."""
    flat, cells = real.reshape(len(real), -1), made[0].size
    return np.concatenate([_squares(rows.reshape(len(rows), -1), flat).min(axis=1) / cells for rows in _parts(made)])


def _squares(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared distances (len(a), len(b))."""
    lengths = (np.square(each).sum(axis=1, dtype=np.float64) for each in (a, b))
    of_a, of_b = lengths
    found: NDArray[np.float64] = np.maximum(of_a[:, None] + of_b[None] - 2 * (a @ b.T).astype(np.float64), 0)
    return found


def _parts(values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE)]

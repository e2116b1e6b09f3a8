"""Windows and the transform that phases are found for, and loops over its cells as machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import scipy.fft
from numpy.typing import NDArray

_LEAST_WEIGHT = 0.05  # of the mean that windows add up to: what only a window's very end sees is not blown up


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code, kept on disk for the next process where numba finds a folder to write to."""
    try:
        return numba.njit(cache=True, error_model="numpy", nogil=True)(function)
    except RuntimeError:  # numba's, when neither the package's folder nor the user's cache can be written
        return numba.njit(error_model="numpy", nogil=True)(function)


def hann(frame_size: int) -> NDArray[np.float32]:
    """The periodic Hann window, (frame_size,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame_size) / frame_size)).astype(np.float32)


def transform(waveform: NDArray[np.float32], frame_size: int, hop_length: int) -> NDArray[np.complex64]:
    """The transform (1 + n_samples // hop_length, frame_size // 2 + 1) of a waveform (n_samples,), zeros beyond it."""
    padded = np.pad(waveform, frame_size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame_size)[::hop_length]
    return scipy.fft.rfft(frames * hann(frame_size), axis=1)


def window_sum(n_frames: int, frame_size: int, hop_length: int) -> NDArray[np.float32]:
    """What the squared windows of n_frames add up to, ((n_frames - 1) * hop_length + frame_size,), but above 0."""
    square = hann(frame_size) ** 2
    total = np.zeros((n_frames - 1) * hop_length + frame_size, np.float32)
    for frame in range(n_frames):
        total[frame * hop_length : frame * hop_length + frame_size] += square
    return np.maximum(total, np.float32(1e-12))


def least_weight(frame_size: int, hop_length: int) -> np.float32:
    """The least that a sum of squared windows is divided by."""
    return np.float32(_LEAST_WEIGHT * 0.375 * frame_size / hop_length)  # 3/8: the mean of a squared Hann window

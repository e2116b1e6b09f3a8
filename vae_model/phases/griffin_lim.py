"""Phases made to agree with each other, by fast Griffin-Lim.

Why after the heap. Its result is good but not consistent: no sound has exactly this transform. Projecting in turn on
what some sound has (inverse and forward transform) and on the wanted magnitudes descends to a near one that is, and
stays near: from random phases it ends in a worse one. The fast one goes on along its last change (Perraudin, Balazs and
Søndergaard 2013, doi:10.1109/WASPAA.2013.6701851, algorithm 2):

    c = P_consistent(P_magnitude(t)),   t = c + 0.99 (c - c_before)

0.99 is its authors' choice. 64 steps gain 14 to 19 dB on the heap's phases, which is 4 to 25 dB more than random ones
come to in as many (docs/results.md), and cost a fiftieth of the sound's length on a core.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from vae_model.phases.windows import compiled, hann, window_sum

STEPS = 64
MOMENTUM = 0.99
"""Steps and momentum of fast Griffin-Lim; docs/sound.md has what they give."""


class Consistency:
    """The projection on what some sound has: a transform back to a waveform and forth again.

    n_frames: of the transforms. sounding: the first sample that may differ from 0 and the one behind the last, counted
    from the first frame's first.
    """

    def __init__(self, n_frames: int, frame_size: int, hop_length: int, sounding: tuple[int, int]) -> None:
        self._window = hann(frame_size)
        self._hop_length = hop_length
        self._gain = 1 / window_sum(n_frames, frame_size, hop_length)  # large at the ends, where windows are small
        self._gain[: max(sounding[0], 0)] = 0
        self._gain[max(sounding[1], 0) :] = 0
        self._waveform = np.empty(len(self._gain), np.float32)

    def project(self, current: NDArray[np.complex64]) -> NDArray[np.complex64]:
        """The nearest transform (n_frames, n_bins + 1) that a sound has."""
        frames = scipy.fft.irfft(current, len(self._window), axis=1)
        _overlap_and_cut(frames, self._window, self._hop_length, self._gain, self._waveform)
        return np.asarray(scipy.fft.rfft(frames, axis=1))


def fast_griffin_lim(
    amplitude: NDArray[np.float32],
    start: NDArray[np.complex64],
    consistency: Consistency,
    n_known: int = 0,
    steps: int = STEPS,
) -> NDArray[np.complex64]:
    """A transform (n_frames, n_bins + 1) of this amplitude whose phases agree with each other better than `start`'s.

    n_known: frames at the beginning that stay as they are in `start`.
    """
    current = start.astype(np.complex64)
    previous = None
    for _ in range(steps):
        consistent = consistency.project(current)
        previous = consistent.copy() if previous is None else previous
        _accelerate(consistent, previous, amplitude, np.float32(MOMENTUM), n_known, current)
    return current


@compiled
def _overlap_and_cut(frames: Any, window: Any, hop_length: int, gain: Any, waveform: Any) -> None:
    """Put frames (n_frames, frame_size) together into the waveform times gain, and cut it into them again, in place."""
    n_frames, frame_size = frames.shape
    waveform[:] = 0
    for frame in range(n_frames):
        start = frame * hop_length
        for sample in range(frame_size):
            waveform[start + sample] += frames[frame, sample] * window[sample]
    waveform *= gain
    for frame in range(n_frames):
        start = frame * hop_length
        for sample in range(frame_size):
            frames[frame, sample] = waveform[start + sample] * window[sample]


@compiled
def _accelerate(consistent: Any, previous: Any, amplitude: Any, momentum: Any, n_known: int, current: Any) -> None:
    """current: the amplitude with the phases of the consistent transform, carried on by its last change."""
    n_frames, n_bins = consistent.shape
    for frame in range(n_known, n_frames):
        for row in range(n_bins):
            new, old = consistent[frame, row], previous[frame, row]
            real = new.real + momentum * (new.real - old.real)
            imaginary = new.imag + momentum * (new.imag - old.imag)
            scale = amplitude[frame, row] / np.sqrt(real * real + imaginary * imaginary + np.float32(1e-30))
            current[frame, row] = complex(real * scale, imaginary * scale)
            previous[frame, row] = new

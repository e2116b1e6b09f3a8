"""Phases of two channels whose coherence is known: those of one sound, not of two.

With coherence c the phases of left and right differ by +φ or -φ, cos φ = c, in every cell; only the sign and their
common phase are open. So a heap finds the common phases of what both channels have together, of power (|L|² + |R|²)/2:
of a sound between the speakers that is its own transform. Half of φ, or less for the louder one, lies to each side of
it. Griffin-Lim then projects both channels at once on what has these levels and this angle. For estimates l and r the
nearest such pair |L| exp(iα), |R| exp(i(α - sφ)) has, for s of +1 or -1, what gives the larger sum of

    |L| l + |R| r exp(isφ),   and α is the angle of that sum,

for the distance of the pair is |l|² + |r|² + |L|² + |R|² minus twice the real part of exp(-iα) times it. Signs are
thus settled cell by cell by what some sound has. Channels that are equal get equal phases, and what they come to is
what one of them would.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_model.phases.griffin_lim import MOMENTUM, STEPS, Consistency
from vae_model.phases.windows import compiled


def common_amplitude(amplitudes: NDArray[np.float32]) -> NDArray[np.float32]:
    """What left and right, (2, n_frames, n_bins + 1), have together: the root of their mean power."""
    common: NDArray[np.float32] = np.sqrt(np.square(amplitudes).mean(axis=0))
    return common


def common_phases(spectra: NDArray[np.complex64]) -> NDArray[np.float64]:
    """The phases (n_frames, n_bins + 1) that `apart` would make of: of left and right, (2, n_frames, n_bins + 1)."""
    between = np.angle(spectra[0] * np.conj(spectra[1]))
    phases: NDArray[np.float64] = np.angle(spectra[0]) - between * _share_of_left(np.abs(spectra))
    return phases


def apart(
    amplitudes: NDArray[np.float32], common: NDArray[np.float64], cosine: NDArray[np.float32]
) -> NDArray[np.complex64]:
    """Left and right, (2, n_frames, n_bins + 1), about their common phases, the angle of this cosine between them."""
    angle, left = np.arccos(cosine), _share_of_left(amplitudes)
    phases = np.stack([common + angle * left, common - angle * (1 - left)])
    return (amplitudes * np.exp(1j * phases)).astype(np.complex64)


def _share_of_left(amplitudes: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of the angle lies on the side of left: little where it is the louder one."""
    left, right = np.square(amplitudes)
    share: NDArray[np.float32] = right / np.maximum(left + right, np.float32(1e-30))
    return share


def fast_griffin_lim_together(
    amplitudes: NDArray[np.float32],
    cosine: NDArray[np.float32],
    start: NDArray[np.complex64],
    consistency: Consistency,
    n_known: int = 0,
    steps: int = STEPS,
) -> NDArray[np.complex64]:
    """Left and right, (2, n_frames, n_bins + 1), as `fast_griffin_lim` of one: of these amplitudes, and this cosine of
    the angle between them.
    """
    current = start.astype(np.complex64)
    sine = np.sqrt(1 - np.square(cosine))
    previous = None
    for _ in range(steps):
        consistent = np.stack([consistency.project(channel) for channel in current])
        previous = consistent.copy() if previous is None else previous
        _accelerate(consistent, previous, amplitudes, cosine, sine, np.float32(MOMENTUM), n_known, current)
    return current


@compiled
def _accelerate(
    consistent: Any,
    previous: Any,
    amplitudes: Any,
    cosine: Any,
    sine: Any,
    momentum: Any,
    n_known: int,
    current: Any,
) -> None:
    """current: the nearest pair to the consistent transforms, carried on by their last change.

    The sum with s = +1 is the larger one where the imaginary part of the conjugate of l, times r, is not positive.
    """
    _, n_frames, n_bins = consistent.shape
    for frame in range(n_known, n_frames):
        for row in range(n_bins):
            left, right = consistent[0, frame, row], consistent[1, frame, row]
            last_left, last_right = previous[0, frame, row], previous[1, frame, row]
            left_x = left.real + momentum * (left.real - last_left.real)
            left_y = left.imag + momentum * (left.imag - last_left.imag)
            right_x = right.real + momentum * (right.real - last_right.real)
            right_y = right.imag + momentum * (right.imag - last_right.imag)
            previous[0, frame, row], previous[1, frame, row] = left, right
            a, b, c = amplitudes[0, frame, row], amplitudes[1, frame, row], cosine[frame, row]
            s = sine[frame, row] if left_x * right_y <= left_y * right_x else -sine[frame, row]
            x = a * left_x + b * (right_x * c - right_y * s)
            y = a * left_y + b * (right_x * s + right_y * c)
            scale = np.float32(1) / np.sqrt(x * x + y * y + np.float32(1e-30))
            x *= scale
            y *= scale
            current[0, frame, row] = complex(a * x, a * y)
            current[1, frame, row] = complex(b * (x * c + y * s), b * (y * c - x * s))

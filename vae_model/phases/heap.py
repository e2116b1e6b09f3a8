"""Phases for magnitudes that have none, by phase gradient heap integration.

Here a transform is frames first: (n_frames, n_bins + 1) with librosa's conventions, a periodic Hann window of
frame_size samples around every multiple of hop_length, its first sample the origin of the phases.

Why the phases can be known. Neighbouring frames overlap, so magnitudes alone nearly fix a sound. With a Gaussian window
exp(-pi t² / L) a transform is an analytic function but for a known factor, and by the Cauchy-Riemann equations the
gradient of its phase is that of its log-magnitude M turned by a right angle. With N samples a frame, hop a, bin k:

    radians a frame = a N / L * dM/dk + 2 pi a k / N        radians a bin = -L / (a N) * dM/dn

A Hann window is near a Gaussian with L = gamma N², gamma = 0.25645 (Průša, Balazs and Søndergaard 2017,
doi:10.1109/TASLP.2017.2678166). Near is not enough for what ears are best at, a steady pitch, so three things are taken
from the Hann window itself where neighbouring cells tell them: how far beside a bin a tone is (at peaks), when in a
frame an impulse is (from frame to frame), and the signs of the side lobes, which no slope shows.

Why a heap. Slopes give phases up to one constant, by adding up along a path, and errors add up with them. They are
worst in quiet cells and useless across zeros. So phases spread to neighbours from the loudest cell that has one, as a
shortest path is found; a quiet cell comes last, and its error goes nowhere. Where M is level within half a decibel, in
noise or on a dataset's floor, its slope says nothing: integrated it would put all such cells in step, which buzzes, so
they get random phases.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_model.phases.windows import compiled

HANN_GAMMA = 0.25645
"""A Hann window of N samples is nearest to the Gaussian exp(-pi t² / (gamma N²)) for this gamma."""
_LEVEL = 0.5 * np.log(10) / 20  # half a decibel
_LOBES = 14  # bins on both sides of a tone: those farther off are 80 dB under it
_LIKENESS = 10 ** (3 / 20)  # a cell within 3 dB of a lobe is that lobe


def phase_gradients(
    log_amplitude: NDArray[Any], frame_size: int, hop_length: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How the phase moves, in radians a frame and in radians a bin, each (n_frames, n_bins), at every cell.

    log_amplitude: natural logarithm, (n_frames, n_bins), bins from 0 on. A Gaussian's slopes (the paper's equations 12
    to 17, see above), and a Hann window's own of a tone at peaks of a frame and of an impulse everywhere: a tone then
    keeps its pitch to a thousandth of a hertz.
    """
    scale = HANN_GAMMA * frame_size / hop_length  # gamma N² / (hop_length N)
    slope = _central(log_amplitude, 1)
    turn = 2 * np.pi * hop_length / frame_size
    in_time = np.where(peaks(log_amplitude), turn * _bins_to_tone(slope), slope / scale)
    in_time += turn * np.arange(log_amplitude.shape[1])
    if 2 * hop_length <= frame_size:
        in_frequency = -2 * np.pi / frame_size * _samples_to_impulse(log_amplitude, frame_size, hop_length)
    else:
        in_frequency = -scale * _central(log_amplitude, 0)
    # A frame's phases are counted from its first sample, half a frame before its centre: that is pi a bin.
    return in_time, in_frequency - np.pi


def _central(array: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """Central differences, one-sided at the ends; zeros along an axis of length 1."""
    values = np.asarray(array, np.float64)
    return np.asarray(np.gradient(values, axis=axis)) if array.shape[axis] > 1 else np.zeros_like(values)


@compiled
def _bins_to_tone(slope: Any) -> Any:
    """How many bins above a cell a tone is that makes this central difference along the bins, within ±1.

    The transform of a Hann window is sin(pi x) / (pi x (1 - x²)) at x bins from a tone. Its values at x + 1 and x - 1
    have the ratio exp(2 slope) = (1 + x)(2 + x) / ((1 - x)(2 - x)), which is solved for x.
    """
    t = np.tanh(slope)
    return 4 * t / (3 + np.sqrt(9 - 8 * t * t))


def _samples_to_impulse(log_amplitude: NDArray[Any], frame_size: int, hop_length: int) -> NDArray[np.float64]:
    """How many samples behind a frame's centre an impulse is that makes the steps to the frames before and behind.

    At x samples from its centre a Hann window is cos²(pi x / N). From its ratio to the value a hop further x follows;
    the result is the mean over both neighbours, at the ends what the only one says.
    """
    if len(log_amplitude) < 2:
        return np.zeros(log_amplitude.shape)
    angle = np.pi * hop_length / frame_size
    root = np.exp(np.clip(np.diff(np.asarray(log_amplitude, np.float64), axis=0), -40, 40) / 2)

    def samples(roots: NDArray[np.float64]) -> NDArray[np.float64]:
        return frame_size / np.pi * np.arctan((roots - np.cos(angle)) / np.sin(angle))

    ahead, back = samples(root), -samples(1 / root)
    return np.concatenate([ahead[:1], (ahead[1:] + back[:-1]) / 2, back[-1:]])


def peaks(log_amplitude: NDArray[Any]) -> NDArray[np.bool_]:
    """Cells (n_frames, n_bins) that are no quieter than the bins above and below, which both must be there."""
    inner = log_amplitude[:, 1:-1]
    found = np.zeros(log_amplitude.shape, np.bool_)
    found[:, 1:-1] = (inner >= log_amplitude[:, :-2]) & (inner >= log_amplitude[:, 2:])
    return found


def level(log_amplitude: NDArray[Any]) -> NDArray[np.bool_]:
    """Cells (n_frames, n_bins) that differ from all their neighbours by less than half a decibel: noise, or a floor."""
    small = np.abs(np.diff(log_amplitude, axis=0, prepend=log_amplitude[:1], append=log_amplitude[-1:])) < _LEVEL
    result = small[:-1] & small[1:]
    small = np.abs(np.diff(log_amplitude, axis=1, prepend=log_amplitude[:, :1], append=log_amplitude[:, -1:])) < _LEVEL
    return np.asarray(result & small[:, :-1] & small[:, 1:])


def heap_integration(
    log_amplitude: NDArray[Any],
    frame_size: int,
    hop_length: int,
    rng: np.random.Generator,
    known: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """Phases in radians, (n_frames, n_bins), from the gradients, along the loudest way to every cell.

    log_amplitude: as of `phase_gradients`. known: the phases (n_known, n_bins) of the first frames, which stay as they
    are and from which the others follow; without them the loudest cell gets phase 0. Where the log amplitude is level
    it tells nothing, and phases in step would buzz: those cells get random ones from rng, as the paper's cells of
    little energy do.
    """
    in_time, in_frequency = phase_gradients(log_amplitude, frame_size, hop_length)
    phases = np.zeros(log_amplitude.shape)
    done = np.zeros(log_amplitude.shape, dtype=np.bool_)
    n_known = 0 if known is None else len(known)
    if known is None:
        done.flat[np.argmax(log_amplitude)] = True
    else:
        phases[:n_known], done[:n_known] = known, True
    _integrate(np.asarray(log_amplitude, np.float32), in_time, in_frequency, phases, done)
    random = level(log_amplitude)
    random[:n_known] = False
    phases[random] = rng.uniform(-np.pi, np.pi, np.count_nonzero(random))
    _settle_lobes(np.asarray(log_amplitude, np.float64), peaks(log_amplitude), n_known, phases)
    return phases


@compiled
def _integrate(log_amplitude: Any, in_time: Any, in_frequency: Any, phases: Any, done: Any) -> None:
    """Fill in the phases that are not done, from the loudest cell at the edge of those that are."""
    n_frames, n_bins = log_amplitude.shape
    heap = [(np.float32(0.0), 0) for _ in range(0)]
    for frame in range(n_frames):
        for row in range(n_bins):
            if done[frame, row]:
                heap.append((-log_amplitude[frame, row], frame * n_bins + row))
    heapq.heapify(heap)
    while heap:
        _, cell = heapq.heappop(heap)
        frame, row = divmod(cell, n_bins)
        for to_frame, to_row in ((frame + 1, row), (frame - 1, row), (frame, row + 1), (frame, row - 1)):
            if not (0 <= to_frame < n_frames and 0 <= to_row < n_bins) or done[to_frame, to_row]:
                continue
            slope = in_time if to_row == row else in_frequency
            step = (to_frame - frame) + (to_row - row)
            mean = (slope[frame, row] + slope[to_frame, to_row]) / 2
            phases[to_frame, to_row] = phases[frame, row] + step * mean
            done[to_frame, to_row] = True
            heapq.heappush(heap, (-log_amplitude[to_frame, to_row], to_frame * n_bins + to_row))


@compiled
def _settle_lobes(log_amplitude: Any, is_peak: Any, n_known: int, phases: Any) -> None:
    """Give the side lobes of steady tones the phases that a Hann window's have.

    A slope from frame to frame tells nothing of them: from lobe to lobe the sign changes, at a zero between two bins.
    Beside a peak whose tone is d bins above it, the transform k bins above the peak is, with x = k - d, the peak's
    times (-1)^k d (1 - d²) / (x (x² - 1)), see `_bins_to_tone`, and turned by -pi k. A cell of about that level is
    taken for a lobe, of the peak of which the louder one is expected there.
    """
    n_frames, n_bins = phases.shape
    expected = np.empty(n_bins)
    for frame in range(n_known, n_frames):
        expected[:] = 0.0
        for row in range(1, n_bins - 1):
            if not is_peak[frame, row]:
                continue
            offset = _bins_to_tone((log_amplitude[frame, row + 1] - log_amplitude[frame, row - 1]) / 2)
            scale = np.exp(log_amplitude[frame, row]) * offset * (1 - offset * offset)
            for k in range(max(-_LOBES, -row), min(_LOBES, n_bins - 1 - row) + 1):
                if abs(k) < 2 or is_peak[frame, row + k]:
                    continue
                x = k - offset
                lobe = scale / (x * (x * x - 1)) * (1 - 2 * (k % 2))
                ratio = abs(lobe) / np.exp(log_amplitude[frame, row + k])
                if 1 / _LIKENESS < ratio < _LIKENESS and abs(lobe) > expected[row + k]:
                    expected[row + k] = abs(lobe)
                    phases[frame, row + k] = phases[frame, row] - np.pi * k + (np.pi if lobe < 0 else 0.0)

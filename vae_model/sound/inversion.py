"""From log-spectrograms of any length to a waveform, as a stream: phases by one of several methods, overlap-add."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipelines.audio.spectrogram import to_amplitude
from pipelines.config import SpectrogramConfig
from pipelines.errors import SettingError, require
from vae_model.model_folder.config import ORIGINAL_PHASE, PHASES
from vae_model.sound.phase import fast_griffin_lim, hann, heap_integration, least_weight

BLOCK_FRAMES = 512
"""Frames whose phases are settled at once; bounds memory however long the sound."""
_AHEAD_FRAMES = 64  # behind a block, estimated with it for its last frames' sake, but not settled


@dataclass(frozen=True)
class Frames:
    """A stretch of a log-spectrogram, frames first.

    n_samples: of the sound until the end of this stretch; only the last one's counts. log_spectrogram: dB, float32
    (n_frames, n_bins, n_channels). phasors: complex of any length but 0, of the same shape, where phases are known.
    """

    n_samples: int
    log_spectrogram: NDArray[np.float32]
    phasors: NDArray[np.complex64] | None = None

    def __len__(self) -> int:
        return len(self.log_spectrogram)

    def __getitem__(self, part: slice) -> Frames:
        phasors = None if self.phasors is None else self.phasors[part]
        return Frames(self.n_samples, self.log_spectrogram[part], phasors)

    def __add__(self, other: Frames) -> Frames:
        phasors = None
        if self.phasors is not None and other.phasors is not None:
            phasors = np.concatenate([self.phasors, other.phasors])
        log_spectrogram = np.concatenate([self.log_spectrogram, other.log_spectrogram])
        return Frames(other.n_samples, log_spectrogram, phasors)


def invert(
    stretches: Iterable[Frames],
    config: SpectrogramConfig,
    method: str,
    seed: int = 0,
    known: NDArray[np.complex64] | None = None,
) -> Iterator[NDArray[np.float32]]:
    """The waveform (n_samples, n_channels) in blocks, together as long as the last stretch says.

    stretches: at least one, in a row, together 1 + n_samples // hop_length frames. method: one of PHASES, or
    ORIGINAL_PHASE where the stretches bring phasors. seed: of random phases. known: phasors of so many first frames,
    (n_frames, n_bins, n_channels), from which the others' phases go on.
    A sound of more than BLOCK_FRAMES is done in blocks, each going on from the settled phases of the one before.
    """
    methods = (*PHASES, ORIGINAL_PHASE)
    require(method in methods, "phase", method, f"one of {', '.join(methods)}")
    channels: list[_Channel] = []
    pending: Frames | None = None
    n_seen = BLOCK_FRAMES + _AHEAD_FRAMES

    def settle(frames: Frames, count: int, last: bool) -> NDArray[np.float32]:
        if not channels:
            rng = np.random.default_rng(seed)
            channels.extend(_Channel(config, method, rng) for _ in range(frames.log_spectrogram.shape[2]))
        return np.stack([channel.add(frames, i, count, last) for i, channel in enumerate(channels)], axis=1)

    for stretch in stretches:
        pending = stretch if pending is None else pending + stretch
        if known is not None and len(pending) > len(known):
            first = dataclasses.replace(pending[: len(known)], phasors=known)
            yield settle(first, len(known), last=False)
            pending, known = pending[len(known) :], None
        while len(pending) > n_seen:
            yield settle(pending[:n_seen], BLOCK_FRAMES, last=False)
            pending = pending[BLOCK_FRAMES:]
    if pending is not None:
        yield settle(pending, len(pending), last=True)


class _Channel:
    """What one channel's next block goes on from."""

    def __init__(self, config: SpectrogramConfig, method: str, rng: np.random.Generator) -> None:
        self.config = config
        self.method = method
        self.rng = rng
        # Two window lengths back, so that the samples under the first new frame are what all their frames make them.
        self._context_frames = 2 * -(-config.frame_size // config.hop_length)
        self._log_spectrogram = np.zeros((0, config.n_bins), np.float32)
        self._settled = np.zeros((0, config.n_bins + 1), np.complex64)
        self._position = -(config.frame_size // 2)  # the sample that the next frame begins at
        self._begun = np.zeros((2, 0), np.float32)  # from there on: the sum of windowed frames, and that of the windows

    def add(self, frames: Frames, channel: int, count: int, last: bool) -> NDArray[np.float32]:
        """Settle the first `count` frames; the samples (n_samples,) that have become final."""
        n_known = len(self._settled)
        new = np.nan_to_num(frames.log_spectrogram[:, :, channel])
        log_spectrogram = np.concatenate([self._log_spectrogram, new])
        n_samples = frames.n_samples if last else None
        if self.method == ORIGINAL_PHASE and frames.phasors is None:
            raise SettingError(f"phase={ORIGINAL_PHASE} must have a sound that went in: it is for reconstructions only")
        if frames.phasors is not None:
            spectrum = _amplitude(new).astype(np.complex64)
            spectrum[:, :-1] *= np.exp(1j * np.angle(frames.phasors[:, :, channel]))
        else:
            spectrum = self._estimated(log_spectrogram, n_samples)[n_known:]
        settled = spectrum[:count]
        self._log_spectrogram = log_spectrogram[: n_known + count][-self._context_frames :]
        self._settled = np.concatenate([self._settled, settled])[-self._context_frames :]
        return self._overlap_add(settled, n_samples)

    def _estimated(self, log_spectrogram: NDArray[np.float32], n_samples: int | None) -> NDArray[np.complex64]:
        """A transform (n_frames, n_bins + 1) that goes on from the settled frames, which are its first."""
        size, hop = self.config.frame_size, self.config.hop_length
        n_known, amplitude = len(self._settled), _amplitude(log_spectrogram)
        phases = np.zeros(amplitude.shape)
        if "pghi" in self.method:
            known = np.angle(self._settled[:, :-1]) if n_known else None
            phases[:, :-1] = heap_integration(log_spectrogram * (math.log(10) / 20), size, hop, self.rng, known)
        elif "griffinlim" in self.method:
            phases = self.rng.uniform(-math.pi, math.pi, amplitude.shape)
        spectrum = (amplitude * np.exp(1j * phases)).astype(np.complex64)
        spectrum[:n_known] = self._settled
        if "griffinlim" in self.method:
            first = self._position - n_known * hop  # the sample that the first frame here begins at
            end = (len(spectrum) - 1) * hop + size if n_samples is None else n_samples - first
            spectrum = fast_griffin_lim(amplitude, spectrum, size, hop, (-first, end), n_known)
        return spectrum

    def _overlap_add(self, spectrum: NDArray[np.complex64], n_samples: int | None) -> NDArray[np.float32]:
        """The samples that are final with these frames; with n_samples, all that are left of so many."""
        size, hop = self.config.frame_size, self.config.hop_length
        window, n_begun = hann(size), self._begun.shape[1]
        sums = np.zeros((2, (len(spectrum) - 1) * hop + size + max(hop - size // 2, 0)), np.float32)
        sums[:, :n_begun] = self._begun
        for index, frame in enumerate(scipy.fft.irfft(spectrum, size, axis=1)):
            sums[0, index * hop : index * hop + size] += frame * window
            sums[1, index * hop : index * hop + size] += window**2
        n_final = len(spectrum) * hop if n_samples is None else n_samples - self._position
        final, self._begun = sums[:, :n_final], sums[:, n_final:]
        waveform = final[0] / np.maximum(final[1], least_weight(size, hop))
        waveform = waveform[max(-self._position, 0) :]  # nothing is before the sound
        self._position += len(spectrum) * hop
        return waveform


def _amplitude(log_spectrogram: NDArray[np.float32]) -> NDArray[np.float32]:
    """With the Nyquist bin put back: dB (n_frames, n_bins) to amplitude (n_frames, n_bins + 1)."""
    return to_amplitude(log_spectrogram, bins_axis=1)

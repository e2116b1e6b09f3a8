"""From log-spectrograms of any length to a waveform, as a stream: phases by one of several methods, overlap-add."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipelines.audio.spectrogram import to_amplitude
from pipelines.audio.stereo import COHERENCE_DB
from pipelines.config import COHERENCE, SpectrogramConfig
from pipelines.errors import SettingError, require
from vae_model.model_folder.config import ORIGINAL_PHASE, PHASES
from vae_model.phases.griffin_lim import Consistency, fast_griffin_lim
from vae_model.phases.heap import heap_integration
from vae_model.phases.together import apart, common_amplitude, common_phases, fast_griffin_lim_together
from vae_model.phases.windows import hann, least_weight

BLOCK_FRAMES = 512
"""Frames whose phases are settled at once; bounds memory however long the sound."""
_AHEAD_FRAMES = 64  # behind a block, estimated with it for its last frames' sake, but not settled


@dataclass(frozen=True)
class Frames:
    """A stretch of a log-spectrogram, frames first.

    n_samples: of the sound until the end of this stretch; only the last one's counts. log_spectrogram: dB, float32
    (n_frames, n_bins, n_channels), with stereo=coherence that behind left and right. phasors: complex of any length but
    0, of the shape of the levels, where phases are known.
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
    estimator = _Estimator(config, method, np.random.default_rng(seed))
    pending: Frames | None = None
    n_seen = BLOCK_FRAMES + _AHEAD_FRAMES

    for stretch in stretches:
        pending = stretch if pending is None else pending + stretch
        if known is not None and len(pending) > len(known):
            first = dataclasses.replace(pending[: len(known)], phasors=known)
            yield estimator.settle(first, len(known), last=False)
            pending, known = pending[len(known) :], None
        while len(pending) > n_seen:
            yield estimator.settle(pending[:n_seen], BLOCK_FRAMES, last=False)
            pending = pending[BLOCK_FRAMES:]
    if pending is not None:
        yield estimator.settle(pending, len(pending), last=True)


class _Estimator:
    """Finds the phases of block after block, of all channels, each going on from the block before."""

    def __init__(self, config: SpectrogramConfig, method: str, rng: np.random.Generator) -> None:
        self.config = config
        self.method = method
        self.rng = rng
        self._channels: list[_Channel] = []
        # Two window lengths back, so that the samples under the first new frame are what all their frames make them.
        self._context_frames = 2 * -(-config.frame_size // config.hop_length)
        self._cosine = np.zeros((0, config.n_bins + 1), np.float32)

    def settle(self, frames: Frames, count: int, last: bool) -> NDArray[np.float32]:
        """Settle the first `count` frames; the samples (n_samples, n_channels) that have become final."""
        levels = np.nan_to_num(frames.log_spectrogram)
        cosine = None
        if self.config.stereo == COHERENCE:
            cosine, levels = self._with_cosine(levels[..., 2], count), levels[..., :2]
        if not self._channels:
            self._channels = [_Channel(self.config, self._context_frames) for _ in range(levels.shape[2])]
        if self.method == ORIGINAL_PHASE and frames.phasors is None:
            raise SettingError(f"phase={ORIGINAL_PHASE} must have a sound that went in: it is for reconstructions only")
        n_samples = frames.n_samples if last else None
        each = [levels[:, :, channel] for channel in range(len(self._channels))]
        if frames.phasors is not None:
            known = frames.phasors
            spectra = [_with_phases(of, known[:, :, channel]) for channel, of in enumerate(each)]
        elif cosine is None or self.method == "zero":
            spectra = [self._alone(*pair, n_samples) for pair in zip(self._channels, each, strict=True)]
        else:
            spectra = self._together(each, cosine, n_samples)
        pairs = zip(self._channels, each, spectra, strict=True)
        return np.stack([channel.settle(of[:count], spectrum[:count], n_samples) for channel, of, spectrum in pairs], 1)

    def _with_cosine(self, decibels: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """The cosine of the angle between left and right in the frames known before and in these."""
        new = np.clip(decibels / np.float32(COHERENCE_DB), -1, 1)
        new = np.pad(new, ((0, 0), (0, 1)), constant_values=1)
        n_known, cosine = len(self._cosine), np.concatenate([self._cosine, new])
        self._cosine = cosine[: n_known + count][-self._context_frames :]
        return cosine

    def _alone(self, channel: _Channel, new: NDArray[np.float32], n_samples: int | None) -> NDArray[np.complex64]:
        """The transform (n_frames, n_bins + 1) of new frames, going on from the channel's settled ones."""
        log_spectrogram = channel.extended(new)
        n_known, amplitude = len(channel.settled), _amplitude(log_spectrogram)
        phases = self._first_phases(log_spectrogram, channel.settled)
        spectrum = (amplitude * np.exp(1j * phases)).astype(np.complex64)
        spectrum[:n_known] = channel.settled
        if "griffinlim" in self.method:
            spectrum = fast_griffin_lim(amplitude, spectrum, channel.consistency(len(amplitude), n_samples), n_known)
        return spectrum[n_known:]

    def _together(
        self, new: list[NDArray[np.float32]], cosine: NDArray[np.float32], n_samples: int | None
    ) -> list[NDArray[np.complex64]]:
        """The transforms of new frames of left and right, as `_alone` of one."""
        pairs = zip(self._channels, new, strict=True)
        amplitudes = np.stack([_amplitude(channel.extended(each)) for channel, each in pairs])
        settled = np.stack([channel.settled for channel in self._channels])
        n_known = settled.shape[1]
        common = common_amplitude(amplitudes)[:, :-1]
        decibels = 20 * np.log10(np.maximum(common, np.finfo(np.float32).tiny))
        phases = self._first_phases(decibels, np.exp(1j * common_phases(settled)))
        spectra = apart(amplitudes, phases, cosine)
        spectra[:, :n_known] = settled
        if "griffinlim" in self.method:
            consistency = self._channels[0].consistency(len(phases), n_samples)
            spectra = fast_griffin_lim_together(amplitudes, cosine, spectra, consistency, n_known)
        return list(spectra[:, n_known:])

    def _first_phases(self, log_spectrogram: NDArray[np.float32], known: NDArray[Any]) -> NDArray[np.float64]:
        """Phases (n_frames, n_bins + 1) to begin with. known: a transform of the first frames, before the others."""
        n_frames, n_bins = log_spectrogram.shape
        phases = np.zeros((n_frames, n_bins + 1))
        if "pghi" in self.method:
            size, hop = self.config.frame_size, self.config.hop_length
            angles = np.angle(known[:, :-1]) if len(known) else None
            phases[:, :-1] = heap_integration(log_spectrogram * (math.log(10) / 20), size, hop, self.rng, angles)
        elif "griffinlim" in self.method:
            phases[:] = self.rng.uniform(-math.pi, math.pi, phases.shape)
        return phases


class _Channel:
    """A channel's last settled frames, which the next ones go on from, and the sound that they have begun."""

    def __init__(self, config: SpectrogramConfig, context_frames: int) -> None:
        self.config = config
        self._context_frames = context_frames
        self._log_spectrogram = np.zeros((0, config.n_bins), np.float32)
        self.settled = np.zeros((0, config.n_bins + 1), np.complex64)
        self._position = -(config.frame_size // 2)  # the sample that the next frame begins at
        self._begun = np.zeros((2, 0), np.float32)  # from there on: the sum of windowed frames, and that of the windows

    def extended(self, new: NDArray[np.float32]) -> NDArray[np.float32]:
        """The log-spectrogram of the settled frames and of new ones behind them."""
        return np.concatenate([self._log_spectrogram, new])

    def consistency(self, n_frames: int, n_samples: int | None) -> Consistency:
        """Of n_frames, the settled ones first. n_samples: of the whole sound, where they reach to its end."""
        size, hop = self.config.frame_size, self.config.hop_length
        first = self._position - len(self.settled) * hop  # the sample that the first frame here begins at
        end = (n_frames - 1) * hop + size if n_samples is None else n_samples - first
        return Consistency(n_frames, size, hop, (-first, end))

    def settle(
        self, new: NDArray[np.float32], spectrum: NDArray[np.complex64], n_samples: int | None
    ) -> NDArray[np.float32]:
        """Keep these frames as they are; the samples (n_samples,) that have become final."""
        self._log_spectrogram = self.extended(new)[-self._context_frames :]
        self.settled = np.concatenate([self.settled, spectrum])[-self._context_frames :]
        return self._overlap_add(spectrum, n_samples)

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


def _with_phases(decibels: NDArray[np.float32], phasors: NDArray[np.complex64]) -> NDArray[np.complex64]:
    spectrum = _amplitude(decibels).astype(np.complex64)
    spectrum[:, :-1] *= np.exp(1j * np.angle(phasors))
    return spectrum


def _amplitude(log_spectrogram: NDArray[np.float32]) -> NDArray[np.float32]:
    """With the Nyquist bin put back: dB (n_frames, n_bins) to amplitude (n_frames, n_bins + 1)."""
    return to_amplitude(log_spectrogram, bins_axis=1)

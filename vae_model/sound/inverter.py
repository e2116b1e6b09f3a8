"""Sound to log-spectrogram and back by settings alone: what is known here of a model is nothing.

This is the door of the room: outside of it arrays are (n_bins, n_frames, n_channels), as in a dataset and in a model;
inside, where sounds are put together frame by frame, frames come first. `Inverter` turns them, and nothing else does.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.features import extractor_of
from pipelines.config import COHERENCE, AudioConfig, SpectrogramConfig
from vae_model.model_folder.config import ORIGINAL_PHASE, PHASES
from vae_model.phases.inversion import Frames, invert
from vae_model.phases.windows import transform
from vae_model.sound.long_sounds import Segmentation


@dataclass(frozen=True)
class Piece:
    """One segment of a long sound.

    decibels: its log-spectrogram. valid_samples: before the padding begins. phasors: complex of any length but 0, of
    the shape of its levels, where the phases are known.
    """

    decibels: NDArray[np.float32]
    valid_samples: int
    phasors: NDArray[np.complex64] | None = None


class Inverter:
    """Turns sound into log-spectrograms, and these into sound.

    audio, spectrogram: the settings of the dataset. phase: how phases are found, one of vae_model.config.PHASES, or
    ORIGINAL_PHASE where those of a sound that went in are given. seed: of the random ones among them. A waveform is
    float32 (n_samples, n_channels) at audio.sample_rate, a log-spectrogram float32 (n_bins, n_frames, n_channels) in
    dB. The same log-spectrogram gives the same waveform.
    """

    def __init__(
        self, audio: AudioConfig, spectrogram: SpectrogramConfig, phase: str = PHASES[0], seed: int = 0
    ) -> None:
        self.audio = audio
        self.spectrogram = spectrogram
        self.phase = phase
        self.seed = seed

    @functools.cached_property
    def extractor(self) -> Any:
        """What makes the log-spectrograms, and the way back. SettingError when it is code that nobody has asked for."""
        return extractor_of(self.audio, self.spectrogram)

    @functools.cached_property
    def segmentation(self) -> Segmentation:
        """How a sound of any length is cut into segments. SettingError when a segment has not two frames."""
        return Segmentation(self.audio, self.spectrogram)

    def to_decibels(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """The log-spectrogram of a waveform."""
        return np.asarray(self.extractor.extract(waveform))

    def to_linear(self, decibels: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is heard and drawn: the log-spectrogram (n_bins, n_frames, n_channels) in dB of what a record holds.

        Itself, but of another feature what its `invert` gives, and without what a record has beside the levels of its
        channels. SettingError when there is no way back.
        """
        return self._inverted(decibels)[..., : self.audio.channels]

    def to_coherence(self, decibels: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """How alike left and right are in each cell, float32 (n_bins, n_frames) from -1 to 1; None of other records."""
        return self.extractor.coherence(decibels) if self.spectrogram.stereo == COHERENCE else None

    def levels_and_waveform(self, decibels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`to_linear` and `to_waveform` of one segment, at the cost of one of them."""
        inverted = self._inverted(decibels)
        return inverted[..., : self.audio.channels], self._waveform(inverted, None)

    def _inverted(self, decibels: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self.extractor.invert(decibels))

    def to_phasors(self, waveform: NDArray[np.float32]) -> NDArray[np.complex64] | None:
        """The transform of a waveform, of its log-spectrogram's shape; None unless its phases are asked for."""
        return None if self.phase != ORIGINAL_PHASE else self._phasors(waveform)

    def _phasors(self, waveform: NDArray[np.float32]) -> NDArray[np.complex64]:
        size, hop = self.spectrogram.frame_size, self.spectrogram.hop_length
        frames = np.stack([transform(channel, size, hop)[:, :-1] for channel in waveform.T], axis=-1)
        return np.swapaxes(frames, 0, 1)

    def to_waveform(
        self, decibels: NDArray[np.float32], phasors: NDArray[np.complex64] | None = None
    ) -> NDArray[np.float32]:
        """The waveform of one segment, exactly audio.segment_samples long.

        phasors: complex of any length but 0 and of its shape, where phases are known; else they are found as `phase`
        says.
        """
        return self._waveform(self._inverted(decibels), phasors)

    def _waveform(self, inverted: NDArray[np.float32], phasors: NDArray[np.complex64] | None) -> NDArray[np.float32]:
        frames = _frames_first(Piece(inverted, self.audio.segment_samples, phasors))
        return np.concatenate(list(invert([frames], self.spectrogram, self.phase, self.seed)))

    def to_long_waveform(
        self, pieces: Iterable[Piece], begun: NDArray[np.float32] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """The waveform of a sound that `segmentation` has cut, in blocks (n_samples, n_channels) as they become ready.

        The log-spectrograms of its pieces become one, and the phases are those of the whole: no seam is heard, and
        memory does not grow with its length. begun: the waveform of the first piece, if that is to keep its phases: the
        others' go on from them.
        """
        stretches = map(self._linear_frames, self.segmentation.join(map(_frames_first, pieces)))
        known = None
        if begun is not None:
            known = np.swapaxes(self._phasors(begun), 0, 1)[: self.segmentation.num_own_frames]
        return invert(stretches, self.spectrogram, self.phase, self.seed, known)

    def _linear_frames(self, frames: Frames) -> Frames:
        decibels = self._inverted(np.swapaxes(frames.log_spectrogram, 0, 1))
        return dataclasses.replace(frames, log_spectrogram=np.swapaxes(decibels, 0, 1))


def _frames_first(piece: Piece) -> Frames:
    phasors = None if piece.phasors is None else np.swapaxes(piece.phasors, 0, 1)
    return Frames(piece.valid_samples, np.swapaxes(piece.decibels, 0, 1), phasors)

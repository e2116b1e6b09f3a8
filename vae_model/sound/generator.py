"""From a model's spectrograms to sound, and sound through a model to sound: one segment, or a file of any length."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.loading import Tell, iter_segments
from pipelines.store.paths import Place
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import PHASES
from vae_model.model_folder.value_range import ValueRange
from vae_model.sound.inverter import Inverter, Piece
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.finished import load_finished

_SEGMENTS_AT_ONCE = 32
_Output = tuple[NDArray[np.float32], "NDArray[np.complex64] | None"]


class SoundGenerator:
    """Turns a model's spectrograms into waveforms, and sound through the model into sound: a model and an Inverter.

    autoencoder: a trained Autoencoder or VAE. bundle: the settings that its data was made with. phase: how phases are
    found, one of vae_model.config.PHASES, or ORIGINAL_PHASE to reconstruct with those of the sound that went in. seed:
    of the random ones among them. A waveform is float32 (n_samples, n_channels) at bundle.audio.sample_rate.

    >>> generator = SoundGenerator.load(model)
    >>> waveform = next(generator.generate(1, seed=3))
    >>> waveform.shape, waveform.dtype.name
    ((16320, 1), 'float32')
    """

    def __init__(self, autoencoder: Autoencoder, bundle: Bundle, seed: int = 0, phase: str = PHASES[0]) -> None:
        self.autoencoder = autoencoder
        self.bundle = bundle
        self.inverter = Inverter(bundle.audio, bundle.spectrogram, phase, seed)

    @classmethod
    def load(cls, folder: Place, seed: int = 0, phase: str = PHASES[0]) -> SoundGenerator:
        """The generator of the MODEL folder at a path or URI.

        SettingError when it holds no finished model, WorkError when damaged.
        """
        return cls(*load_finished(os.fspath(folder)), seed, phase)

    def normalise(self, waveform: NDArray[np.float32]) -> tuple[NDArray[np.float32], ValueRange]:
        """The model's input of one segment, (n_bins, n_frames, n_channels) in [0, 1], and what 0 and 1 stand for in it.

        What is quieter or louder than the model's range is clipped to it.
        """
        decibels = self.inverter.to_decibels(waveform)
        value_range = self.bundle.value_range.of_levels(float(decibels.min()), float(decibels.max()))
        return np.clip(value_range.from_db(decibels), 0.0, 1.0), value_range

    def to_waveform(
        self,
        spectrogram: NDArray[np.float32],
        value_range: ValueRange | None = None,
        phasors: NDArray[np.complex64] | None = None,
    ) -> NDArray[np.float32]:
        """The waveform of one segment from a spectrogram (n_bins, n_frames, n_channels) in [0, 1].

        value_range: what 0 and 1 stand for, the model's unless given. phasors: its phases where they are known, as of
        `Inverter.to_waveform`. The result has exactly bundle.audio.segment_samples samples; the same spectrogram gives
        the same waveform.
        """
        bounds = value_range or self.bundle.value_range
        return self.inverter.to_waveform(bounds.to_db(np.asarray(spectrogram, np.float32)), phasors)

    def convert_spectrograms_to_audio(
        self, spectrograms: NDArray[np.float32], value_ranges: Iterable[ValueRange] | None = None
    ) -> list[NDArray[np.float32]]:
        """A waveform for each of the spectrograms (count, n_bins, n_frames, n_channels) in [0, 1]."""
        ranges = [None] * len(spectrograms) if value_ranges is None else list(value_ranges)
        return [self.to_waveform(*pair) for pair in zip(spectrograms, ranges, strict=True)]

    def generate(self, count: int, seed: int | None = None) -> Iterator[NDArray[np.float32]]:
        """New sounds of one segment each, from latents drawn as the training data's are distributed.

        The same seed gives the same sounds. A model with a range per record gives them the typical one of its training
        records.
        """
        return self.decode(self.autoencoder.sample_latents(count, seed))

    def decode(
        self, latents: NDArray[np.float32], value_ranges: list[ValueRange] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """A waveform of one segment for each of the latents (count, latent_space_dim).

        value_ranges: what 0 and 1 stand for in each, the model's unless given.
        """
        for start in range(0, len(latents), _SEGMENTS_AT_ONCE):
            part = slice(start, start + _SEGMENTS_AT_ONCE)
            ranges = None if value_ranges is None else value_ranges[part]
            yield from self.convert_spectrograms_to_audio(self.autoencoder.decode(latents[part]), ranges)

    def reconstruct(self, waveforms: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Each segment through the model: waveforms of segment_samples in, waveforms of segment_samples out."""
        for decibels, phasors in self._through(waveforms):
            yield self.inverter.to_waveform(decibels, phasors)

    def reconstruct_file(self, uri: str, tell: Tell | None = None) -> Iterator[NDArray[np.float32]]:
        """A whole file through the model, in blocks (n_samples, n_channels) as they become ready.

        Together they have the length that the file has at the model's sample rate, however long it is. tell: called
        with a warning when the file is not whole. SourceError when it can't be used.
        """
        lengths: list[int] = []

        def waveforms() -> Iterator[NDArray[np.float32]]:
            for segment in iter_segments(uri, self.inverter.segmentation.audio, tell):
                lengths.append(segment.valid_samples)
                yield segment.samples

        return self.inverter.to_long_waveform(
            Piece(decibels, lengths.pop(0), phasors) for decibels, phasors in self._through(waveforms())
        )

    def _through(self, waveforms: Iterable[NDArray[np.float32]]) -> Iterator[_Output]:
        """What the model makes of each waveform: a log-spectrogram in dB, and the phasors if `phase` asks for them."""
        waveforms = iter(waveforms)
        while several := list(islice(waveforms, _SEGMENTS_AT_ONCE)):
            inputs, ranges = zip(*map(self.normalise, several), strict=True)
            reconstructions, _ = self.autoencoder.reconstruct(np.stack(inputs))
            decibels = (own.to_db(each) for each, own in zip(reconstructions, ranges, strict=True))
            yield from zip(decibels, map(self.inverter.to_phasors, several), strict=True)

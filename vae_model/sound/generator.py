"""From a model's spectrograms to sound, and sound through a model to sound: one segment, or a file of any length."""

from __future__ import annotations

import functools
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.loading import Tell, iter_segments
from pipelines.course_names import also_called
from pipelines.errors import SettingError, require
from pipelines.store.paths import Place
from vae_model.model_folder.array_bundle import Bounds, bounds_of
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import PHASES
from vae_model.model_folder.value_range import ValueRange
from vae_model.prior.prior import Drawn, Prior, load_prior
from vae_model.sound.inverter import Inverter, Piece
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.finished import load_finished

_SEGMENTS_AT_ONCE = 32
_VALUES_AT_ONCE = 2**19
"""Of a long sound so many segments at most, of so many values together, go through a model at once."""
_Output = tuple[NDArray[np.float32], "NDArray[np.complex64] | None"]


class SoundGenerator:
    """Turns a model's spectrograms into waveforms, and sound through the model into sound: a model and an Inverter.

    autoencoder: a trained Autoencoder or VAE. bundle: the settings that its data was made with; of a model of arrays
    the hop_length that they were made with, `SoundGenerator(vae, 256)`. phase: how phases are found, one of
    vae_model.config.PHASES, or ORIGINAL_PHASE to reconstruct with those of the sound that went in. seed: of the random
    ones among them. folder: the MODEL folder, for the learned prior of new sounds. A waveform is float32 (n_samples,
    n_channels) at bundle.audio.sample_rate.

    >>> generator = SoundGenerator.load(model)
    >>> waveform = next(generator.generate(1, seed=3))
    >>> waveform.shape, waveform.dtype.name
    ((16320, 1), 'float32')
    """

    @also_called(vae="autoencoder", hop_length="bundle")
    def __init__(
        self,
        autoencoder: Autoencoder,
        bundle: Bundle | int,
        seed: int = 0,
        phase: str = PHASES[0],
        folder: str | None = None,
    ) -> None:
        self.autoencoder = autoencoder
        self.folder = folder
        self.bundle = bundle = bundle if isinstance(bundle, Bundle) else autoencoder.bundle_with(bundle)
        self.inverter = Inverter(bundle.audio, bundle.spectrogram, phase, seed)

    @classmethod
    def load(cls, folder: Place, seed: int = 0, phase: str = PHASES[0]) -> SoundGenerator:
        """The generator of the MODEL folder at a path or URI.

        SettingError when it holds no finished model, WorkError when damaged.
        """
        return cls(*load_finished(os.fspath(folder)), seed, phase, os.fspath(folder))

    @functools.cached_property
    def prior(self) -> Prior | None:
        """What new sounds are drawn from, read when it is first asked for; None when the model has no learned prior."""
        return None if self.folder is None else load_prior(self.folder, self.bundle)

    def draw(self, count: int, seed: int, labels: Mapping[str, str] | None = None) -> Drawn:
        """Latents of new sounds: of the learned prior, else of the Gaussian that fits the training latents.

        labels: as of `Prior.draw`. SettingError for one that was not learned.
        """
        if self.prior is not None:
            return self.prior.draw(count, seed, labels)
        for name, value in (labels or {}).items():
            raise SettingError(f"--label {name}={value} must be of a model with a learned prior")
        typical = self.bundle.value_range
        levels = np.tile(np.array([typical.min_db, typical.max_db], np.float32), (count, 1))
        return Drawn(self.autoencoder.sample_latents(count, seed), [{} for _ in range(count)], levels)

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

    @also_called(min_max_values="value_ranges")
    def convert_spectrograms_to_audio(
        self, spectrograms: NDArray[np.float32], value_ranges: Iterable[Bounds] | None = None
    ) -> list[NDArray[np.float32]]:
        """A signal, as the course has it, for each of the spectrograms (count, n_bins, n_frames, n_channels) in [0, 1].

        value_ranges: what 0 and 1 stand for in each, a ValueRange or `{"min": …, "max": …}`; the model's unless given.
        A signal is a waveform, float32 (n_samples, n_channels); of one channel (n_samples,).
        """
        ranges = None if value_ranges is None else [bounds_of(bounds) for bounds in value_ranges]
        waveforms = self._waveforms(spectrograms, ranges)
        return [waveform[:, 0] if waveform.shape[1] == 1 else waveform for waveform in waveforms]

    def _waveforms(
        self, spectrograms: NDArray[np.float32], ranges: Sequence[ValueRange] | None
    ) -> list[NDArray[np.float32]]:
        """A waveform for each, several at a time."""
        wanted = [None] * len(spectrograms) if ranges is None else ranges
        rule = f"as many as there are spectrograms, {len(spectrograms)}"
        require(len(wanted) == len(spectrograms), "the number of ranges", len(wanted), rule)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(self.to_waveform, spectrograms, wanted))

    @overload
    def generate(
        self, count: int, seed: int | None = None, labels: Mapping[str, str] | None = None
    ) -> Iterator[NDArray[np.float32]]: ...

    @overload
    def generate(
        self, count: NDArray[np.float32], seed: Iterable[Bounds]
    ) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]: ...

    @also_called(spectrograms="count", min_max_values="seed")
    def generate(self, count: Any, seed: Any = None, labels: Mapping[str, str] | None = None) -> Any:
        """New sounds of one segment each, of `draw`; the same for the same seed.

        A model with a range per record and no learned prior gives them the typical one of its training records. As the
        course has it, `generate(spectrograms, min_max_values)` passes spectrograms through the model:
        (signals as of `convert_spectrograms_to_audio`, the latents that they are decoded from).
        """
        if np.ndim(count):
            reconstructions, latents = self.autoencoder.reconstruct(count)
            return self.convert_spectrograms_to_audio(reconstructions, seed), latents
        drawn = self.draw(count, secrets.randbelow(2**31) if seed is None else seed, labels)
        return self.decode(drawn.latents, drawn.ranges(self.bundle.value_range))

    def decode(
        self, latents: NDArray[np.float32], value_ranges: list[ValueRange] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """A waveform of one segment for each of the latents (count, latent_space_dim).

        value_ranges: what 0 and 1 stand for in each, the model's unless given.
        """
        for start in range(0, len(latents), _SEGMENTS_AT_ONCE):
            part = slice(start, start + _SEGMENTS_AT_ONCE)
            ranges = None if value_ranges is None else value_ranges[part]
            yield from self._waveforms(self.autoencoder.decode(latents[part]), ranges)

    def join(
        self,
        latents: NDArray[np.float32],
        ranges: Sequence[ValueRange],
        num_samples: int,
        begun: NDArray[np.float32] | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """One sound of latents (count, latent_space_dim) of segments in a row, in blocks, together num_samples long.

        begun: the waveform of a segment before them, which keeps its phases; num_samples counts it too.
        """
        segmentation = self.inverter.segmentation
        hop, segment = segmentation.hop_frames * segmentation.hop_length, self.bundle.audio.segment_samples
        decibels = [self.inverter.to_decibels(begun)] if begun is not None else []
        for start in range(0, len(latents), _SEGMENTS_AT_ONCE):
            part = slice(start, start + _SEGMENTS_AT_ONCE)
            decoded = self.autoencoder.decode(latents[part])
            decibels += [own.to_db(each) for each, own in zip(decoded, ranges[part], strict=True)]
        left = num_samples - hop * (len(decibels) - 1)
        pieces = [Piece(each, segment) for each in decibels[:-1]] + [Piece(decibels[-1], left)]
        return self.inverter.to_long_waveform(pieces, begun)

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
        values = math.prod(self.bundle.model.input_shape)
        at_once = max(1, min(_SEGMENTS_AT_ONCE, _VALUES_AT_ONCE // values))
        while several := list(islice(waveforms, at_once)):
            inputs, ranges = zip(*map(self.normalise, several), strict=True)
            reconstructions, _ = self.autoencoder.reconstruct(np.stack(inputs))
            decibels = (own.to_db(each) for each, own in zip(reconstructions, ranges, strict=True))
            yield from zip(decibels, map(self.inverter.to_phasors, several), strict=True)

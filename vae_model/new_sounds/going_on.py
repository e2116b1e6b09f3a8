"""Sounds that begin with one that there is: a recording that goes on, and variations of one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.loading import iter_segments
from pipelines.config import AudioConfig
from pipelines.errors import require
from pipelines.store.paths import Place
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import NO_CHANGE, PHASES
from vae_model.model_folder.outputs import output_folder
from vae_model.new_sounds.generating import (
    check_sampling,
    num_segments,
    prior_of,
    require_before,
    require_learned,
    settled_seed,
)
from vae_model.runtime import prepare
from vae_model.sound.wav import WavFile, require_normalisation, write_sounds

if TYPE_CHECKING:
    from vae_model.sound.generator import SoundGenerator


@dataclass(frozen=True)
class Continued:
    """A recording that goes on. begins_at: the sample at which what was made begins. seed: gives it again."""

    sample_rate: int
    seed: int
    phase: str
    begins_at: int
    written: tuple[WavFile, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**dataclasses.asdict(self), "written": [file.to_dict() for file in self.written]}


@dataclass(frozen=True)
class Varied:
    """Variations of a sound. seed: gives them again."""

    sample_rate: int
    seed: int
    phase: str
    amount: float
    written: tuple[WavFile, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**dataclasses.asdict(self), "written": [file.to_dict() for file in self.written]}


def continue_sound(
    model: Place,
    audio: Place,
    output: Place,
    seconds: float,
    *,
    count: int = 1,
    labels: Mapping[str, str] | None = None,
    guidance: float | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    phase: str = PHASES[0],
    normalise: str = NO_CHANGE,
) -> Continued:
    """Write a recording that goes on for `seconds` after its end: `audio-vae continue`.

    audio: a file of any length, which the sounds begin with: continued-00001.wav and so on, `count` of them, each
    another way to go on. labels: what it is, as far as that is known. The others are those of `generate`. SettingError
    when the model's prior does not know how sounds go on, SourceError when the file can't be used.

    >>> continue_sound(model, sounds / "tone_00.wav", folder / "on", 2.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    pipelines.errors.SettingError: MODEL ... must have a learned prior: audio-vae prior ... DATASET learns it
    """
    model, audio = os.fspath(model), os.fspath(audio)
    seed = settled_seed(seed)
    require_normalisation(normalise)
    require(count > 0, "--count", count, "a positive number of sounds")
    require(0 < seconds <= 3600, "--seconds", seconds, "more than 0 and at most 3600")
    check_sampling(guidance, temperature)
    bundle = Bundle.load(model)  # mistakes show before TensorFlow's seconds of loading
    learned = require_learned(bundle, model)
    learned.check_labels(labels or {})
    require_before(learned, bundle, "MODEL")
    rate, segment = bundle.audio.sample_rate, bundle.audio.segment_samples
    end = _end_of(audio, bundle.audio)
    with output_folder(os.fspath(output)) as folder:
        prepare()
        from vae_model.sound.generator import SoundGenerator

        generator = SoundGenerator.load(model, seed, phase)
        prior = prior_of(generator, guidance, temperature)
        spectrogram, value_range = generator.normalise(end.waveform)
        latent = generator.autoencoder.means(spectrogram[None])[0]
        total = segment + round(seconds * rate)
        following = num_segments(total / rate, generator) - 1
        levels = (float(value_range.min_db), float(value_range.max_db))

        parts = prior.follow(latent, levels, following, count, seed, labels)

        def sounds() -> Iterator[Iterator[NDArray[np.float32]]]:
            for number in range(count):
                latents = np.stack([part.latents[number] for part in parts])
                ranges = [part.ranges(bundle.value_range)[number] for part in parts]
                made = generator.join(latents, ranges, total, end.waveform)
                yield _after(_until(audio, bundle.audio, end.num_before), end, made, _weights(generator))

        written = write_sounds(folder, "continued", sounds(), rate, count, [{}] * count, normalise)
    return Continued(rate, seed, phase, end.num_before + segment - end.num_padded, written)


def vary(
    model: Place,
    audio: Place,
    output: Place,
    *,
    amount: float = 0.3,
    count: int = 8,
    labels: Mapping[str, str] | None = None,
    guidance: float | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    phase: str = PHASES[0],
    normalise: str = NO_CHANGE,
) -> Varied:
    """Write sounds like the first segment of a recording, as varied-00001.wav and so on: `audio-vae vary`.

    amount: how far from it, above 0; at 1 nothing of it is left. labels: what the variations are to be. The others are
    those of `generate`. SettingError when the model has no learned prior, SourceError when the file can't be used.

    >>> vary(model, sounds / "tone_00.wav", folder / "varied", count=2)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    pipelines.errors.SettingError: MODEL ... must have a learned prior: audio-vae prior ... DATASET learns it
    """
    model = os.fspath(model)
    seed = settled_seed(seed)
    require_normalisation(normalise)
    require(count > 0, "--count", count, "a positive number of sounds")
    require(0 < amount <= 1, "--amount", amount, "above 0 and at most 1")
    check_sampling(guidance, temperature)
    bundle = Bundle.load(model)  # mistakes show before TensorFlow's seconds of loading
    require_learned(bundle, model).check_labels(labels or {})
    with output_folder(os.fspath(output)) as folder:
        prepare()
        from vae_model.sound import latents
        from vae_model.sound.generator import SoundGenerator

        generator = SoundGenerator.load(model, seed, phase)
        latent, value_range = latents.of_file(generator, os.fspath(audio))
        levels = (float(value_range.min_db), float(value_range.max_db))
        drawn = prior_of(generator, guidance, temperature).vary(latent, levels, amount, count, seed, labels)
        waveforms = generator.decode(drawn.latents, [value_range] * count)
        rate = bundle.audio.sample_rate
        written = write_sounds(folder, "varied", waveforms, rate, count, [{}] * count, normalise)
    return Varied(rate, seed, phase, amount, written)


@dataclass(frozen=True)
class _End:
    """The end of a recording: its last segment's waveform, the samples before that, and the silence put before it where
    the recording is shorter."""

    waveform: NDArray[np.float32]
    num_before: int
    num_padded: int


def _blocks(audio: str, config: AudioConfig) -> Iterator[NDArray[np.float32]]:
    """A whole recording at a model's rate, in blocks."""
    whole = dataclasses.replace(config, segments="all", segment_hop_seconds=None)
    for segment in iter_segments(audio, whole):
        yield segment.samples[: segment.valid_samples]


def _end_of(audio: str, config: AudioConfig) -> _End:
    size, total = config.segment_samples, 0
    end = np.zeros((0, config.channels), np.float32)
    for block in _blocks(audio, config):
        total += len(block)
        end = np.concatenate([end, block])[-size:]
    padded = size - len(end)
    return _End(np.pad(end, ((padded, 0), (0, 0))), total - len(end), padded)


def _until(audio: str, config: AudioConfig, num_samples: int) -> Iterator[NDArray[np.float32]]:
    left = num_samples
    for block in _blocks(audio, config):
        if left <= 0:
            return
        yield block[:left]
        left -= len(block)


def _weights(generator: SoundGenerator) -> NDArray[np.float32]:
    """How much of each sample of a recording's last segment is what was made: nothing while its phases are known."""
    segmentation, size = generator.inverter.segmentation, generator.bundle.spectrogram.frame_size
    known = segmentation.hop_frames * segmentation.hop_length - size
    ramp = (np.arange(generator.bundle.audio.segment_samples) - max(known, 0) + 1) / (size // 2)
    return np.clip(ramp, 0, 1)[:, None].astype(np.float32)


def _after(
    before: Iterator[NDArray[np.float32]],
    end: _End,
    made: Iterator[NDArray[np.float32]],
    weights: NDArray[np.float32],
) -> Iterator[NDArray[np.float32]]:
    """What comes before the end of a recording, the end itself going over into what was made of it, and that."""
    yield from before
    start, size = 0, len(end.waveform)
    for block in made:
        own = end.waveform[start : start + len(block)]
        share = weights[start : start + len(block)]
        mixed = np.concatenate([(1 - share) * own + share * block[: len(own)], block[len(own) :]])
        yield mixed[max(0, end.num_padded - start) :]
        start = min(size, start + len(block))

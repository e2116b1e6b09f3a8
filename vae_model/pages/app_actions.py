"""What one can do with a model by ear: reconstruct, move through its latents, mix, generate. Knows no web page."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from pipelines.audio.formats import AUDIO_SUFFIXES, suffix_of
from pipelines.audio.loading import Loader, iter_segments
from pipelines.errors import SettingError, require
from vae_model.model_folder.value_range import ValueRange
from vae_model.new_sounds.generating import num_segments, prior_of
from vae_model.report.figure import side_by_side
from vae_model.sound import latents
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.limiter import limited

MAX_SECONDS = 60.0
"""Of longer uploads only so much is reconstructed."""
MAX_DIRECTIONS = 8
"""Principal directions of the latents that have a slider."""
MAX_CHOICES = 200
"""A label of more values has no menu."""
MAX_NEW_SECONDS = 20.0
KEPT_SECONDS = 900
"""Uploads and sounds are removed when they are so old, and at the end."""
SPAN_DB = 80.0
_PLAYED = {".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".webm"}
"""What browsers play."""
_PLAYED_HZ = 44100
_NAME_CHARACTERS = 60


@dataclass(frozen=True)
class Heard:
    """A sound to be heard, seen and saved.

    name: of its file, without a suffix. waveform: (n_samples, n_channels), full scale ±1. log_spectrograms: in dB,
    those of its picture by caption.
    """

    name: str
    waveform: NDArray[np.float32]
    log_spectrograms: dict[str, NDArray[np.float32]]

    def facts(self, sample_rate: int) -> str:
        """Its length and level: a player's own drawing would show a faint sound as a loud one."""
        peak = float(np.abs(self.waveform).max(initial=0.0))
        level = f"peak {20 * np.log10(peak):.1f} dB of full scale".replace("-", "−") if peak else "silence"
        return f"{len(self.waveform) / sample_rate:.2f} s, {level}"


class Studio:
    """A model's sounds on request.

    directions: how many principal directions of the stored latent distribution there are to move along. folder: where
    files of sounds are written.
    """

    def __init__(self, generator: SoundGenerator, folder: str = "") -> None:
        self.generator = generator
        self.folder = folder
        distribution = generator.autoencoder.model.latent_distribution
        self._mean = np.array(distribution.mean)
        factor = np.array(distribution.factor)
        vectors, deviations, _ = np.linalg.svd(factor)  # the covariance's eigenvectors and the roots of its eigenvalues
        self._axes = (vectors * deviations)[:, :MAX_DIRECTIONS].T
        # A singular vector's sign is chance: the largest entry is made positive.
        largest = self._axes[np.arange(len(self._axes)), np.abs(self._axes).argmax(axis=1)]
        self._axes *= np.where(largest < 0, -1, 1)[:, None]
        self.directions = len(self._axes)

    @property
    def sample_rate(self) -> int:
        """Of all waveforms, in Hz."""
        return self.generator.bundle.audio.sample_rate

    def reconstruct(self, path: str) -> Heard:
        """Up to MAX_SECONDS of a file through the model, with pictures of its first segment and of what became of it.

        Where the sound goes on after that, the captions say how much of it they show.

        SettingError when its name is no audio file's, SourceError when it can't be used.
        """
        _require_audio(path)
        segment = next(iter_segments(path, self.generator.bundle.audio))
        given, value_range = self.generator.normalise(segment.samples)
        made = self.generator.autoencoder.reconstruct(given[None])[0][0]
        limit, blocks, count = round(MAX_SECONDS * self.sample_rate), [], 0
        for block in self.generator.reconstruct_file(path):
            blocks.append(block)
            count += len(block)
            if count >= limit:
                break
        waveform, seconds = np.concatenate(blocks)[:limit], self.generator.bundle.audio.segment_seconds
        part = f", its first {seconds:g} s" if len(waveform) > round(seconds * self.sample_rate) else ""
        pictures = {f"What came in{part}": given, f"What the model makes of it{part}": made}
        return self._heard(f"reconstruction of {_stem(path)}", waveform, pictures, value_range)

    def move(self, amounts: list[float]) -> Heard:
        """The sound at so many standard deviations from the mean latent along each principal direction."""
        latent = self._mean + np.asarray(amounts, np.float32) @ self._axes[: len(amounts)]
        way = " ".join(f"{amount:g}" for amount in amounts) if any(amounts) else "mean"
        return self._decoded(f"moved to {way}", latent.astype(np.float32), self.generator.bundle.value_range)

    def mix(self, first: str, second: str, part: float) -> Heard:
        """The sound between the first segments of two files: `part` 0 is the one, 1 the other. Errors as above."""
        for path in (first, second):
            _require_audio(path)
        (a, a_range), (b, b_range) = (latents.of_file(self.generator, path) for path in (first, second))
        way = latents.way_of(self.generator.bundle.model)
        latent = latents.between(a, b, np.array([part]), way)[0]
        name = f"{_stem(first)} to {_stem(second)}, {part:.2f}"
        return self._decoded(name, latent, latents.range_between(a_range, b_range, part))

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The labels that a new sound may be asked for, with their values; those of very many are left out."""
        prior = self.generator.prior
        labels = {} if prior is None else prior.settings.labels
        return {name: values for name, values in labels.items() if len(values) <= MAX_CHOICES}

    @property
    def has_prior(self) -> bool:
        """Whether there is a learned prior, for guidance and variations."""
        return self.generator.prior is not None

    @property
    def longest_seconds(self) -> float:
        """How long a new sound may be: one segment, unless the prior knows how sounds go on."""
        segment: float = self.generator.bundle.audio.segment_seconds
        prior = self.generator.prior
        return segment if prior is None or not prior.settings.with_before else max(segment, MAX_NEW_SECONDS)

    def generate(
        self,
        seed: int,
        labels: Mapping[str, str] | None = None,
        guidance: float | None = None,
        seconds: float | None = None,
    ) -> Heard:
        """A new sound; the same for the same seed. seconds: up to `longest_seconds`, one segment unless given."""
        _require_seed(seed)
        name = " ".join([f"new {seed}", *(value for value in (labels or {}).values() if value)])
        value_range, audio = self.generator.bundle.value_range, self.generator.bundle.audio
        seconds = audio.segment_seconds if seconds is None else seconds
        require(seconds <= self.longest_seconds, "seconds", seconds, f"at most {self.longest_seconds:g}")
        if seconds == audio.segment_seconds:
            source = prior_of(self.generator, guidance, None) if self.has_prior else self.generator
            drawn = source.draw(1, seed, labels)
            return self._decoded(name, drawn.latents[0], drawn.ranges(value_range)[0])
        prior, length = prior_of(self.generator, guidance, None), num_segments(seconds, self.generator)
        parts = prior.sequences(1, length, seed, labels)
        points = np.concatenate([part.latents for part in parts])
        ranges = [part.ranges(value_range)[0] for part in parts]
        waveform = np.concatenate(list(self.generator.join(points, ranges, round(seconds * audio.sample_rate))))
        decoded = self.generator.autoencoder.decode(points[:1])[0]
        return self._heard(name, waveform, {"How it begins": decoded}, ranges[0])

    def vary(self, path: str, amount: float, seed: int) -> Heard:
        """A sound like the first segment of a file, the farther from it the larger the amount. Errors as above."""
        _require_audio(path)
        _require_seed(seed)
        latent, value_range = latents.of_file(self.generator, path)
        levels = (float(value_range.min_db), float(value_range.max_db))
        drawn = prior_of(self.generator, None, None).vary(latent, levels, amount, 1, seed)
        return self._decoded(f"like {_stem(path)}, {amount:g}, {seed}", drawn.latents[0], value_range)

    def picture(self, heard: Heard) -> Image.Image:
        """The spectrograms side by side, on one colour scale that reaches 80 dB down from their loudest cell."""
        loudest = max(float(each.max()) for each in heard.log_spectrograms.values())
        hop_length = self.generator.bundle.spectrogram.hop_length
        return side_by_side(heard.log_spectrograms, (loudest - SPAN_DB, loudest), self.sample_rate, hop_length)

    def _decoded(self, name: str, latent: NDArray[np.float32], value_range: ValueRange) -> Heard:
        spectrogram = self.generator.autoencoder.decode(latent[None])[0]
        waveform = self.generator.to_waveform(spectrogram, value_range)
        return self._heard(name, waveform, {"The model's sound": spectrogram}, value_range)

    def _heard(
        self,
        name: str,
        waveform: NDArray[np.float32],
        spectrograms: dict[str, NDArray[np.float32]],
        value_range: ValueRange,
    ) -> Heard:
        """A waveform, made quieter where it is beyond full scale, with spectrograms in [0, 1]."""
        to_linear = self.generator.inverter.to_linear
        in_db = {name: to_linear(value_range.to_db(each)) for name, each in spectrograms.items()}
        return Heard(name, limited(waveform, self.sample_rate), in_db)


def playable(path: str, folder: str) -> str:
    """The path of a file that browsers play: the file itself, or what is in it as WAV, in a folder below `folder`.

    SettingError, SourceError as of `Studio.reconstruct`.
    """
    _require_audio(path)
    if suffix_of(path) in _PLAYED:
        return path
    waveform = Loader(_PLAYED_HZ, duration=MAX_SECONDS, mono=False).load(path)
    return write_sound(folder, _stem(path), waveform, _PLAYED_HZ)


def write_sound(folder: str, name: str, waveform: NDArray[np.float32], sample_rate: int) -> str:
    """Write a WAV file of this name into a new folder below `folder`, and remove those that are old; its path."""
    for old in Path(folder).glob("sound-*"):
        if time.time() - old.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    path = os.path.join(tempfile.mkdtemp(prefix="sound-", dir=folder), f"{name}.wav")
    soundfile.write(path, waveform, sample_rate, "PCM_16")
    return path


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0][:_NAME_CHARACTERS]


def _require_seed(seed: int) -> None:
    require(0 <= seed < 2**31, "seed", seed, "at least 0 and below 2**31")


def _require_audio(path: str) -> None:
    if suffix_of(path) not in AUDIO_SUFFIXES:
        raise SettingError(
            f"a file {suffix_of(path) or 'without a suffix'} is none of {' '.join(sorted(AUDIO_SUFFIXES))}"
        )

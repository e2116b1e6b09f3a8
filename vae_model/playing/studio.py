"""What one can do with a model by ear: play its sounds and what lies between them, reconstruct, mix, generate.

Knows no web page.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.loading import iter_segments
from pipelines.errors import require
from vae_model.model_folder.config import PGHI
from vae_model.model_folder.value_range import ValueRange
from vae_model.new_sounds.generating import num_segments, prior_of
from vae_model.pages.errors_in_db import levels_of
from vae_model.playing.board import Touch, blend, name_of, points_of, sounds_drawn
from vae_model.playing.directions import Directions
from vae_model.playing.heard import MAX_SECONDS, Heard, loudness_of, loudness_of_file, require_audio, stem_of
from vae_model.playing.sessions import Sessions
from vae_model.sound import latents
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.inverter import Inverter
from vae_model.sound.limiter import limited
from vae_model.sound.recordings import ModelRecordings
from vae_model.training_sounds import TrainingSound

MAX_CHOICES = 200
"""A label of more values has no menu."""
MAX_NEW_SECONDS = 20.0
_SAME = 0.1
"""Of how far latents are spread: nearer to a sound's latent, a recording is taken to be of it. Records are rounded."""


class Studio:
    """A model's sounds on request.

    folder: where files of sounds are written. sounds: those of the map; new ones where there are none. recordings:
    where those of the map are looked for, to be heard beside what the model makes of them. sessions: what was made on
    each page that is open.
    """

    def __init__(
        self,
        generator: SoundGenerator,
        folder: str = "",
        sounds: Sequence[TrainingSound] = (),
        recordings: ModelRecordings | None = None,
    ) -> None:
        self.generator = generator
        self.folder = folder
        self.has_training_sounds = bool(sounds)
        self._recordings = recordings if sounds else None
        self.sounds = list(sounds) or sounds_drawn(generator)
        distribution = generator.autoencoder.model.latent_distribution
        self.sessions = Sessions(folder)
        self.directions = Directions(np.array(distribution.mean), np.array(distribution.factor), self.sounds)
        self._spread = float(np.linalg.norm(np.std([sound.latent for sound in self.sounds], axis=0)))

    @property
    def sample_rate(self) -> int:
        """Of all waveforms, in Hz."""
        return self.generator.bundle.audio.sample_rate

    def reconstruct(self, path: str) -> Heard:
        """Up to MAX_SECONDS of a file through the model, with pictures of its first segment and of what became of it.

        Where the sound goes on after that, the captions say how much of it they show.

        SettingError when its name is no audio file's, SourceError when it can't be used.
        """
        require_audio(path)
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
        pictures = {
            f"What came in{part}": levels_of(self.generator.inverter, segment.samples),
            f"What the model makes of it{part}": self._levels(made, value_range),
        }
        heard = self._heard(f"reconstruction of {stem_of(path)}", waveform, pictures)
        return dataclasses.replace(heard, original_lufs=loudness_of_file(path))

    def play(self, touch: Touch, amounts: Sequence[float] = ()) -> Heard:
        """The sound where the map was touched, of the mean latent before that, moved along the directions.

        amounts: standard deviations along each principal direction. With 0 of each a training sound comes with its
        recording, where that is still there.
        """
        way = " ".join(f"{amount:g}" for amount in amounts) if any(amounts) else ""
        if touch.shares:
            latent, value_range = blend(self.sounds, touch, self._points, self.generator)
            name = f"{name_of(self.sounds, touch)} moved to {way}" if way else name_of(self.sounds, touch)
        else:
            latent, value_range = self.directions.mean, self.generator.bundle.value_range
            name = f"moved to {way or 'mean'}"
        latent = latent + self.directions.step(amounts) if way else latent
        if not touch.settled:
            heard = self._decoded(name, latent.astype(np.float32), value_range, self._passing)
            return dataclasses.replace(heard, passing=True)
        heard = self._decoded(name, latent.astype(np.float32), value_range)
        original = None if way or len(touch.shares) != 1 else self.recording_of(touch.shares[0][0])
        return heard if original is None else self._beside(original, heard)

    @functools.cached_property
    def _passing(self) -> Inverter:
        """Of what a drag passes by: its phases take a fraction of the time, and are nearly as good."""
        bundle = self.generator.bundle
        return Inverter(bundle.audio, bundle.spectrogram, PGHI)

    def _beside(self, original: NDArray[np.float32], heard: Heard) -> Heard:
        (made,) = heard.log_spectrograms.values()
        pictures = {"Its recording": levels_of(self.generator.inverter, original), "What the model makes of it": made}
        loudness = loudness_of(original, self.sample_rate)
        return dataclasses.replace(heard, log_spectrograms=pictures, original=original, original_lufs=loudness)

    def recording_of(self, number: int) -> NDArray[np.float32] | None:
        """The recording of a sound of the map, (segment_samples, n_channels); None where it can't be found."""
        if self._recordings is None:
            return None
        sound = self.sounds[number]

        def is_of(waveform: NDArray[np.float32]) -> bool:
            given, _ = self.generator.normalise(waveform)
            found = self.generator.autoencoder.means(given[None])[0]
            return float(np.linalg.norm(found - sound.latent)) < _SAME * self._spread

        return self._recordings.segment(sound.source, sound.start_seconds, is_of)

    @functools.cached_property
    def _points(self) -> NDArray[np.float32]:
        return points_of(self.sounds, self.generator)

    def mix(self, first: str, second: str, part: float) -> Heard:
        """The sound between the first segments of two files: `part` 0 is the one, 1 the other. Errors as above."""
        for path in (first, second):
            require_audio(path)
        (a, a_range), (b, b_range) = (latents.of_file(self.generator, path) for path in (first, second))
        way = latents.way_of(self.generator)
        latent = latents.on_the_way(self.generator, a, b, np.array([part]), way)[0]
        name = f"{stem_of(first)} to {stem_of(second)}, {part:.2f}"
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
        return self._heard(name, waveform, {"How it begins": self._levels(decoded, ranges[0])})

    def vary(self, path: str, amount: float, seed: int) -> Heard:
        """A sound like the first segment of a file, the farther from it the larger the amount. Errors as above."""
        require_audio(path)
        _require_seed(seed)
        latent, value_range = latents.of_file(self.generator, path)
        levels = (float(value_range.min_db), float(value_range.max_db))
        drawn = prior_of(self.generator, None, None).vary(latent, levels, amount, 1, seed)
        return self._decoded(f"like {stem_of(path)}, {amount:g}, {seed}", drawn.latents[0], value_range)

    def _decoded(
        self, name: str, latent: NDArray[np.float32], value_range: ValueRange, inverter: Inverter | None = None
    ) -> Heard:
        spectrogram = self.generator.autoencoder.decode(latent[None])[0]
        levels, waveform = (inverter or self.generator.inverter).levels_and_waveform(value_range.to_db(spectrogram))
        return self._heard(name, waveform, {"The model's sound": levels})

    def _heard(self, name: str, waveform: NDArray[np.float32], levels: dict[str, NDArray[np.float32]]) -> Heard:
        """A waveform, made quieter where it is beyond full scale, with its pictures' levels in dB."""
        return Heard(name, limited(waveform, self.sample_rate), levels)

    def _levels(self, spectrogram: NDArray[np.float32], value_range: ValueRange) -> NDArray[np.float32]:
        return self.generator.inverter.to_linear(value_range.to_db(spectrogram))


def _require_seed(seed: int) -> None:
    require(0 <= seed < 2**31, "seed", seed, "at least 0 and below 2**31")

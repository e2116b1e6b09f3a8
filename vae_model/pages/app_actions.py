"""What one can do with a model by ear: reconstruct, move through its latents, mix, generate. Knows no web page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.audio.formats import AUDIO_SUFFIXES, suffix_of
from pipelines.audio.loading import iter_segments
from pipelines.errors import SettingError
from vae_model.model_folder.value_range import ValueRange
from vae_model.report.figure import side_by_side
from vae_model.sound import latents
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.limiter import limited

MAX_SECONDS = 60.0
"""Of longer uploads only so much is reconstructed."""
MAX_DIRECTIONS = 8
"""Principal directions of the latents that have a slider."""
SPAN_DB = 80.0


@dataclass(frozen=True)
class Heard:
    """A waveform (n_samples, n_channels), full scale ±1, and the log-spectrograms in dB of its picture by caption."""

    waveform: NDArray[np.float32]
    log_spectrograms: dict[str, NDArray[np.float32]]


class Studio:
    """A model's sounds on request.

    directions: how many principal directions of the stored latent distribution there are to move along.
    """

    def __init__(self, generator: SoundGenerator) -> None:
        self.generator = generator
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
        pictures = {"What came in": given, "What the model makes of it": made}
        return self._heard(np.concatenate(blocks)[:limit], pictures, value_range)

    def move(self, amounts: list[float]) -> Heard:
        """The sound at so many standard deviations from the mean latent along each principal direction."""
        latent = self._mean + np.asarray(amounts, np.float32) @ self._axes[: len(amounts)]
        return self._decoded(latent.astype(np.float32), self.generator.bundle.value_range)

    def mix(self, first: str, second: str, part: float) -> Heard:
        """The sound between the first segments of two files: `part` 0 is the one, 1 the other. Errors as above."""
        for path in (first, second):
            _require_audio(path)
        (a, a_range), (b, b_range) = (latents.of_file(self.generator, path) for path in (first, second))
        way = latents.way_of(self.generator.bundle.model)
        latent = latents.between(a, b, np.array([part]), way)[0]
        return self._decoded(latent, latents.range_between(a_range, b_range, part))

    def generate(self, seed: int) -> Heard:
        """A new sound; the same for the same seed."""
        if not 0 <= seed < 2**31:
            raise SettingError(f"seed={seed} must be at least 0 and below 2**31")
        latent = self.generator.autoencoder.sample_latents(1, seed)[0]
        return self._decoded(latent, self.generator.bundle.value_range)

    def picture(self, heard: Heard) -> Image.Image:
        """The spectrograms side by side, on one colour scale that reaches 80 dB down from their loudest cell."""
        loudest = max(float(each.max()) for each in heard.log_spectrograms.values())
        hop_length = self.generator.bundle.spectrogram.hop_length
        return side_by_side(heard.log_spectrograms, (loudest - SPAN_DB, loudest), self.sample_rate, hop_length)

    def _decoded(self, latent: NDArray[np.float32], value_range: ValueRange) -> Heard:
        spectrogram = self.generator.autoencoder.decode(latent[None])[0]
        waveform = self.generator.to_waveform(spectrogram, value_range)
        return self._heard(waveform, {"The model's sound": spectrogram}, value_range)

    def _heard(
        self, waveform: NDArray[np.float32], spectrograms: dict[str, NDArray[np.float32]], value_range: ValueRange
    ) -> Heard:
        """A waveform, made quieter where it is beyond full scale, with spectrograms in [0, 1]."""
        to_linear = self.generator.inverter.to_linear
        in_db = {name: to_linear(value_range.to_db(each)) for name, each in spectrograms.items()}
        return Heard(limited(waveform, self.sample_rate), in_db)


def _require_audio(path: str) -> None:
    if suffix_of(path) not in AUDIO_SUFFIXES:
        raise SettingError(
            f"a file {suffix_of(path) or 'without a suffix'} is none of {' '.join(sorted(AUDIO_SUFFIXES))}"
        )

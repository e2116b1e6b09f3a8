"""Sounds of a dataset and of a model, to see and hear on a page."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pipelines.dataset.folder import Dataset
from pipelines.dataset.records import Record
from vae_model.model_folder.config import latent_names
from vae_model.model_folder.value_range import ValueRange, log_spectrogram, model_input, record_range
from vae_model.pages.recordings import Recordings
from vae_model.report import Comparison, Sound
from vae_model.sound import latents
from vae_model.sound.generator import SoundGenerator

_AT_ONCE = 64


@dataclass(frozen=True)
class Reconstructed:
    """A record and the mean squared error of its reconstruction, in the model's units."""

    record: Record
    error: float

    @property
    def order(self) -> tuple[str, int]:
        """By source and segment."""
        return self.record.source, self.record.segment


def survey(
    generator: SoundGenerator, records: Iterable[Record], total: int, even: int, worst: int
) -> tuple[list[Reconstructed], list[Reconstructed]]:
    """Reconstruct `total` records and keep a few: up to `even` evenly spaced ones, in order, and the `worst` ones."""
    wanted = set(np.linspace(0, total - 1, min(even, total)).round().astype(int).tolist())
    evenly: list[Reconstructed] = []
    worst_so_far: list[tuple[float, int, Reconstructed]] = []
    number = 0
    for several in _chunks(records):
        inputs = np.stack([model_input(record, generator.bundle.value_range) for record in several])
        errors = np.square(inputs - generator.autoencoder.reconstruct(inputs)[0]).mean(axis=(1, 2, 3))
        for record, error in zip(several, errors, strict=True):
            one = Reconstructed(record, float(error))
            evenly += [one] if number in wanted else []
            worst_so_far = heapq.nlargest(worst, [*worst_so_far, (one.error, -number, one)])
            number += 1
    return sorted(evenly, key=lambda one: one.order), [one for _, _, one in worst_so_far]


class Listener:
    """Makes a page's sounds.

    title: names a record for people. max_seconds: of longer sounds the page gets the beginning.
    """

    def __init__(
        self, generator: SoundGenerator, dataset: Dataset, title: Callable[[Record], str], max_seconds: float
    ) -> None:
        self.generator = generator
        self.title = title
        self._recordings = Recordings(dataset)
        self._max_seconds = max_seconds

    def compare(self, chosen: Iterable[Reconstructed]) -> list[Comparison]:
        """Each one's recording, if it can still be read, its inversion, and what the model makes of it."""
        comparisons = []
        for one in chosen:
            record = one.record
            original = self.original(record)
            sounds = [] if original is None else [original]
            sounds += [self.inversion(record), self.reconstruction(record)]
            comparisons.append(Comparison(self.title(record), sounds, f"error {one.error:.4f}"))
        return comparisons

    def original(self, record: Record) -> Sound | None:
        """The record's own sound; None when its recording can't be read any more."""
        waveform = self._recordings.segment(record)
        return None if waveform is None else self._sound("Original", waveform, log_spectrogram(record))

    def inversion(self, record: Record, caption: str = "Original magnitudes, our phase") -> Sound:
        """The record's spectrogram made sound: the best that a model's sounds can get."""
        own = ValueRange(record.min_db, record.max_db, per_record=True)
        waveform = self.generator.to_waveform(record.spectrogram, own)
        return self._sound(caption, waveform, log_spectrogram(record))

    def reconstruction(self, record: Record) -> Sound:
        """What the model makes of the record."""
        value_range = self.generator.bundle.value_range
        given = model_input(record, value_range)
        spectrogram = self.generator.autoencoder.reconstruct(given[None])[0][0]
        return self.decoded("Reconstruction", spectrogram, record_range(record, value_range))

    def new_sounds(self, count: int, seed: int) -> list[Comparison]:
        """Sounds decoded from latents drawn as the training data's are distributed; the same for the same seed."""
        autoencoder, value_range = self.generator.autoencoder, self.generator.bundle.value_range
        spectrograms = autoencoder.decode(autoencoder.sample_latents(count, seed))
        sounds = [self.decoded("", spectrogram, value_range) for spectrogram in spectrograms]
        return [Comparison(f"Number {number}", [sound]) for number, sound in enumerate(sounds, start=1)]

    def interpolation(self, records: list[Record], steps: int) -> Comparison:
        """From one to another of the records, the two whose latents are farthest apart, in `steps` with both ends."""
        autoencoder, bundle = self.generator.autoencoder, self.generator.bundle
        encoded = autoencoder.encode(np.stack([model_input(record, bundle.value_range) for record in records]))
        points = encoded[latent_names(autoencoder.config)[0]]
        distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
        first, last = sorted(map(int, np.unravel_index(int(distances.argmax()), distances.shape)))
        parts = np.linspace(0, 1, steps)
        way = latents.SLERP if autoencoder.config.kind == "vae" else latents.LERP
        spectrograms = autoencoder.decode(latents.between(points[first], points[last], parts, way))
        start, end = (record_range(records[index], bundle.value_range) for index in (first, last))
        sounds = [
            self.decoded(f"{part:.0%}", spectrogram, latents.range_between(start, end, part))
            for part, spectrogram in zip(parts.tolist(), spectrograms, strict=True)
        ]
        return Comparison(f"From {self.title(records[first])} to {self.title(records[last])}", sounds)

    def decoded(self, caption: str, spectrogram: NDArray[np.float32], value_range: ValueRange) -> Sound:
        """A spectrogram in [0, 1] that the model put out."""
        in_db = spectrogram * np.float32(value_range.span_db) + np.float32(value_range.min_db)
        return self._sound(caption, self.generator.to_waveform(spectrogram, value_range), in_db)

    def _sound(self, caption: str, waveform: NDArray[np.float32], in_db: NDArray[np.float32]) -> Sound:
        settings = self.generator.bundle
        rate, hop = settings.audio.sample_rate, settings.spectrogram.hop_length
        return Sound.excerpt(caption, waveform, rate, in_db, hop, self._max_seconds)


def _chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    iterator = iter(records)
    while chunk := list(islice(iterator, _AT_ONCE)):
        yield chunk

"""Sounds of a dataset and of a model, to see and hear on a page."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.dataset.folder import Dataset
from pipelines.dataset.records import Record
from vae_model.evaluation.batches import chunks, spread
from vae_model.model_folder.value_range import ValueRange
from vae_model.pages.errors_in_db import in_words, levels_of, phase_db, rms_db
from vae_model.report import Comparison, Sound
from vae_model.sound import latents
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.limiter import limited
from vae_model.sound.recordings import Recordings


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
    wanted = spread(total, even)
    evenly: list[Reconstructed] = []
    worst_so_far: list[tuple[float, int, Reconstructed]] = []
    number = 0
    for several in chunks(records):
        inputs = np.stack([generator.bundle.value_range.model_input(record) for record in several])
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
    recordings: as of Recordings. compact: as of Sound.
    """

    def __init__(
        self,
        generator: SoundGenerator,
        dataset: Dataset,
        title: Callable[[Record], str],
        max_seconds: float,
        recordings: Sequence[str] = (),
        compact: bool = False,
    ) -> None:
        self.generator = generator
        self.title = title
        self._recordings = Recordings(dataset, recordings)
        self._max_seconds = max_seconds
        self._compact = compact

    def compare(self, chosen: Iterable[Reconstructed]) -> list[Comparison]:
        """Each one's recording, if it can still be read, its inversion, and what the model makes of it."""
        comparisons = []
        for one in chosen:
            record = one.record
            original = self.original(record)
            sounds = [] if original is None else [original]
            sounds += [self.inversion(record), self.reconstruction(record)]
            comparisons.append(Comparison(self.title(record), sounds, f"error {one.error:.4f}: {self.parts(record)}"))
        return comparisons

    def parts(self, record: Record) -> str:
        """How much of the error is the model's, how much the record's, and how much that of the phases, in words.

        The record's is told where the recording can be read.
        """
        inverter, value_range = self.generator.inverter, self.generator.bundle.value_range
        given = value_range.model_input(record)
        made = value_range.of_record(record).to_db(self.generator.autoencoder.reconstruct(given[None])[0][0])
        levels, inverted = inverter.levels_and_waveform(record.log_spectrogram)
        original = self._recordings.segment(record)
        return in_words(
            model=rms_db(levels, inverter.to_linear(made)),
            representation=None if original is None else rms_db(levels, levels_of(inverter, original)),
            phase=phase_db(inverter, levels, inverted),
        )

    def original(self, record: Record) -> Sound | None:
        """The record's own sound; None when its recording can't be read any more."""
        waveform = self._recordings.segment(record)
        return (
            None
            if waveform is None
            else self._sound("Original", waveform, levels_of(self.generator.inverter, waveform), record.log_spectrogram)
        )

    def inversion(self, record: Record, caption: str = "Original magnitudes, our phase") -> Sound:
        """The record's spectrogram made sound: the best that a model's sounds can get."""
        return self._inverted(caption, record.log_spectrogram)

    def reconstruction(self, record: Record) -> Sound:
        """What the model makes of the record."""
        value_range = self.generator.bundle.value_range
        given = value_range.model_input(record)
        spectrogram = self.generator.autoencoder.reconstruct(given[None])[0][0]
        return self.decoded("Reconstruction", spectrogram, value_range.of_record(record))

    def new_sounds(self, rows: Sequence[dict[str, str]], a_row: int, seed: int) -> list[Comparison]:
        """Rows of `a_row` new sounds of these labels; the same for the same seed. Without rows `a_row` of any."""
        if not rows:
            sounds = self._new(a_row, seed, {})
            return [Comparison(f"Number {number}", [sound]) for number, sound in enumerate(sounds, start=1)]
        titles = [", ".join(f"{name} {value}" for name, value in labels.items()) for labels in rows]
        return [
            Comparison(title, self._new(a_row, seed + number, labels))
            for number, (title, labels) in enumerate(zip(titles, rows, strict=True))
        ]

    def _new(self, count: int, seed: int, labels: dict[str, str]) -> list[Sound]:
        drawn = self.generator.draw(count, seed, labels)
        spectrograms = self.generator.autoencoder.decode(drawn.latents)
        captions = [", ".join(value for name, value in each.items() if name not in labels) for each in drawn.labels]
        ranges = drawn.ranges(self.generator.bundle.value_range)
        pairs = zip(captions, spectrograms, ranges, strict=True)
        return [self.decoded(caption if labels else "", spectrogram, own) for caption, spectrogram, own in pairs]

    def interpolation(self, records: list[Record], steps: int) -> Comparison:
        """From one to another of the records, the two whose latents are farthest apart, in `steps` with both ends."""
        autoencoder, bundle = self.generator.autoencoder, self.generator.bundle
        points = autoencoder.means(np.stack([bundle.value_range.model_input(record) for record in records]))
        distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
        first, last = sorted(map(int, np.unravel_index(int(distances.argmax()), distances.shape)))
        parts = np.linspace(0, 1, steps)
        way = latents.way_of(self.generator)
        between = latents.on_the_way(self.generator, points[first], points[last], parts, way)
        spectrograms = autoencoder.decode(between)
        start, end = (bundle.value_range.of_record(records[index]) for index in (first, last))
        sounds = [
            self.decoded(f"{part:.0%}", spectrogram, latents.range_between(start, end, part))
            for part, spectrogram in zip(parts.tolist(), spectrograms, strict=True)
        ]
        return Comparison(f"From {self.title(records[first])} to {self.title(records[last])}", sounds)

    def decoded(self, caption: str, spectrogram: NDArray[np.float32], value_range: ValueRange) -> Sound:
        """A spectrogram in [0, 1] that the model put out."""
        return self._inverted(caption, value_range.to_db(spectrogram))

    def _inverted(self, caption: str, decibels: NDArray[np.float32]) -> Sound:
        levels, waveform = self.generator.inverter.levels_and_waveform(decibels)
        return self._sound(caption, limited(waveform, self.generator.bundle.audio.sample_rate), levels, decibels)

    def _sound(
        self, caption: str, waveform: NDArray[np.float32], levels: NDArray[np.float32], decibels: NDArray[np.float32]
    ) -> Sound:
        """levels: of its pictures. decibels: of a record, which has coherence beside levels where it is of stereo."""
        settings, coherence = self.generator.bundle, self.generator.inverter.to_coherence(decibels)
        rate, hop = settings.audio.sample_rate, settings.spectrogram.hop_length
        return Sound.excerpt(caption, waveform, rate, levels, hop, self._max_seconds, coherence, self._compact)

"""What a trained model makes of a dataset's sounds: its error beside a baseline's, and sounds to see and hear."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pipelines.audio import iter_segments
from pipelines.dataset import Dataset
from pipelines.errors import WorkError
from pipelines.records import Record
from vae_model.autoencoder import Autoencoder
from vae_model.bundle import ValueRange
from vae_model.report import Comparison, Sound
from vae_model.sound import SoundGenerator

_RECORDS_AT_ONCE = 64


@dataclass(frozen=True)
class Errors:
    """Mean squared errors over all cells of num_records spectrograms, scaled to [0, 1] as the model has them.

    reconstruction: the model's. mean_spectrogram: of always answering with the training set's mean spectrogram.
    """

    num_records: int
    reconstruction: float
    mean_spectrogram: float

    @property
    def ratio(self) -> float | None:
        """reconstruction / mean_spectrogram; None where all sounds are the mean."""
        return self.reconstruction / self.mean_spectrogram if self.mean_spectrogram else None


def record_range(record: Record, value_range: ValueRange) -> ValueRange:
    """The decibels that 0 and 1 stand for when a model of `value_range` is given this record."""
    return ValueRange(record.min_db, record.max_db, per_record=True) if value_range.per_record else value_range


def log_spectrogram(record: Record) -> NDArray[np.float32]:
    """The record's spectrogram in dB, (n_bins, n_frames, n_channels)."""
    return record.spectrogram * np.float32(record.max_db - record.min_db) + np.float32(record.min_db)


def model_input(record: Record, value_range: ValueRange) -> NDArray[np.float32]:
    """The record's spectrogram in [0, 1] as a model of `value_range` is given it, (n_bins, n_frames, n_channels)."""
    own = record_range(record, value_range)
    scaled: NDArray[np.float32] = (log_spectrogram(record) - np.float32(own.min_db)) / np.float32(own.span_db)
    return scaled


def mean_spectrogram(records: Iterable[Record], value_range: ValueRange) -> NDArray[np.float64]:
    """The mean of the records as a model is given them, (n_bins, n_frames, n_channels). WorkError if there are none."""
    count, total = 0, np.zeros(())
    for record in records:
        total = total + model_input(record, value_range)
        count += 1
    if not count:
        raise WorkError("a mean spectrogram must be of at least one record, there are 0")
    return total / count


def measure(
    autoencoder: Autoencoder, value_range: ValueRange, records: Iterable[Record], mean: NDArray[np.float64]
) -> Errors:
    """The errors of the model and of answering `mean`, (n_bins, n_frames, n_channels), over at least one record."""
    count, of_model, of_mean = 0, 0.0, 0.0
    for several in _chunks(records):
        inputs = np.stack([model_input(record, value_range) for record in several])
        reconstructions, _ = autoencoder.reconstruct(inputs)
        of_model += float(np.square(inputs - reconstructions, dtype=np.float64).mean()) * len(several)
        of_mean += float(np.square(inputs - mean).mean()) * len(several)
        count += len(several)
    if not count:
        raise WorkError("errors must be over at least one record, there are 0")
    return Errors(count, of_model / count, of_mean / count)


def spread_over(dataset: Dataset, split: str, count: int) -> list[Record]:
    """Up to `count` records of a split, evenly spaced among all, in the order of their sources."""
    total = dataset.split(split).num_examples
    wanted = set(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist())
    picked = [record for index, record in enumerate(dataset.records(split)) if index in wanted]
    return sorted(picked, key=lambda record: (record.source, record.segment))


def compare(
    generator: SoundGenerator, records: list[Record], root: str, title: Callable[[Record], str]
) -> list[Comparison]:
    """Each record's own sound, read from under `root`, beside what the model makes of it.

    SourceError when a source can't be read any more.
    """
    bundle = generator.bundle
    comparisons = []
    for record in records:
        value_range = record_range(record, bundle.value_range)
        given = model_input(record, bundle.value_range)
        reconstruction = generator.autoencoder.reconstruct(given[None])[0][0]
        original = next(
            islice(iter_segments(f"{root.rstrip('/')}/{record.source}", bundle.audio), record.segment, None)
        )
        sounds = [
            _sound(generator, "Original", original.samples, log_spectrogram(record)),
            _model_sound(generator, "Reconstruction", reconstruction, value_range),
        ]
        error = float(np.square(given - reconstruction).mean())
        comparisons.append(Comparison(title(record), sounds, f"error {error:.4f}"))
    return comparisons


def new_sounds(generator: SoundGenerator, count: int, seed: int) -> list[Comparison]:
    """`count` sounds decoded from latents drawn as the training data's are distributed; the same for the same seed."""
    spectrograms = generator.autoencoder.decode(generator.autoencoder.sample_latents(count, seed))
    sounds = [_model_sound(generator, "", spectrogram, generator.bundle.value_range) for spectrogram in spectrograms]
    return [Comparison(f"Number {number}", [sound]) for number, sound in enumerate(sounds, start=1)]


def _model_sound(
    generator: SoundGenerator, caption: str, spectrogram: NDArray[np.float32], value_range: ValueRange
) -> Sound:
    """A spectrogram in [0, 1] that the model put out, seen and heard."""
    in_db = spectrogram * np.float32(value_range.span_db) + np.float32(value_range.min_db)
    return _sound(generator, caption, generator.to_waveform(spectrogram, value_range), in_db)


def _sound(generator: SoundGenerator, caption: str, waveform: NDArray[np.float32], in_db: NDArray[np.float32]) -> Sound:
    """A waveform, made quieter where it is beyond full scale, and its log-spectrogram."""
    peak = max(float(np.abs(waveform).max()), 1.0)
    bundle = generator.bundle
    return Sound(caption, waveform / np.float32(peak), bundle.audio.sample_rate, in_db, bundle.spectrogram.hop_length)


def _chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    iterator = iter(records)
    while chunk := list(islice(iterator, _RECORDS_AT_ONCE)):
        yield chunk

"""Where a training begins: at what is known of the data before any step, or at another model's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.config import TRAIN
from pipelines.dataset.folder import Dataset
from pipelines.dataset.records import SPECTROGRAM
from pipelines.errors import SettingError
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig, architecture_differences
from vae_model.model_folder.value_range import ValueRange
from vae_model.training import data
from vae_model.training.parsed import Moves, higher, louder, loudest_db, scaled, shifted
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.finished import load_finished

_AT_ONCE = 64


@dataclass(frozen=True)
class Beginning:
    """What a new model is given before its first step.

    value_range: what 0 and 1 stand for in its input. examples: float32 (count, *input_shape) to begin at their mean or
    principal components; counts: float32 (count,), what each of them counts, alike when None. weights: in Keras's
    order, of the model to begin at, which then stand for the examples.
    """

    value_range: ValueRange
    examples: NDArray[np.float32] | None = None
    counts: NDArray[np.float32] | None = None
    weights: list[NDArray[Any]] | None = None

    def give_to(self, autoencoder: Autoencoder, output_bias: bool) -> None:
        """Put it into a new model. output_bias: as `Autoencoder.start_from` has it."""
        if self.weights is not None:
            autoencoder.model.set_weights(self.weights)
        elif self.examples is not None:
            autoencoder.start_from(self.examples, output_bias, self.counts)


def at_data(dataset: Dataset, train: TrainConfig) -> Beginning:
    """At the training records: up to 3,072 of them, and if training moves them, each also moved both ways."""
    examples = data.first_examples(dataset, TRAIN)
    levels, counts = dataset.config.level_channels, None
    if train.level_weight_db:
        counts = train.weight_of(dataset.max_db - loudest_db(examples, levels))
    value_range = ValueRange(dataset.min_db, dataset.max_db)
    if train.value_range == "record":
        value_range = data.typical_range(examples)
    most = Moves.of(train)
    moves = [Moves(), most.least(1), most.least(-1)] if most else [Moves()]
    whole = _as_trained(examples, value_range, moves, levels)
    return Beginning(value_range, whole, None if counts is None else np.tile(counts, len(moves)))


def _as_trained(
    examples: dict[str, NDArray[Any]], value_range: ValueRange, moves: list[Moves], level_channels: int
) -> NDArray[np.float32]:
    """Parsed records as a model is given them, all of them moved by the first, then all by the next."""
    count, shape = len(examples[SPECTROGRAM]), examples[SPECTROGRAM].shape[1:]
    whole = np.empty((len(moves), count, *shape), np.float32)
    for start in range(0, count, _AT_ONCE):  # few at once: all of them are some hundred MB
        rows = slice(start, start + _AT_ONCE)
        some = {name: values[rows] for name, values in examples.items()}
        for number, by in enumerate(moves):
            spectrograms = scaled(shifted(some, by.frames, 1) if by.frames else some, value_range)
            if by.bins:
                spectrograms = higher(spectrograms, by.bins)
            if by.level_db:
                spectrograms = louder(spectrograms, by.level_db, value_range, level_channels)
            whole[number, rows] = spectrograms
    return whole.reshape(-1, *shape)


def at_model(folder: str, dataset: Dataset, model: ModelConfig, train: TrainConfig) -> Beginning:
    """At the weights and the value range of the model in a MODEL folder.

    Of another range its weights would mean something else; what lies outside of it is beyond what the model can make.
    SettingError when it is no trained model, or one of another audio setting, architecture or kind of value range.
    """
    bundle = Bundle.load(folder)
    bundle.check_fits(dataset, folder)
    different = architecture_differences(bundle.model, model)
    if bundle.value_range.per_record != (train.value_range == "record"):
        different.append(f"value_range: {bundle.train.value_range!r} != {train.value_range!r}")
    if different:
        raise SettingError(f"--from {folder} must be a model of the same architecture: {'; '.join(different)}")
    return Beginning(bundle.value_range, weights=load_finished(folder)[0].model.get_weights())

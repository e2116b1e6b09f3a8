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
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.finished import load_finished

_AT_ONCE = 64


@dataclass(frozen=True)
class Beginning:
    """What a new model is given before its first step.

    value_range: what 0 and 1 stand for in its input. examples: float32 (count, *input_shape) to begin at their mean or
    principal components. weights: in Keras's order, of the model to begin at, which then stand for the examples.
    """

    value_range: ValueRange
    examples: NDArray[np.float32] | None = None
    weights: list[NDArray[Any]] | None = None

    def give_to(self, autoencoder: Autoencoder, output_bias: bool) -> None:
        """Put it into a new model. output_bias: as `Autoencoder.start_from` has it."""
        if self.weights is not None:
            autoencoder.model.set_weights(self.weights)
        elif self.examples is not None:
            autoencoder.start_from(self.examples, output_bias)


def at_data(dataset: Dataset, train: TrainConfig) -> Beginning:
    """At the training records: up to 3,072 of them, and a frame to both sides if training moves them.

    Where quiet ones count less, so many are drawn of these, as often as they count.
    """
    examples = data.first_examples(dataset, TRAIN)
    if train.level_weight_db:
        below_db = dataset.max_db - data.loudest_db(examples, dataset.config.level_channels)
        weights = train.weight_of(below_db.astype(np.float64))
        drawn = np.random.default_rng(train.seed).choice(len(weights), len(weights), p=weights / weights.sum())
        examples = {name: values[drawn] for name, values in examples.items()}
    value_range = ValueRange(dataset.min_db, dataset.max_db)
    if train.value_range == "record":
        value_range = data.typical_range(examples)
    return Beginning(value_range, examples=_as_trained(examples, value_range, bool(train.time_shift_frames)))


def _as_trained(examples: dict[str, NDArray[Any]], value_range: ValueRange, moved: bool) -> NDArray[np.float32]:
    """Parsed records as a model is given them; `moved`: and all of them a frame later, and a frame earlier."""
    count, shape = len(examples[SPECTROGRAM]), examples[SPECTROGRAM].shape[1:]
    moves = (0, 1, -1) if moved else (0,)
    whole = np.empty((len(moves), count, *shape), np.float32)
    for start in range(0, count, _AT_ONCE):  # few at once: all of them are some hundred MB
        rows = slice(start, start + _AT_ONCE)
        some = {name: values[rows] for name, values in examples.items()}
        for number, by in enumerate(moves):
            whole[number, rows] = data.scaled(data.shifted(some, by, 1) if by else some, value_range)
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

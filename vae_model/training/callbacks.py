"""Keras callbacks of a training: the warm-up of the KL term, and a watch on the posterior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipelines.config import TRAIN, VALIDATION
from pipelines.dataset.folder import Dataset
from vae_model.evaluation.health import HEALTHY, examine
from vae_model.model_folder.config import TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.training import data
from vae_model.training.parsed import scaled

MAX_EXAMPLES = 512
_MIN_VALIDATION = 64  # of fewer, the variance of mu says little
PERSISTENCE = 3
"""A verdict is given out when as many epochs in a row came to it."""


def examples(dataset: Dataset, value_range: ValueRange) -> NDArray[np.float32]:
    """Spectrograms (count, *input_shape) to judge a posterior by: up to 512 of validation, or, if small, of train."""
    split = VALIDATION if dataset.count(VALIDATION) >= _MIN_VALIDATION else TRAIN
    found: NDArray[np.float32] = scaled(data.first_examples(dataset, split, MAX_EXAMPLES), value_range)
    return found


class PosteriorWatch(keras.callbacks.Callback):
    """After each epoch adds `active_units` and `kl_largest`, a dimension's, to its logs; warns once of bad health.

    It belongs before the callbacks that record logs. spectrograms: what it looks at, (count, *input_shape). say: takes
    the warning. It speaks when PERSISTENCE epochs in a row come to one bad verdict; those don't count that end before
    the running statistics of BatchNormalization have settled, nor those before `first_epoch`, such as a warm-up's.
    """

    def __init__(self, spectrograms: NDArray[np.float32], say: Callable[[str], None], first_epoch: int = 0) -> None:
        super().__init__()
        self.spectrograms = spectrograms
        self.first_epoch = first_epoch
        self._say = say
        self._verdict = HEALTHY
        self._times = 0
        self._has_warned = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the posterior after epoch `epoch`, counted from 0."""
        health = examine(self.model, self.spectrograms, (logs or {}).get("kl_loss"))
        if logs is not None:
            logs["active_units"] = health.posterior.active_units
            logs["kl_largest"] = max(health.posterior.kl_per_dimension)
        if epoch < self.first_epoch or not self._is_settled():
            return
        self._times = self._times + 1 if health.verdict == self._verdict else 1
        self._verdict = health.verdict
        if health.advice and self._times >= PERSISTENCE and not self._has_warned:
            self._has_warned = True
            self._say(f"warning after epoch {epoch + 1}: {health.advice}")

    def _is_settled(self) -> bool:
        """Whether the running statistics, which the posterior is seen through, have forgotten where they began."""
        steps = int(self.model.optimizer.iterations.numpy())
        return steps * (1 - self.model.settings.norm_momentum) > 5


class KLWarmup(keras.callbacks.Callback):
    """Sets what a VAE's KL is multiplied by at each epoch; an autoencoder has none."""

    def __init__(self, train: TrainConfig) -> None:
        super().__init__()
        self.train = train

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the weight of epoch `epoch`, counted from 0."""
        if hasattr(self.model, "kl_weight"):
            self.model.kl_weight.assign(self.train.kl_weight_at(epoch))

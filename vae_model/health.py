"""Posterior health: whether a VAE's latents collapse or explode, what to change then, and a callback that says so."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipelines.dataset import Dataset
from vae_model import data
from vae_model.bundle import ValueRange
from vae_model.config import ModelConfig
from vae_model.metrics import Posterior, PosteriorSums

MAX_EXAMPLES = 512
_AT_ONCE = 64
_MIN_VALIDATION = 64  # of fewer, the variance of mu says little

MIN_KL = 1.0
"""Under this many nats a latent tells fewer than three sounds apart, as the KL bounds what it tells: collapsed."""

MIN_ACTIVE_FRACTION = 0.05
"""With fewer than this part of its dimensions active a latent has nineteen of twenty to no purpose: collapsed."""

MAX_KL_PER_DIMENSION = 50.0
"""The KL of a mu ten deviations off the prior's mean, or of a variance of 106: exploding. About 5 is healthy."""

PERSISTENCE = 3
"""A verdict is given out when as many epochs in a row came to it."""

HEALTHY, COLLAPSED, EXPLODING = "healthy", "collapsed", "exploding"


@dataclass(frozen=True)
class Health:
    """A posterior and what to make of it. verdict: healthy, collapsed or exploding. advice: "" when healthy."""

    posterior: Posterior
    verdict: str
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"verdict": self.verdict, "advice": self.advice, **self.posterior.to_dict()}


def judge(posterior: Posterior, config: ModelConfig, trained_kl: float | None = None) -> Health:
    """What to make of the posterior of a VAE of these settings. Reasons for the limits: docs/metrics.md.

    trained_kl: the mean KL of the epoch's training batches, if known. Those are normalised by their own statistics and
    the posterior by BatchNormalization's running ones, which lag: a KL far above trained_kl is not the latents' doing.
    """
    weight, dim = config.reconstruction_weight, config.latent_space_dim
    largest = max(posterior.kl_per_dimension)
    is_artefact = trained_kl is not None and posterior.kl > 2 * trained_kl
    if not is_artefact and (not math.isfinite(posterior.kl) or largest > MAX_KL_PER_DIMENSION):
        advice = (
            f"the latents explode: a dimension's KL is {largest:,.0f} nats, over {MAX_KL_PER_DIMENSION:.0f}: far from "
            f"where new sounds are drawn; try a lower --reconstruction-weight (it is {weight:g}: {weight / 10:g}), "
            "or a lower --learning-rate"
        )
        return Health(posterior, EXPLODING, advice)
    kl = posterior.kl if trained_kl is None else min(posterior.kl, trained_kl)
    signs = [f"KL is {kl:.2g} nats"] if kl < MIN_KL else []
    if posterior.active_units < MIN_ACTIVE_FRACTION * dim:
        signs.append(f"{posterior.active_units} of {dim} dimensions differ from sound to sound")
    if signs:
        advice = (
            f"the latents have collapsed: {' and '.join(signs)}; "
            f"try a higher --reconstruction-weight (it is {weight:g}: {weight * 10:g})"
        )
        return Health(posterior, COLLAPSED, advice)
    return Health(posterior, HEALTHY, "")


def examples(dataset: Dataset, value_range: ValueRange) -> NDArray[np.float32]:
    """Spectrograms (count, *input_shape) to judge a posterior by: up to 512 of validation, or, if small, of train."""
    validation = dataset.splits.get("validation")
    split = "validation" if validation and validation.num_examples >= _MIN_VALIDATION else "train"
    found: NDArray[np.float32] = data.scaled(data.first_examples(dataset, split, MAX_EXAMPLES), value_range)
    return found


def examine(model: Any, spectrograms: NDArray[np.float32], trained_kl: float | None = None) -> Health:
    """The health of a VAEModel over spectrograms (count, *input_shape). trained_kl: as of `judge`."""
    # The encoder without its last step: to sample z would move on the noise stream that training draws from.
    output = model.encoder.output
    moments = keras.Model(model.encoder.input, [output["mu"], output["log_variance"]])
    sums = PosteriorSums(model.settings.latent_space_dim)
    for start in range(0, len(spectrograms), _AT_ONCE):
        mu, log_variance = moments(spectrograms[start : start + _AT_ONCE], training=False)
        sums.add(np.array(mu), np.array(log_variance))
    return judge(sums.result(), model.settings, trained_kl)


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

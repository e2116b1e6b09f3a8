"""How the flow is fitted to latents: velocities from noise to latents, under conditions of which some are left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import WorkError
from vae_model.prior.conditions import MAX_DB, context_of
from vae_model.prior.flow import FlowModel
from vae_model.vae.gaussians import Gaussians

LEARNING_RATE = 2e-3
UNKNOWN = 0.1
"""The part of the examples without any class; and without each class, the level, the latent before, by itself."""
_BATCH, _LEAST_BATCH, _LEAST_STEPS = 256, 16, 8
"""Latents a step; of few latents fewer, for so many steps an epoch: what a flow learns, it learns by its steps."""
_MOST_STEPS = 50_000
_AVERAGED = 0.04
"""The part of the steps, the last ones, over which weights are averaged, in the main: the mean is what is kept."""


@dataclass(frozen=True)
class Examples:
    """What a flow is fitted to. latents: of the data. rows: of `conditions.py`, one for each. before: the number of the
    latent before each, -1 where there is none. weights: how often each is drawn, in all 1; None: once an epoch."""

    latents: Gaussians
    rows: NDArray[np.float32]
    before: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.rows)


def fit(
    model: FlowModel,
    examples: Examples,
    epochs: int,
    seed: int,
    tell: Callable[[int, int, float], None] = lambda epoch, epochs, loss: None,
) -> tuple[float, int]:
    """Fit a flow; the loss of its last epoch, and how many epochs that was.

    Of very many examples fewer epochs are done, 50,000 steps at most. tell: called at each epoch's end; what it raises
    ends it all. Lipman et al., arXiv:2210.02747; times as Esser et al., arXiv:2403.03206, section 3.1. WorkError when
    the loss is no number.
    """
    batch = min(_BATCH, max(_LEAST_BATCH, -(-len(examples) // _LEAST_STEPS)))
    steps = -(-len(examples) // batch)
    epochs = max(1, min(epochs, _MOST_STEPS // steps))
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * steps)
    momentum = 1 - 1 / (1 + _AVERAGED * epochs * steps)
    optimizer = keras.optimizers.Adam(rate, use_ema=True, ema_momentum=momentum)
    model.compile(optimizer=optimizer, loss="mse", jit_compile=False)
    batches, loss = _Batches(model, examples), float("nan")
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(examples))
        if examples.weights is not None:
            order = rng.choice(len(examples), len(examples), p=examples.weights)
        model.reset_metrics()
        for start in range(0, len(order), batch):
            loss = float(model.train_on_batch(*batches.of(order[start : start + batch], rng)))
        if not np.isfinite(loss):
            raise WorkError(f"the prior's loss of epoch {epoch + 1} is no finite number")
        tell(epoch + 1, epochs, loss)
    optimizer.finalize_variable_values(model.trainable_variables)
    return loss, epochs


class _Batches:
    """Inputs and targets of a step, by the chance that it is given alone."""

    def __init__(self, model: FlowModel, examples: Examples) -> None:
        self.examples, self.settings = examples, model.settings
        self._mean, self._scale, self._level = np.array(model.mean), np.array(model.scale), np.array(model.level)
        self._classes = examples.rows[:, : len(self.settings.class_sizes)].astype(np.int32)

    def of(self, numbers: NDArray[np.int64], rng: np.random.Generator) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
        """The inputs of the network and the velocities that are wanted, of the examples of these numbers."""
        latent = self._points(numbers, rng)
        noise = rng.standard_normal(latent.shape, dtype=np.float32)
        time = 1 / (1 + np.exp(-rng.standard_normal((len(numbers), 1), dtype=np.float32)))
        inputs: dict[str, NDArray[Any]] = {"x": (1 - time) * noise + time * latent, "time": time}
        if self.settings.class_sizes:
            left_out = rng.random((len(numbers), 1 + self._classes.shape[1])) < UNKNOWN
            inputs["classes"] = np.where(left_out[:, :1] | left_out[:, 1:], 0, self._classes[numbers])
        if self.settings.context_size:
            known = rng.random(len(numbers)) >= UNKNOWN
            max_db, before = np.where(known, self.examples.rows[numbers, MAX_DB], np.nan), None
            if self.settings.with_before:
                those = self.examples.before[numbers]
                before = self._points(np.maximum(those, 0), rng)
                before[(those < 0) | (rng.random(len(those)) < UNKNOWN)] = np.nan
            inputs["context"] = context_of(self.settings, self._level, max_db, before)
        return inputs, latent - noise

    def _points(self, numbers: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
        """A latent from each one's posterior, centred and scaled."""
        means, log_variances = self.examples.latents.means, self.examples.latents.log_variances
        some = Gaussians(means[numbers], None if log_variances is None else log_variances[numbers])
        points: NDArray[np.float32] = (some.draw(rng) - self._mean) / self._scale
        return points

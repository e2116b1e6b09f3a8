"""A prior learned from a dataset: latents collected, a flow fitted, and how that goes in a line."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import numpy as np

from pipelines.console.durations import duration_text
from pipelines.console.live_line import LiveLine
from pipelines.dataset.folder import Dataset
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.prior_settings import FLOW, GAUSSIAN, LearnedPrior
from vae_model.prior.beginning import begin, label_values
from vae_model.prior.collecting import collect
from vae_model.prior.flow import FlowModel
from vae_model.prior.learning import fit
from vae_model.vae.autoencoder import Autoencoder

MIN_LATENTS = 64
"""Of fewer sounds a flow only learns to say them again: the Gaussian is taken."""


class Progress:
    """Shows how far a prior has come. asked: called at each step; what it raises ends the learning."""

    def __init__(self, quiet: bool = False, asked: Callable[[], None] = lambda: None) -> None:
        self.quiet = quiet
        self._asked = asked
        self._line = LiveLine()
        self._began: float | None = None

    def encoded(self, done: int, total: int) -> None:
        """So many latents are there."""
        self._asked()
        if not self.quiet and self._line.is_due(time.monotonic()):
            self._line.show(f"prior  latents {done:,}/{total:,}")

    def fitted(self, epoch: int, epochs: int, loss: float) -> None:
        """So many epochs are done."""
        self._asked()
        now = time.monotonic()
        if self._began is None:  # the first epoch compiles the network, and tells nothing of the others
            self._began = now
        elif not self.quiet and (epoch == epochs or self._line.is_due(now)):
            left = math.ceil((now - self._began) / (epoch - 1) * (epochs - epoch))
            self._line.show(f"prior  epoch {epoch}/{epochs}  loss {loss:.3f}  {duration_text(left)} left")

    def say(self, line: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self._line.clear()
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the live line; what follows starts on a new one."""
        self._line.end()


def learn(
    dataset: Dataset,
    split: str,
    autoencoder: Autoencoder,
    bundle: Bundle,
    *,
    epochs: int,
    width: int,
    seed: int,
    progress: Progress,
    start: FlowModel | None = None,
) -> tuple[LearnedPrior, FlowModel | None]:
    """The flow of a model's latents of a split, or the Gaussian where there are too few of them.

    start: a flow whose weights it begins at. On the CPU the same seed gives the same flow, bit by bit.
    """
    total = dataset.split(split).num_examples
    if (gaussian := gaussian_of_few(total, progress.say)) is not None:
        return gaussian, None
    started = time.monotonic()
    collected = collect(dataset, split, autoencoder, bundle.value_range, seed=seed, tell=progress.encoded)
    if len(collected) < total:
        progress.say(f"prior: learning from a sample of {len(collected):,} of {total:,} latents")
    for name in collected.labels.keys() - label_values(collected).keys():
        progress.say(f"prior: label {name} is left out: it must have 1 to 1,000 values")
    per_record = bundle.value_range.per_record
    weights = None
    if bundle.train.level_weight_db:
        loudest = collected.loudest_db.astype(np.float64)
        weights = bundle.train.weight_of(loudest.max() - loudest)
        weights /= weights.sum()
    flow, examples = begin(collected, width, with_levels=per_record, seed=seed, start=start, weights=weights)
    loss, done = fit(flow, examples, epochs, seed, progress.fitted)
    progress.close()
    figures = {"num_latents": len(collected), "num_examples": total, "epochs": done, "loss": round(loss, 6)}
    figures["seconds"] = round(time.monotonic() - started, 3)
    return LearnedPrior(FLOW, flow.settings, figures), flow


def gaussian_of_few(total: int, say: Callable[[str], None]) -> LearnedPrior | None:
    """What there is instead of a flow of so few sounds; None of enough of them. say: is told why."""
    if total >= MIN_LATENTS:
        return None
    say(
        f"prior: of {total:,} sounds, fewer than {MIN_LATENTS}, a flow would only learn to repeat them: new ones are "
        "drawn from the Gaussian that fits their latents"
    )
    return LearnedPrior(GAUSSIAN, figures={"num_latents": total})

"""Posterior health: whether a VAE's latents collapse or explode, what to change then, and a callback that says so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from vae_model.evaluation.metrics import Posterior, PosteriorSums
from vae_model.model_folder.config import ModelConfig

_AT_ONCE = 64
MIN_KL = 1.0
"""Under this many nats a latent tells fewer than three sounds apart, as the KL bounds what it tells: collapsed."""
MIN_ACTIVE_FRACTION = 0.05
"""With fewer than this part of its dimensions active a latent has nineteen of twenty to no purpose: collapsed."""
MAX_KL_PER_DIMENSION = 50.0
"""The KL of a mu ten deviations off the prior's mean, or of a variance of 106: exploding. About 5 is healthy."""
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

"""Whether a new model takes the place of the promoted one: decided by figures of both on the same held-out records."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from vae_model.rerun.config import Promote

_FALLBACK = "rmse_db"
_HEALTHY = "healthy"


@dataclass(frozen=True)
class Verdict:
    """promoted or not, and why."""

    promoted: bool
    reason: str


@dataclass(frozen=True)
class Figures:
    """What is known of a model: its evaluation, and the verdict of health.py on its latents with the advice.

    evaluation: the figures of comparing.py, and as `scale` what its loss is in units of.
    """

    name: str
    evaluation: dict[str, Any]
    health: str = _HEALTHY
    advice: str = ""

    @classmethod
    def of(cls, name: str, evaluation: dict[str, Any], metrics: dict[str, Any]) -> Figures:
        """From a model's entry in the state; an autoencoder has no latents to be unhealthy."""
        posterior = metrics.get("posterior", {})
        return cls(name, evaluation, posterior.get("verdict", _HEALTHY), posterior.get("advice", ""))


def judge(candidate: Figures, promoted: Figures | None, promote: Promote) -> Verdict:
    """The candidate is promoted unless it is worse than the promoted model beyond the tolerance, or unhealthy.

    Where nothing is promoted yet, it is promoted when it is healthy.
    """
    if candidate.health != _HEALTHY and (promoted is None or promoted.health == _HEALTHY):
        return Verdict(False, f"not promoted: {candidate.advice or f'its latents are {candidate.health}'}")
    metric = _metric(candidate, promoted, promote.metric)
    new = candidate.evaluation[metric]
    if not math.isfinite(new):
        return Verdict(False, f"not promoted: its {metric} is {new}")
    if promoted is None:
        return Verdict(True, f"promoted: the first model, {metric} {new:.4g}")
    old = promoted.evaluation[metric]
    allowed = old + promote.tolerance * abs(old)
    text = f"{metric} {new:.4g} to {old:.4g} of {promoted.name}, at most {allowed:.4g} is allowed"
    return Verdict(new <= allowed, f"{'promoted' if new <= allowed else 'not promoted'}: {text}")


def _metric(candidate: Figures, promoted: Figures | None, wanted: str) -> str:
    """The metric that both models have and that means the same for both."""
    both = [candidate.evaluation, *([promoted.evaluation] if promoted else [])]
    if any(evaluation.get(wanted) is None for evaluation in both):
        return _FALLBACK
    if wanted == "loss" and any(evaluation["scale"] != candidate.evaluation["scale"] for evaluation in both):
        return _FALLBACK
    return wanted

"""The directions in which a model's sounds differ most, and what changes along each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from vae_model.training_sounds import BRIGHTNESS, LENGTH, LEVEL, TrainingSound

_NAMES = {LEVEL: "level", BRIGHTNESS: "brightness", LENGTH: "length"}
_FEWEST = 12
_PLAIN = 0.3
"""Rank correlations below this are not told."""
_RIDGE = 1e-3
_NONE = 1e-6
"""A component that the latents explain so little of has no direction."""


class Directions:
    """For each principal component of the model's sounds the direction of latents in which it grows most.

    mean: (dim,), and factor: (dim, n), of the Gaussian of the training latents, with covariance factor factor^T. A VAE
    makes this covariance about the same in all directions, so that its own principal directions would be chance.
    steps: float32 (count, dim), each one standard deviation long. changes: of each the rank correlations with level,
    brightness and length over the sounds, largest first, as far as they are not small; a direction points to where the
    first of them grows.
    """

    def __init__(self, mean: NDArray[np.float32], factor: NDArray[np.float32], sounds: Sequence[TrainingSound]) -> None:
        self.mean = mean
        latents = np.stack([sound.latent for sound in sounds]).astype(np.float64)
        components = np.stack([sound.components for sound in sounds])[:, : len(mean)]
        slopes = _slopes(latents, components)
        spreads = np.linalg.norm(slopes @ factor, axis=1)
        some = spreads > _NONE * max(spreads.max(initial=0.0), np.finfo(float).tiny)
        slopes, spreads = slopes[some], spreads[some]
        self._along = slopes / spreads[:, None]
        steps = self._along @ factor @ factor.T
        found = [_changes(along, sounds) for along in self.amounts(latents).T]
        signs = np.array([_sign(step, changes) for step, changes in zip(steps, found, strict=True)])
        self._along *= signs[:, None]
        self.steps: NDArray[np.float32] = (steps * signs[:, None]).astype(np.float32)
        self.changes = [
            {name: sign * value for name, value in each.items()} for sign, each in zip(signs, found, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.steps)

    def step(self, amounts: Sequence[float]) -> NDArray[np.float32]:
        """What is added to a latent to go so many standard deviations along the first directions."""
        step: NDArray[np.float32] = np.asarray(amounts, np.float32) @ self.steps[: len(amounts)]
        return step

    def amounts(self, latents: NDArray[Any]) -> NDArray[np.float64]:
        """How many standard deviations from the mean latents (count, dim) are along each: (count, directions)."""
        amounts: NDArray[np.float64] = (latents - self.mean) @ self._along.T
        return amounts


def _slopes(latents: NDArray[np.float64], components: NDArray[np.float32]) -> NDArray[np.float64]:
    """(components, dim): how each component grows with the latents, by least squares with a little ridge."""
    centred = latents - latents.mean(axis=0)
    squares = centred.T @ centred
    ridge = _RIDGE * max(float(np.trace(squares)) / len(squares), np.finfo(float).tiny)
    slopes: NDArray[np.float64] = np.linalg.solve(
        squares + ridge * np.eye(len(squares)), centred.T @ (components - components.mean(axis=0))
    ).T
    return slopes


def _changes(along: NDArray[np.float64], sounds: Sequence[TrainingSound]) -> dict[str, float]:
    values = {
        name: rank_correlation(along, [sound.character.get(key, np.nan) for sound in sounds])
        for key, name in _NAMES.items()
    }
    plain = {name: value for name, value in values.items() if abs(value) >= _PLAIN}
    return dict(sorted(plain.items(), key=lambda item: -abs(item[1])))


def _sign(step: NDArray[np.float64], changes: dict[str, float]) -> float:
    """That what changes most grows; a component's own sign is chance, so else the largest entry is positive."""
    first = next(iter(changes.values()), step[np.abs(step).argmax()])
    return -1.0 if first < 0 else 1.0


def rank_correlation(a: Any, b: Any) -> float:
    """Spearman's, over the pairs that are both finite; 0 where there are few of them or one does not vary."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < _FEWEST or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(scipy.stats.rankdata(a), scipy.stats.rankdata(b))[0, 1])


def told_of(changes: dict[str, float]) -> str:
    """What the sounds have more (+) or less (−) of along a direction, after a colon; nothing where nothing is plain."""
    told = ", ".join(f"{name} {value:+.2f}".replace("-", "−") for name, value in changes.items())
    return f": {told}" if told else ""

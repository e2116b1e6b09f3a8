"""What a training comes to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Training:
    """What a run came to. epochs: complete ones. metrics: the losses of best_epoch. seconds: spent training."""

    folder: str
    epochs: int
    best_epoch: int
    metrics: dict[str, float]
    seconds: float

"""From noise to latents along the flow, and back: Heun's method, with guidance by what the conditions say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

STEPS = 25
Velocity = Callable[[dict[str, Any]], Any]
"""A FlowModel, or what does the same faster."""


def flow(
    velocity: Velocity, x: Any, given: dict[str, Any], guidance: float, begin: float = 0.0, end: float = 1.0
) -> Any:
    """Points (batch, dim) at time `begin` moved to time `end`: 0 is noise, 1 the data. `end` may lie before `begin`.

    given: the conditions as the network takes them. guidance G: the velocity is v + G (v - v without classes), v at 0:
    Ho and Salimans, arXiv:2207.12598. Each step is Heun's, of second order.
    """
    count = max(2, round(STEPS * abs(end - begin)))
    size = (end - begin) / count
    for number in range(count):
        x = step(velocity, x, begin + number * size, size, given, guidance)
    return x


def step(velocity: Velocity, x: Any, time: Any, size: float, given: dict[str, Any], guidance: float) -> Any:
    """Points at a time moved on by `size`."""
    first = _guided(velocity, x, time, given, guidance)
    second = _guided(velocity, x + size * first, time + size, given, guidance)
    return x + size / 2 * (first + second)


def _guided(velocity: Velocity, x: Any, time: Any, given: dict[str, Any], guidance: float) -> Any:
    times = ops.zeros_like(x[:, :1]) + time
    if not (guidance and "classes" in given):
        return velocity({"x": x, "time": times, **given})
    without = {**given, "classes": ops.zeros_like(given["classes"])}
    both = {name: ops.concatenate([given[name], without[name]]) for name in given}
    v = velocity({"x": ops.concatenate([x, x]), "time": ops.concatenate([times, times]), **both})
    known, unknown = ops.split(v, 2)
    return known + guidance * (known - unknown)

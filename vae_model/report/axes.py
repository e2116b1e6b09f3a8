"""Where ticks and lines go: numbers for the template, which owns the markup."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: `position` from 0 (left or bottom) to 1 (right or top), and its text."""

    position: float
    text: str


@dataclass(frozen=True)
class Line:
    """A curve in a plot of width x height units: SVG polyline `points`, and its last point."""

    name: str
    points: str
    last: tuple[float, float]


@dataclass(frozen=True)
class Plot:
    """A line chart laid out: ticks of both axes and the lines, in a box of `width` x `height` units."""

    width: float
    height: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]


@dataclass(frozen=True)
class Bar:
    """A bar's left and upper edge from the plot's upper left corner, its width and its height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class BarPlot:
    """A bar chart laid out, in a box of `width` x `height` units; ticks on the x axis are numbers of bars from 1."""

    width: float
    height: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    bars: list[Bar]


def nice_steps(low: float, high: float, at_most: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) within [low, high], at most `at_most` + 1 of them."""
    if not high > low:
        return [low]
    rough = (high - low) / at_most
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def number(value: float, step: float = math.inf) -> str:
    """A number for people: four significant digits, thousands apart, no trailing zeros, a true minus sign.

    step: to its neighbours on an axis, from which it then differs: as many digits more.
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if abs(value) < 1e-4:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "−")
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    if 0 < step < math.inf:
        digits = max(digits, -math.floor(math.log10(step) + 1e-9))
    text = f"{value:,.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def frequency_ticks(n_bins: int, sample_rate: int, at_most: int = 4) -> list[Tick]:
    """Ticks in Hz or kHz, with `at_most` steps, for a picture whose n_bins rows reach up to the Nyquist frequency."""
    nyquist = sample_rate / 2
    kilo = nyquist >= 2000
    return [
        # Bin b is a row whose centre lies half a row above its lower edge.
        Tick(
            min((hz / nyquist * n_bins + 0.5) / n_bins, 1.0),
            f"{number(hz / 1000)} kHz" if kilo and hz else f"{number(hz)} Hz",
        )
        for hz in nice_steps(0, nyquist, at_most)
    ]


def time_ticks(n_frames: int, hop_length: int, sample_rate: int) -> list[Tick]:
    """Ticks in seconds for a picture whose n_frames columns are centred hop_length samples apart."""
    seconds = (n_frames - 0.5) * hop_length / sample_rate
    steps = nice_steps(0, seconds, at_most=3)
    return [Tick((second * sample_rate / hop_length + 0.5) / n_frames, f"{number(second)} s") for second in steps]


def plot(curves: Sequence[tuple[str, Sequence[float]]], log_scale: bool, width: float, height: float) -> Plot:
    """Lay out (name, one value an epoch) curves; values that a scale cannot show (NaN, 0 on a log one) are left out."""
    seen = {name: _visible(values, log_scale) for name, values in curves}
    xs = [x for points in seen.values() for x, _ in points] or [1]
    ys = [y for points in seen.values() for _, y in points] or [0.0]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    y_low, y_high, y_steps = _log_axis(ys) if log_scale else _linear_axis(ys)

    def across(x: float) -> float:
        return (x - x_low) / (x_high - x_low)

    def up(y: float) -> float:
        return (y - y_low) / (y_high - y_low)

    lines = []
    for name, points in seen.items():
        placed = [(round(across(x) * width, 1), round((1 - up(y)) * height, 1)) for x, y in points]
        if placed:
            lines.append(Line(name, " ".join(f"{x},{y}" for x, y in placed), placed[-1]))
    x_ticks = [Tick(across(x), number(x)) for x in nice_steps(x_low, x_high) if float(x).is_integer()]
    values = [10**y if log_scale else y for y in y_steps]
    step = min((after - before for before, after in itertools.pairwise(values)), default=math.inf)
    y_ticks = [Tick(up(y), number(value, step)) for y, value in zip(y_steps, values, strict=True)]
    return Plot(width, height, x_ticks, y_ticks, lines)


def bars(values: Sequence[float], width: float, height: float) -> BarPlot:
    """Lay out one bar a value, in the order given, from 0 up."""
    _, high, steps = _linear_axis([value for value in values if math.isfinite(value)] or [0.0])
    step = width / max(len(values), 1)
    placed = []
    for index, value in enumerate(values):
        tall = height * min(max(value / high, 0.0), 1.0) if math.isfinite(value) else 0.0
        placed.append(Bar(round(index * step, 2), round(height - tall, 2), round(step * 0.8, 2), round(tall, 2)))
    counts = [count for count in nice_steps(0, len(values)) if count >= 1 and float(count).is_integer()]
    x_ticks = [Tick((count - 0.6) / len(values), number(count)) for count in counts]
    y_ticks = [Tick(y / high, number(y)) for y in steps if y >= 0]
    return BarPlot(width, height, x_ticks, y_ticks, placed)


def _visible(values: Sequence[float], log_scale: bool) -> list[tuple[int, float]]:
    """(epoch from 1, value or its logarithm) of each value that has a place on the axis."""
    if log_scale:
        return [(epoch, math.log10(y)) for epoch, y in enumerate(values, start=1) if math.isfinite(y) and y > 0]
    return [(epoch, y) for epoch, y in enumerate(values, start=1) if math.isfinite(y)]


def _linear_axis(ys: list[float]) -> tuple[float, float, list[float]]:
    low, high = min(0.0, *ys), max(0.0, *ys)
    if high == low:
        high = low + 1
    return low, high, nice_steps(low, high, at_most=4)


def _log_axis(ys: list[float]) -> tuple[float, float, list[float]]:
    """Limits and ticks as exponents of ten: at 1, 2 and 5 over up to two decades, at the decades beyond.

    Where fewer than three of those are within the limits, at round values as of a linear axis.
    """
    low, high = min(ys), max(ys)
    margin = 0.05 * max(high - low, 0.1)
    low, high = low - margin, high + margin
    factors = (1, 2, 5) if high - low <= 2 else (1,)
    decades = range(math.floor(low), math.floor(high) + 1)
    steps = [decade + math.log10(factor) for decade in decades for factor in factors]
    inside = [step for step in steps if low <= step <= high]
    if len(inside) < 3:
        inside = [math.log10(value) for value in nice_steps(10**low, 10**high, at_most=4) if value > 0]
    return low, high, inside

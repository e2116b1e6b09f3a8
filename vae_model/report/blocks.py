"""What a section of a page may hold, as plain data; each kind has its template in `report/blocks/`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vae_model.report import axes
from vae_model.report.sound import Sound


@dataclass(frozen=True)
class Comparison:
    """Sounds that belong side by side, such as an original and its reconstruction; `note` is a few words on them."""

    title: str
    sounds: Sequence[Sound]
    note: str = ""


@dataclass(frozen=True)
class Comparisons:
    """Comparisons below or beside each other, as many as fit."""

    template: ClassVar[str] = "comparisons.html"
    comparisons: Sequence[Comparison]

    @property
    def sounds(self) -> list[Sound]:
        """All sounds of it."""
        return [sound for comparison in self.comparisons for sound in comparison.sounds]

    @property
    def columns(self) -> int:
        """Sounds in its widest comparison, up to four: more go into a second row."""
        return min(max((len(comparison.sounds) for comparison in self.comparisons), default=1), 4)


@dataclass(frozen=True)
class Curve:
    """One value an epoch, NaN where there is none."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class Chart:
    """Curves over the epochs in one plot; `caption` says what they show. The first curve is solid, the next dashed."""

    title: str
    caption: str
    curves: Sequence[Curve]
    log_scale: bool = False

    @property
    def plot(self) -> axes.Plot:
        """The curves laid out."""
        return axes.plot([(curve.name, curve.values) for curve in self.curves], self.log_scale, width=290, height=150)

    @property
    def alt(self) -> str:
        """The plot in words."""
        told = []
        for curve in self.curves:
            finite = [value for value in curve.values if np.isfinite(value)]
            if finite:
                told.append(f"{curve.name} from {axes.number(finite[0])} to {axes.number(finite[-1])}")
        epochs = max((len(curve.values) for curve in self.curves), default=0)
        return f"{self.title} over {epochs} epochs: {'; '.join(told)}."


@dataclass(frozen=True)
class Charts:
    """Charts side by side, at least one. Their curves are named once, so they must come in one order in all."""

    template: ClassVar[str] = "charts.html"
    charts: Sequence[Chart]


@dataclass(frozen=True)
class Bars:
    """A chart with one bar a value, in the order given. caption: what the bars are."""

    template: ClassVar[str] = "bars.html"
    caption: str
    values: Sequence[float]

    @property
    def plot(self) -> axes.BarPlot:
        """The bars laid out."""
        return axes.bars(self.values, width=640, height=150)

    @property
    def alt(self) -> str:
        """The chart in words."""
        low, high = axes.number(min(self.values)), axes.number(max(self.values))
        return f"{len(self.values)} bars from {low} to {high}."


@dataclass(frozen=True)
class Figure:
    """A number of the model's, as text, and one line on what it says."""

    name: str
    value: str
    explanation: str


@dataclass(frozen=True)
class Figures:
    """A table of numbers."""

    template: ClassVar[str] = "figures.html"
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Fact:
    """A setting or circumstance."""

    name: str
    value: str


@dataclass(frozen=True)
class Facts:
    """A list of settings and circumstances."""

    template: ClassVar[str] = "facts.html"
    facts: Sequence[Fact]


@dataclass(frozen=True)
class Rows:
    """A table of text: its column names, and a row of as many cells each."""

    template: ClassVar[str] = "rows.html"
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

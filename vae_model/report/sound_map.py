"""Sounds as points in a plane, coloured by a label, each heard and seen at a click."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vae_model.report.sound import Sound

COLOURS = 10
"""As many classes of a label are told apart, the most frequent; the rest, and no label, is one more, grey."""
_WIDTH, _HEIGHT, _MARGIN = 640, 440, 16


@dataclass(frozen=True)
class Point:
    """A sound on the map. labels: the same names for all points of a map, at least one."""

    title: str
    labels: Mapping[str, str]
    sound: Sound


@dataclass(frozen=True)
class Layout:
    """Where the points are. positions: (n_points, 2), of any scale. caption: what being close means."""

    name: str
    caption: str
    positions: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Legend:
    """The numbers and names of a label's classes, and the number of each point's; COLOURS is all others."""

    label: str
    classes: Mapping[int, str]
    class_of_point: Sequence[int]


@dataclass(frozen=True)
class SoundMap:
    """Points in one or more layouts. All sounds are of one shape, so that one pair of axes fits."""

    template: ClassVar[str] = "sound_map.html"
    title: str
    layouts: Sequence[Layout]
    points: Sequence[Point]

    width: ClassVar[int] = _WIDTH
    height: ClassVar[int] = _HEIGHT

    @property
    def sounds(self) -> list[Sound]:
        """All sounds of it."""
        return [point.sound for point in self.points]

    @property
    def legends(self) -> list[Legend]:
        """One for each label."""
        return [legend(name, [point.labels[name] for point in self.points]) for name in self.points[0].labels]

    @property
    def placed(self) -> list[list[tuple[float, float]]]:
        """For each layout (x, y) of every point in the plot, from its upper left corner."""
        return [_placed(layout.positions) for layout in self.layouts]


def legend(name: str, values: Sequence[str]) -> Legend:
    """The colours of a label's values: numbers in their order, else words in theirs; the rarest share the last."""
    counts = Counter(value for value in values if value)
    kept = sorted((value for value, _ in counts.most_common(COLOURS)), key=_order)
    index = {value: number for number, value in enumerate(kept)}
    class_of_point = [index.get(value, COLOURS) for value in values]
    others = {COLOURS: "other"} if COLOURS in class_of_point else {}
    return Legend(name, dict(enumerate(kept)) | others, class_of_point)


def _order(value: str) -> tuple[bool, float, str]:
    return (False, float(value), value) if value.isdecimal() else (True, 0.0, value)


def _placed(positions: NDArray[np.floating[Any]]) -> list[tuple[float, float]]:
    """Positions scaled to fill the plot, upwards."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    scaled = (positions - low) / np.where(high > low, high - low, 1)
    x = _MARGIN + scaled[:, 0] * (_WIDTH - 2 * _MARGIN)
    y = _MARGIN + (1 - scaled[:, 1]) * (_HEIGHT - 2 * _MARGIN)
    return [(round(float(a), 1), round(float(b), 1)) for a, b in zip(x, y, strict=True)]

"""Under what conditions a sound is drawn: labels, clusters, levels, latents before, and how often the data have them.

A row is what is kept of a training sound: its labels (numbers of their values, from 1; 0: unknown) and then
cluster, whether a latent comes before it, that one's cluster, min_db, max_db, the max_db of the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_model.model_folder.prior_settings import PriorSettings

CLUSTER, HAS_BEFORE, CLUSTER_BEFORE, MIN_DB, MAX_DB, MAX_DB_BEFORE = range(-6, 0)
_ALIKE = 16
"""So many rows whose level before is nearest are candidates for the next one."""


@dataclass(frozen=True)
class Conditions:
    """Of each of several sounds. classes: int32 (count, classes), 0 for what is unknown. levels: (count, 2), the min_db
    and max_db that 0 and 1 stand for, NaN for unknown ones. before: (count, dim) centred and scaled, or None."""

    classes: NDArray[np.int32]
    levels: NDArray[np.float32]
    before: NDArray[np.float32] | None = None


class Rows:
    """The rows of a learned prior, to draw conditions from."""

    def __init__(self, settings: PriorSettings, rows: NDArray[np.float32]) -> None:
        self.settings = settings
        self._rows = rows
        self._names = list(settings.labels)

    def numbers(self, labels: Mapping[str, str]) -> dict[int, int]:
        """The column and the number of each wanted value. SettingError for one that is not known."""
        self.settings.check_labels(labels)
        return {self._names.index(name): 1 + self.settings.labels[name].index(value) for name, value in labels.items()}

    def draw(self, labels: Mapping[str, str], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Rows (count, columns): what is not named is drawn as often as the data have it, given what is.

        Of a combination that the data have not, those that have most of it are drawn from.
        """
        wanted = self.numbers(labels)
        hits = np.zeros(len(self._rows), int)
        for column, number in wanted.items():
            hits += self._rows[:, column] == number
        fitting = np.flatnonzero(hits == hits.max())
        drawn = self._rows[rng.choice(fitting, count)]
        for column, number in wanted.items():
            drawn[:, column] = number
        return drawn

    def known(self, labels: Mapping[str, str], levels: tuple[float, float], cluster: int) -> NDArray[np.float32]:
        """The row (columns,) of a sound of which so much is known; what is not named stays unknown."""
        row = np.zeros(self._rows.shape[1], np.float32)
        for column, number in self.numbers(labels).items():
            row[column] = number
        row[CLUSTER], row[MIN_DB], row[MAX_DB] = cluster, *levels
        return row

    def follow(self, rows: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """What follows each of some rows: of the same labels, and of a cluster and a level that follow theirs."""
        labels = len(self._names)
        following = self._rows[self._rows[:, HAS_BEFORE] > 0]
        drawn = []
        for row in rows:
            alike = (following[:, :labels] == row[:labels]).sum(axis=1) + (following[:, CLUSTER_BEFORE] == row[CLUSTER])
            candidates = following[alike == alike.max()]
            nearest = np.argsort(np.abs(candidates[:, MAX_DB_BEFORE] - row[MAX_DB]), kind="stable")[:_ALIKE]
            found = candidates[rng.choice(nearest)].copy()
            found[:labels] = row[:labels]
            drawn.append(found)
        return np.stack(drawn)

    def conditions(self, rows: NDArray[np.float32], before: NDArray[np.float32] | None = None) -> Conditions:
        """The conditions that rows stand for."""
        labels = len(self._names)
        columns = rows[:, : labels + (self.settings.num_clusters > 0)]  # the cluster comes right after the labels
        return Conditions(columns.astype(np.int32), rows[:, [MIN_DB, MAX_DB]], before)

    def labels_of(self, row: NDArray[np.float32]) -> dict[str, str]:
        """The labels of a row by name, those that are known."""
        numbers = row[: len(self._names)].astype(int)
        pairs = zip(self.settings.labels.items(), numbers, strict=True)
        return {name: values[number - 1] for (name, values), number in pairs if number}


def context_of(
    settings: PriorSettings,
    level: NDArray[np.float32],
    max_db: NDArray[np.float32],
    before: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """The conditions that are numbers as the network takes them, (count, context_size).

    level: mean and scale of levels. max_db: (count,). before: (count, dim) of points; None: nowhere. What is NaN is not
    known: it becomes 0, and so does the number behind it, which is 1 else.
    """
    parts: list[NDArray[Any]] = []
    if settings.with_levels:
        parts += [np.nan_to_num((max_db - level[0]) / level[1])[:, None], np.isfinite(max_db)[:, None]]
    if settings.with_before:
        if before is None:
            before = np.full((len(max_db), settings.latent_space_dim), np.nan, np.float32)
        known = np.asarray(np.isfinite(before).all(axis=1, keepdims=True))
        parts += [np.where(known, before, 0), known]
    return np.concatenate(parts, axis=1).astype(np.float32)

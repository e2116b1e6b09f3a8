"""The learned prior as it is asked for new latents: by label, one after the other, or as variations of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.value_range import ValueRange
from vae_model.prior.conditions import MAX_DB, MIN_DB, Conditions, Rows, context_of
from vae_model.prior.flow import FlowModel
from vae_model.prior.prior_file import load_flow
from vae_model.prior.sampling import flow

GUIDANCE = 1.0
"""What measured best, docs/results.md."""
_AT_ONCE = 1024
_TOWARDS_NOISE = 0.5
"""The time to which `back` leads: docs/latents.md."""


@dataclass(frozen=True)
class Drawn:
    """Latents float32 (count, dim), and of each its labels, as far as they are known, and min_db and max_db in dB."""

    latents: NDArray[np.float32]
    labels: list[dict[str, str]]
    levels: NDArray[np.float32]

    def ranges(self, typical: ValueRange) -> list[ValueRange]:
        """What 0 and 1 stand for in each sound of a model of a value range."""
        return [typical.of_levels(low, high) for low, high in self.levels.tolist()]


class Prior:
    """Draws latents by a FlowModel.

    guidance: how much more than the data the sounds are what their labels say; 0: as the data. temperature: of the
    noise; below 1 sounds are more alike. The same seed gives the same latents.
    """

    def __init__(self, model: FlowModel, guidance: float = GUIDANCE, temperature: float = 1.0) -> None:
        self.model = model
        self.settings = model.settings
        self.guidance, self.temperature = guidance, temperature
        self.rows = Rows(model.settings, np.array(model.rows))
        model.jit_compile = False  # which takes seconds, and gains nothing here
        self._mean, self._scale = np.array(model.mean), np.array(model.scale)

    def draw(self, count: int, seed: int, labels: Mapping[str, str] | None = None) -> Drawn:
        """New latents with these labels; what is not named is drawn as often as the data have it.

        SettingError for a label or value that the prior has not seen.
        """
        return self.sequences(count, 1, seed, labels)[0]

    def sequences(self, count: int, length: int, seed: int, labels: Mapping[str, str] | None = None) -> list[Drawn]:
        """`count` sounds of `length` segments that follow one another: of each segment all sounds."""
        rng, of_noise = (np.random.default_rng([seed, part]) for part in (0, 1))
        rows = self.rows.draw(labels or {}, count, rng)
        points = self._flow(self._noise(count, of_noise), self.rows.conditions(rows))
        drawn = [self._drawn(points, rows)]
        for _ in range(length - 1):
            rows, points = self._next(rows, points, rng, of_noise)
            drawn.append(self._drawn(points, rows))
        return drawn

    def follow(
        self,
        latent: NDArray[np.float32],
        levels: tuple[float, float],
        length: int,
        count: int,
        seed: int,
        labels: Mapping[str, str] | None = None,
    ) -> list[Drawn]:
        """`count` ways on, of `length` segments each, from a latent (dim,) of levels min_db and max_db: as `sequences`.

        Labels that are not named stay unknown.
        """
        rng, of_noise = (np.random.default_rng([seed, part]) for part in (0, 1))
        points = np.tile((latent - self._mean) / self._scale, (count, 1))
        row = self.rows.known(labels or {}, levels, self._cluster(points[0]))
        rows, drawn = np.tile(row, (count, 1)), []
        for _ in range(length):
            rows, points = self._next(rows, points, rng, of_noise)
            drawn.append(self._drawn(points, rows))
        return drawn

    def vary(
        self,
        latent: NDArray[np.float32],
        levels: tuple[float, float],
        amount: float,
        count: int,
        seed: int,
        labels: Mapping[str, str] | None = None,
    ) -> Drawn:
        """Latents like one (dim,): brought so far to noise, 0 to 1, and back by the flow. 1 leaves nothing of it.

        Meng et al., arXiv:2108.01073. Labels that are not named stay unknown; levels are what they were.
        """
        noise = self._noise(count, np.random.default_rng([seed, 1]))
        point = (latent[None] - self._mean) / self._scale
        begun = (1 - amount) * point + amount * noise
        rows = np.tile(self.rows.known(labels or {}, levels, self._cluster(point)), (count, 1))
        conditions = dataclasses.replace(self.rows.conditions(rows), levels=np.full((count, 2), np.nan, np.float32))
        return self._drawn(self._flow(begun, conditions, begin=1 - amount), rows)

    def back(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Latents (count, dim) led half of the way to the noise that the flow makes them of; `forth` leads back."""
        points = (latents - self._mean) / self._scale
        return self._flow(points, self._unknown(len(points)), begin=1.0, end=_TOWARDS_NOISE)

    def forth(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """The latents (count, dim) of points that lie where `back` leads, or between such."""
        moved = self._flow(points, self._unknown(len(points)), begin=_TOWARDS_NOISE)
        return (moved * self._scale + self._mean).astype(np.float32)

    def _unknown(self, count: int) -> Conditions:
        row = self.rows.known({}, (np.nan, np.nan), cluster=0)
        return self.rows.conditions(np.tile(row, (count, 1)))

    def _next(self, rows: NDArray[Any], points: NDArray[Any], rng: Any, of_noise: Any) -> tuple[Any, Any]:
        following = self.rows.follow(rows, rng)
        conditions = self.rows.conditions(following, points)
        return following, self._flow(self._noise(len(points), of_noise), conditions)

    def _noise(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        noise = rng.standard_normal((count, self.settings.latent_space_dim)).astype(np.float32)
        return np.float32(self.temperature) * noise

    def _flow(
        self, points: NDArray[Any], conditions: Conditions, begin: float = 0.0, end: float = 1.0
    ) -> NDArray[np.float32]:
        given: dict[str, NDArray[Any]] = {}
        if self.settings.class_sizes:
            given["classes"] = conditions.classes
        if self.settings.context_size:
            levels = conditions.levels[:, 1]
            given["context"] = context_of(self.settings, np.array(self.model.level), levels, conditions.before)
        moved = []
        for start in range(0, len(points), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            some = {name: values[part] for name, values in given.items()}
            x = np.asarray(points[part], np.float32)
            moved.append(np.array(flow(self.model.predict_on_batch, x, some, self.guidance, begin, end)))
        return np.concatenate(moved)

    def _cluster(self, point: NDArray[np.float32]) -> int:
        """The number, from 1, of the cluster that a point belongs to; 0 where there are none."""
        if self.model.centroids is None:
            return 0
        return 1 + int(np.square(np.array(self.model.centroids) - point).sum(axis=1).argmin())

    def _drawn(self, points: NDArray[np.float32], rows: NDArray[np.float32]) -> Drawn:
        latents = (points * self._scale + self._mean).astype(np.float32)
        return Drawn(latents, [self.rows.labels_of(row) for row in rows], rows[:, [MIN_DB, MAX_DB]])


def load_prior(folder: str, bundle: Bundle) -> Prior | None:
    """The learned prior of the MODEL folder at a path or URI; None when it has none. Errors as of `load_flow`."""
    flow_model = load_flow(folder, bundle)
    return None if flow_model is None else Prior(flow_model)

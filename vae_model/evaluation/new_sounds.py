"""New sounds measured beside real ones and reconstructions: like them, as varied, recognised, and no copies."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_model.evaluation.batches import chunks, spread
from vae_model.evaluation.crowds import nearest, precision_and_recall
from vae_model.evaluation.frechet import LogMelStatistics, frechet_distance
from vae_model.evaluation.metrics import Batch, Moments
from vae_model.evaluation.recognising import Recogniser, pooled
from vae_model.model_folder.value_range import ValueRange
from vae_model.prior.prior import Drawn, Prior
from vae_model.vae.autoencoder import Autoencoder

MAX_SOUNDS = 2048
"""New sounds are as many as the split has, at most so many."""
_FEWEST = 8
COPYING = 0.7
"""New sounds that are nearer to training sounds than this part of what real ones are, are said to be copies."""


@dataclass
class _Crowd:
    """Sounds of one origin, added batch by batch."""

    moments: Moments
    features: list[NDArray[np.float32]] = dataclasses.field(default_factory=list)
    distances: list[NDArray[np.float64]] = dataclasses.field(default_factory=list)

    @property
    def pooled(self) -> NDArray[np.float32]:
        """(count, features)."""
        return np.concatenate(self.features)


class NewSounds:
    """Measures what a prior draws, given the split's records and their reconstructions batch by batch.

    training: real sounds that a classifier learns from, and that nothing may be a copy of. num_examples: of the split.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        value_range: ValueRange,
        statistics: LogMelStatistics,
        training: Batch,
        num_examples: int,
    ) -> None:
        self.autoencoder, self.value_range, self.training = autoencoder, value_range, training
        self._statistics = statistics
        self.count = min(num_examples, MAX_SOUNDS)
        self._wanted = spread(num_examples, self.count)
        self._seen = 0
        self._crowds = {name: _Crowd(Moments(statistics.dim)) for name in ("real", "reconstruction")}
        self._labels: dict[str, list[NDArray[np.str_]]] = {}

    def add(self, batch: Batch, reconstruction: NDArray[np.float32]) -> None:
        """A batch of the split and what the model makes of it."""
        rows = [row for row in range(len(batch)) if self._seen + row in self._wanted]
        self._seen += len(batch)
        if not rows:
            return
        some = batch[rows]
        self._add(self._crowds["real"], some.values, some.in_db(some.values))
        self._add(self._crowds["reconstruction"], reconstruction[rows], some.in_db(reconstruction[rows]))
        for name, values in some.labels.items():
            self._labels.setdefault(name, []).append(values)

    def result(self, prior: Prior | None, seed: int) -> dict[str, Any] | None:
        """The figures of docs/metrics.md as JSON values; None of fewer than 8 sounds."""
        if self.count < _FEWEST or len(self.training) < _FEWEST:
            return None
        wanted = {name: np.concatenate(values) for name, values in self._labels.items()}
        asked: dict[str, dict[str, NDArray[np.str_]]] = {"real": wanted, "reconstruction": wanted}
        if prior is not None:
            drawn = prior.draw(self.count, seed)
            asked["learned"] = self._draw("learned", drawn)
        typical = np.tile(np.array([[self.value_range.min_db, self.value_range.max_db]], np.float32), (self.count, 1))
        gaussian = Drawn(self.autoencoder.sample_latents(self.count, seed), [{}] * self.count, typical)
        asked["gaussian"] = self._draw("gaussian", gaussian)
        figures = {name: self._figures(crowd) for name, crowd in self._crowds.items()}
        for name, recogniser in self._recognisers().items():
            for crowd, values in asked.items():
                found = recogniser.of_sounds(self._crowds[crowd].pooled, values.get(name))
                figures[crowd]["labels"][name] = dataclasses.asdict(found)
        made = "learned" if prior is not None else "gaussian"
        ratio = figures[made]["nearest_mse"] / max(figures["reconstruction"]["nearest_mse"], 1e-12)
        return {"num": self.count, "made": made, "nearest_ratio": ratio, "copies": ratio < COPYING, **figures}

    def _draw(self, name: str, drawn: Drawn) -> dict[str, NDArray[np.str_]]:
        """Decode latents into a crowd of a name; what they were to be."""
        crowd = self._crowds[name] = _Crowd(Moments(self._statistics.dim))
        ranges = drawn.ranges(self.value_range)
        for rows in chunks(range(len(drawn.latents))):
            values = self.autoencoder.decode(drawn.latents[rows])
            in_db = np.stack([own.to_db(each) for each, own in zip(values, (ranges[row] for row in rows), strict=True)])
            self._add(crowd, values, in_db)
        names = drawn.labels[0]
        return {name: np.array([labels.get(name, "") for labels in drawn.labels]) for name in names}

    def _add(self, crowd: _Crowd, values: NDArray[np.float32], in_db: NDArray[np.float32]) -> None:
        crowd.moments.add(self._statistics.of(in_db))
        crowd.features.append(pooled(values))
        crowd.distances.append(nearest(values, self.training.values))

    def _figures(self, crowd: _Crowd) -> dict[str, Any]:
        real = pooled(self.training.values)[sorted(spread(len(self.training), self.count))]
        precision, recall = precision_and_recall(real, crowd.pooled)
        return {
            "frechet": frechet_distance(crowd.moments, self._crowds["real"].moments),
            "precision": precision,
            "recall": recall,
            "nearest_mse": float(np.concatenate(crowd.distances).mean()),
            "labels": {},
        }

    def _recognisers(self) -> dict[str, Recogniser]:
        features = pooled(self.training.values)
        found = {name: Recogniser.of(features, values) for name, values in self.training.labels.items()}
        return {name: recogniser for name, recogniser in found.items() if recogniser is not None}

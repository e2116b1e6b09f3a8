"""How far reconstructions are from originals, and what a VAE's latents tell: sums over batches, in constant memory.

Formulas, sources and what each figure says: docs/metrics.md. Needs numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_model.model_folder.value_range import ValueRange

FLOOR_EPSILON_DB = 0.01
"""A cell counts as above its record's floor when it is by more than this, which float32 at 100 dB resolves easily."""
ACTIVE_VARIANCE = 0.01
"""A latent dimension is active when the variance of its mu over examples is above this: arXiv:1509.00519, section 5."""


@dataclass(frozen=True)
class Batch:
    """Spectrograms in a model's units, and what they are in decibels.

    values: float32 (count, n_bins, n_frames, n_channels). value_range: what 0 and 1 stand for in all of them, or in
    each (`ValueRange.of_each`). floor_db: (count,), the lowest value of each record. labels: by name, (count,) of str.
    """

    values: NDArray[np.float32]
    value_range: ValueRange
    floor_db: NDArray[np.float64]
    labels: dict[str, NDArray[np.str_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: list[int]) -> Batch:
        """Some of them."""
        labels = {name: values[rows] for name, values in self.labels.items()}
        return Batch(self.values[rows], self.value_range.rows(rows), self.floor_db[rows], labels)

    def in_db(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Other values of these records, such as their reconstructions, in dB."""
        decibels: NDArray[np.float32] = self.value_range.to_db(values)
        return decibels


@dataclass(frozen=True)
class Errors:
    """Errors over all cells of num_examples spectrograms.

    mse: mean squared error in the model's units. rmse_db: root mean square in dB. rmse_above_floor_db: the same over
    the cells whose original is above its record's floor, None where there is none. log_spectral_distance_db: per frame
    the root mean square over bins in dB, then the mean over frames.
    """

    num_examples: int
    mse: float
    rmse_db: float
    rmse_above_floor_db: float | None
    log_spectral_distance_db: float


class ErrorSums:
    """Adds up the errors of one predictor, batch by batch."""

    def __init__(self) -> None:
        self._examples = self._cells = self._above = self._frames = 0
        self._square = self._square_db = self._square_above = self._distance = 0.0

    def add(self, batch: Batch, predicted: NDArray[np.float32]) -> None:
        """predicted: (count, n_bins, n_frames, n_channels) in the model's units, what stands for batch.values."""
        difference = batch.values - predicted
        self._examples += len(batch)
        self._cells += difference.size
        self._square += float(np.square(difference).sum(dtype=np.float64))
        square_db = np.square(difference * batch.value_range.unit_db)
        self._square_db += float(square_db.sum(dtype=np.float64))
        above = batch.in_db(batch.values) > (batch.floor_db + FLOOR_EPSILON_DB)[:, None, None, None]
        self._above += int(above.sum())
        self._square_above += float(square_db[above].sum(dtype=np.float64))
        distance = np.sqrt(square_db.mean(axis=1, dtype=np.float64))  # (count, n_frames, n_channels)
        self._frames += distance.size
        self._distance += float(distance.sum())

    def result(self) -> Errors:
        """The errors of what was added; ValueError if nothing was."""
        if not self._examples:
            raise ValueError("errors must be over at least one spectrogram, there are 0")
        return Errors(
            num_examples=self._examples,
            mse=self._square / self._cells,
            rmse_db=float(np.sqrt(self._square_db / self._cells)),
            rmse_above_floor_db=float(np.sqrt(self._square_above / self._above)) if self._above else None,
            log_spectral_distance_db=self._distance / self._frames,
        )


def kl_per_dimension(mu: NDArray[Any], log_variance: NDArray[Any]) -> NDArray[np.float64]:
    """KL of N(mu, exp(log_variance)) from N(0, 1) in nats, float64 (count, dim): arXiv:1312.6114, appendix B."""
    mu, log_variance = mu.astype(np.float64), log_variance.astype(np.float64)
    with np.errstate(over="ignore"):  # a variance beyond float64 is infinite, and so is its KL
        kl: NDArray[np.float64] = 0.5 * (np.square(mu) + np.exp(log_variance) - 1.0 - log_variance)
    return kl


@dataclass(frozen=True)
class Posterior:
    """A VAE's latents over num_examples spectrograms.

    kl_per_dimension: mean KL of each latent dimension in nats, in the model's order. variance_of_mu: of each dimension,
    over the examples.
    """

    num_examples: int
    kl_per_dimension: tuple[float, ...]
    variance_of_mu: tuple[float, ...]

    @property
    def kl(self) -> float:
        """The KL of all dimensions together in nats: no less than what a latent tells of its sound."""
        return float(sum(self.kl_per_dimension))

    @property
    def active_units(self) -> int:
        """Dimensions whose mu differs from sound to sound."""
        return sum(variance > ACTIVE_VARIANCE for variance in self.variance_of_mu)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "num_examples": self.num_examples,
            "kl": self.kl,
            "active_units": self.active_units,
            "latent_space_dim": len(self.kl_per_dimension),
            "kl_per_dimension": list(self.kl_per_dimension),
        }


class PosteriorSums:
    """Adds up the posterior, batch by batch."""

    def __init__(self, dim: int) -> None:
        self._moments = Moments(dim, full=False)
        self._kl = np.zeros(dim)

    def add(self, mu: NDArray[Any], log_variance: NDArray[Any]) -> None:
        """mu, log_variance: (count, dim)."""
        self._moments.add(mu)
        self._kl += kl_per_dimension(mu, log_variance).sum(axis=0)

    def result(self) -> Posterior:
        """The posterior of what was added; ValueError if nothing was."""
        count = self._moments.count
        if not count:
            raise ValueError("a posterior must be of at least one spectrogram, there are 0")
        variance = self._moments.covariance
        return Posterior(count, tuple((self._kl / count).tolist()), tuple(variance.tolist()))


class Moments:
    """Mean and covariance of vectors that come in batches, in float64.

    full=False keeps variances instead of the whole covariance. Batches are merged by their means and sums of squared
    deviations (Chan, Golub and LeVeque, doi:10.1080/00031305.1983.10483115), so that nothing cancels.
    """

    def __init__(self, dim: int, full: bool = True) -> None:
        self.count = 0
        self.mean = np.zeros(dim)
        self._full = full
        self._scatter = np.zeros((dim, dim) if full else dim)

    def add(self, vectors: NDArray[Any]) -> None:
        """vectors: (count, dim)."""
        if not len(vectors):
            return
        values = vectors.astype(np.float64)
        mean, total = values.mean(axis=0), self.count + len(values)
        centred, shift = values - mean, mean - self.mean
        weight = self.count * len(values) / total
        if self._full:
            self._scatter += centred.T @ centred + weight * np.outer(shift, shift)
        else:
            self._scatter += np.square(centred).sum(axis=0) + weight * np.square(shift)
        self.mean = self.mean + shift * (len(values) / total)
        self.count = total

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Of the vectors themselves, divided by their count: (dim, dim), or (dim,) variances when not full."""
        return self._scatter / max(self.count, 1)

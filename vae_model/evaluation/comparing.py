"""Models compared on the same held-out records, and how far new sounds lie from those that a model knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.dataset.folder import Dataset
from pipelines.errors import WorkError
from vae_model.evaluation.batches import chunks, stack
from vae_model.evaluation.metrics import Batch, ErrorSums, kl_per_dimension
from vae_model.model_folder.bundle import Bundle
from vae_model.vae.autoencoder import Autoencoder

_SEED = 0


@dataclass(frozen=True)
class Measured:
    """A model's figures on a split. errors_db: root mean square error of each record in dB, by the record's source."""

    figures: dict[str, Any]
    sources: NDArray[np.str_]
    errors_db: NDArray[np.float64]


def measure(autoencoder: Autoencoder, bundle: Bundle, dataset: Dataset, split: str) -> Measured:
    """Errors of a model on a split, in decibels and so the same for models of any value range; and its loss.

    What is decoded is what `reconstruct` decodes; sampled latents are drawn alike for every model. WorkError when what
    the model answers is no number.
    """
    sums, rng = ErrorSums(), np.random.default_rng(_SEED)
    sources: list[str] = []
    errors: list[NDArray[np.float64]] = []
    kl = 0.0
    for records in chunks(dataset.records(split)):
        batch = stack(records, bundle.value_range)
        posterior = autoencoder.posterior(batch.values)
        decoded = posterior.draw(rng) if autoencoder.config.decodes_sample else posterior.means
        reconstruction = autoencoder.decode(decoded)
        if not (np.isfinite(decoded).all() and np.isfinite(reconstruction).all()):
            raise WorkError("the model has diverged: what it makes of some sounds are no finite numbers")
        sums.add(batch, reconstruction)
        errors.append(_errors_db(batch, reconstruction))
        sources += [record.source for record in records]
        if posterior.log_variances is not None:
            kl += float(kl_per_dimension(posterior.means, posterior.log_variances).sum())
    result = sums.result()
    loss = result.mse
    if autoencoder.config.is_vae:
        loss = autoencoder.config.reconstruction_weight * result.mse + kl / result.num_examples
    figures = {
        "num_examples": result.num_examples,
        "rmse_db": result.rmse_db,
        "rmse_above_floor_db": result.rmse_above_floor_db,
        "log_spectral_distance_db": result.log_spectral_distance_db,
        "mse": result.mse,
        "loss": loss,
    }
    return Measured(figures, np.array(sources, str), np.concatenate(errors))


def _errors_db(batch: Batch, reconstruction: NDArray[np.float32]) -> NDArray[np.float64]:
    difference = batch.in_db(batch.values) - batch.in_db(reconstruction)
    squares: NDArray[np.float64] = np.square(difference).mean(axis=(1, 2, 3), dtype=np.float64)
    return np.sqrt(squares)

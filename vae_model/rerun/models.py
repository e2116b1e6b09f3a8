"""What a rerun does with TensorFlow: a model trained, a model measured."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset.folder import Dataset
from pipelines.errors import Interrupted
from vae_model.evaluation.comparing import Measured, measure
from vae_model.rerun.config import RerunConfig
from vae_model.rerun.drift import Drift, drift
from vae_model.training.run_state import Training
from vae_model.training.trainer import train_model
from vae_model.vae.finished import load_finished


def fit(config: RerunConfig, folder: str, start: str | None) -> Training:
    """Train the model in a MODEL folder, from its last checkpoint if it has one.

    start: the MODEL folder that it begins at; None trains from scratch with the settings of `train:` as they are.
    Interrupted, with how to go on, when it was asked to stop.
    """
    model, train = config.first.model, config.first.train
    if start is not None:
        rate = config.retrain.learning_rate or train.learning_rate
        # A model that has learned needs no warm-up.
        train = dataclasses.replace(train, epochs=config.retrain.epochs, learning_rate=rate, kl_warmup_epochs=0)
    try:
        return train_model(config.dataset, folder, model, train, resume=True, start=start)
    except Interrupted as error:
        again = f"audio-vae rerun {config.path}"
        message = f"training was interrupted {error.place}; all is saved, go on with: {again}"
        raise Interrupted(message, error.place) from error


def measured(folder: str, dataset: Dataset, split: str) -> tuple[dict[str, Any], Measured]:
    """A model's evaluation for the state of a rerun, and the errors that it was made of."""
    autoencoder, bundle = load_finished(folder)
    bundle.check_fits(dataset, folder)
    found = measure(autoencoder, bundle, dataset, split)
    scale = [*dataclasses.astuple(bundle.value_range), bundle.model.reconstruction_weight]
    return {"dataset": dataset.digest, "split": split, **found.figures, "scale": scale}, found


def drift_of_errors(found: Measured, new_sources: pa.ChunkedArray) -> Drift | None:
    """Drift of a model's errors in dB on held-out records of sources new to it, from those on the others."""
    is_new = pc.is_in(pa.array(found.sources), value_set=new_sources.combine_chunks()).to_numpy(zero_copy_only=False)
    return drift(found.errors_db[~is_new], found.errors_db[is_new])

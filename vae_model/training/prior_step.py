"""The end of a training: what new sounds are drawn from is learned, of the model that is kept."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

from pipelines import store
from pipelines.config import TRAIN
from pipelines.dataset.folder import Dataset
from pipelines.errors import Interrupted
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import TrainConfig
from vae_model.model_folder.folder import BUNDLE_FILE, PRIOR_FILE
from vae_model.model_folder.outputs import Output
from vae_model.model_folder.prior_settings import FLOW, LearnedPrior
from vae_model.prior.flow import FlowModel
from vae_model.prior.learn import Progress, gaussian_of_few, learn
from vae_model.prior.prior import Prior
from vae_model.prior.prior_file import load_flow, save_flow
from vae_model.training.checkpoints import StopSignals
from vae_model.vae.autoencoder import Autoencoder

_START = "checkpoints/prior-start"
"""The folder of the prior that a run's own begins at, until that is learned."""
START_FILES = (f"{_START}/{PRIOR_FILE}", f"{_START}/{BUNDLE_FILE}")


class Asked(Exception):
    """The learning was asked to stop."""


def keep_start(folder: Path, start: str) -> None:
    """Keep the prior of the model that a run begins at, if it has a flow, so that the run's own begins there too."""
    bundle = Bundle.load(start)
    flow = load_flow(start, bundle)
    if flow is not None:
        (folder / _START).mkdir(parents=True, exist_ok=True)
        save_flow(flow, folder / _START)
        bundle.save(folder / _START)


def fetch(output: Output) -> None:
    """Bring the prior that a run is to begin at into its local folder."""
    output.fetch(START_FILES)


def without_flow(dataset: Dataset, train: TrainConfig, say: Callable[[str], None]) -> LearnedPrior | None:
    """What `bundle.json` tells of the prior when no flow is learned; None when one is to be. say: is told why not."""
    if train.prior != FLOW:
        return LearnedPrior(train.prior)
    return gaussian_of_few(dataset.count(TRAIN), say)


def forget(output: Output) -> None:
    """Remove `prior.keras`: it is of another model than the one that is written next."""
    if store.exists(output.file(PRIOR_FILE)):
        output.own([PRIOR_FILE])
    (output.path / PRIOR_FILE).unlink(missing_ok=True)


def learn_prior_of(
    autoencoder: Autoencoder, dataset: Dataset, output: Output, bundle: Bundle, *, quiet: bool, hold: bool
) -> Prior | None:
    """Learn the flow of the model in `output`, whose bundle is `bundle`, and write it.

    hold: signals end it at a step. Interrupted when it was asked to stop; the model is then whole, without a prior.
    """
    train = bundle.train
    with StopSignals(hold) as stop:

        def asked() -> None:
            if stop.asked:
                raise Asked

        progress = Progress(quiet, asked)
        options = {"epochs": train.prior_epochs, "width": train.prior_width, "seed": train.seed}
        try:
            learned, flow = learn(
                dataset, TRAIN, autoencoder, bundle, **options, progress=progress, start=_start(output.path)
            )
        except Asked:
            progress.close()
            output.publish()
            way_on = f"audio-vae train {dataset.uri} --output {output.name} --resume"
            place = "while the prior was learned"
            raise Interrupted(f"interrupted {place}; the model is saved, go on with: {way_on}", place) from None
    if flow is not None:
        save_flow(flow, output.path)
    dataclasses.replace(bundle, prior=learned).save(output.path)
    shutil.rmtree(output.path / _START, ignore_errors=True)
    return None if flow is None else Prior(flow)


def _start(folder: Path) -> FlowModel | None:
    start = folder / _START
    return load_flow(str(start), Bundle.load(start)) if (start / BUNDLE_FILE).exists() else None

"""A prior learned for a model that exists, or learned again: from a dataset into the MODEL folder.

A model without its training sounds gets them by the way, as the dataset is read anyway.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

from pipelines.config import TRAIN
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import require
from pipelines.store.paths import Place
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import TrainConfig
from vae_model.model_folder.folder import LAST_FILES
from vae_model.model_folder.outputs import make_folder, opened_output
from vae_model.runtime import prepare


@dataclass(frozen=True)
class PriorLearned:
    """What a model's new sounds are drawn from now.

    kind: flow, or gaussian where there were too few sounds. num_latents: learned from. labels: of each how many values
    it has. num_clusters: kinds of sounds that were found where there are no labels. knows_before: whether it knows how
    sounds go on. loss: of the last epoch.
    """

    folder: str
    kind: str
    num_latents: int
    epochs: int
    labels: dict[str, int]
    num_clusters: int
    knows_before: bool
    loss: float | None
    seconds: float
    num_sounds: int = 0


def learn_prior(
    model: Place,
    dataset: Dataset | Place,
    *,
    split: str = TRAIN,
    epochs: int = TrainConfig.prior_epochs,
    width: int = TrainConfig.prior_width,
    seed: int = 0,
    quiet: bool = False,
) -> PriorLearned:
    """Learn what new sounds of a model are drawn from, by label, and put it into the MODEL folder: `audio-vae prior`.

    model: the MODEL folder at a path or URI, whose prior is replaced at the end; it gets `sounds.parquet`, for the map
    of `audio-vae app`, where it has none of its own. dataset: an open one, or the path or URI of one, made with the
    model's settings; its labels are what `generate` may be asked for. split: of it. epochs:
    passes over the latents. width: of the network. seed: the same one gives the same prior, on the CPU bit by bit.
    quiet: no progress on standard error. SettingError when the dataset does not fit the model.

    >>> learned = learn_prior(model, dataset, quiet=True)
    >>> learned.kind, learned.num_latents  # of so few sounds a flow would only learn to repeat them
    ('gaussian', 9)
    """
    model = os.fspath(model)
    for name, value in (("epochs", epochs), ("width", width)):
        require(value > 0, f"--{name}", value, "a positive integer")
    require(0 <= seed < 2**31, "--seed", seed, "at least 0 and below 2**31")
    bundle = Bundle.load(model)  # mistakes show before TensorFlow's seconds of loading
    found = open_dataset(dataset)
    bundle.check_fits(found, model)
    require(found.split(split).num_examples > 0, "--split", split, f"one that holds records in {found.uri}")
    with opened_output(model, LAST_FILES, alone=True) as output:
        prepare()
        from vae_model.prior.learn import Progress, learn
        from vae_model.prior.prior_file import save_flow
        from vae_model.training_sounds import read_training_sounds, write_training_sounds
        from vae_model.vae.finished import load_finished

        autoencoder, _ = load_finished(model)
        progress = Progress(quiet)
        learned, flow = learn(
            found, split, autoencoder, bundle, epochs=epochs, width=width, seed=seed, progress=progress
        )
        make_folder(output.path)
        num_sounds = 0
        if not read_training_sounds(model, bundle):
            num_sounds = write_training_sounds(output.path, autoencoder, bundle, found, split=split, model=model)
        if flow is not None:
            save_flow(flow, output.path)
        dataclasses.replace(bundle, prior=learned).save(output.path)
    settings, figures = learned.settings, learned.figures
    return PriorLearned(
        folder=model,
        kind=learned.kind,
        num_latents=figures["num_latents"],
        epochs=figures.get("epochs", 0),
        labels={} if settings is None else {name: len(values) for name, values in settings.labels.items()},
        num_clusters=0 if settings is None else settings.num_clusters,
        knows_before=settings is not None and settings.with_before,
        loss=figures.get("loss"),
        seconds=figures.get("seconds", 0.0),
        num_sounds=num_sounds,
    )

"""A model's figures on a split of a dataset, beside those of simple predictors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import require, shown
from pipelines.store.paths import Place
from vae_model.evaluation.batches import default_split
from vae_model.model_folder.bundle import Bundle
from vae_model.runtime import prepare


@dataclass(frozen=True)
class Figures:
    """What `evaluate_model` measured; docs/metrics.md says what each figure is. What does not apply is None.

    decode: which of the reconstructions is the model's own, mean_z or sampled_z. reconstruction: errors of both.
    posterior: of a VAE's latents. baselines: errors of predictors that learn nothing deep, and what they were fitted
    on. probes: what the latents tell of each label. frechet: distances of reconstructions and new sounds from real
    ones. new_sounds: how like real ones new sounds are, how varied, how recognisable, and whether they are copies.
    onsets: how much sound is before attacks, how fast they are and how loud, beside the recordings; its `why` says why
    they are None where there is nothing to measure.
    """

    model: str
    dataset: str
    split: str
    num_examples: int
    seed: int
    decode: str
    reconstruction: dict[str, dict[str, Any] | None]
    posterior: dict[str, Any] | None
    baselines: dict[str, Any] | None
    probes: dict[str, Any] | None
    frechet: dict[str, Any]
    new_sounds: dict[str, Any] | None
    onsets: dict[str, Any]

    @property
    def errors(self) -> dict[str, Any]:
        """Errors of what the model itself reconstructs: `mse`, `rmse_db` and others."""
        errors = self.reconstruction[self.decode]
        assert errors is not None
        return errors

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def evaluate_model(
    model: Place,
    dataset: Dataset | Place,
    *,
    split: str | None = None,
    seed: int = 0,
    recordings: Sequence[Place] = (),
) -> Figures:
    """Measure a model on held-out sounds, beside simple predictors: `audio-vae evaluate`.

    model: the MODEL folder at a path or URI. dataset: an open one, or the path or URI of one, made with the model's
    settings. split: test if it has records, else validation, unless given. seed: of sampled latents and new sounds.
    recordings: folders or files, also URIs, that the dataset was made of; those that it names itself are looked at
    where they are files on this machine. SettingError when the dataset does not fit the model, or has no such split.

    >>> figures = evaluate_model(model, dataset)
    >>> figures.split, figures.num_examples, figures.decode
    ('validation', 3, 'mean_z')
    >>> 0 < figures.errors["mse"] < 1
    True
    >>> figures.onsets["num_heard"], figures.onsets["why"]
    (3, 'none of 3 sounds has one after 20 ms')
    """
    model = os.fspath(model)
    require(0 <= seed < 2**31, "--seed", seed, "at least 0 and below 2**31")
    bundle = Bundle.load(model)  # mistakes show before TensorFlow's seconds of loading
    found = open_dataset(dataset)
    bundle.check_fits(found, model)
    split = split or default_split(found)
    found.split(split)
    prepare()
    from vae_model.evaluation.evaluation import evaluate, tell
    from vae_model.evaluation.onsets import measure_onsets
    from vae_model.sound.generator import SoundGenerator

    generator = SoundGenerator.load(model, seed)
    figures = evaluate(generator.autoencoder, bundle, found, split, seed, prior=generator.prior)
    onsets = measure_onsets(generator, found, split, seed, [os.fspath(place) for place in recordings], tell)
    return Figures(shown(model), shown(found.uri), split, **figures, onsets=onsets)

"""A model measured on a split of a dataset, beside what learns nothing deep. Memory does not grow with the dataset."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.config import LOG_SPECTROGRAM
from pipelines.dataset.folder import Dataset
from pipelines.errors import SettingError, WorkError
from vae_model.evaluation.baselines import COMPONENTS, LabelMeans, PrincipalComponents
from vae_model.evaluation.batches import batches, chunks, spread, training_sample
from vae_model.evaluation.frechet import LogMelStatistics, frechet_distance
from vae_model.evaluation.metrics import Batch, ErrorSums, Moments, PosteriorSums
from vae_model.evaluation.new_sounds import MAX_SOUNDS, NewSounds
from vae_model.evaluation.probes import MAX_EXAMPLES, REGULARISATION, linear_probe
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.value_range import ValueRange
from vae_model.prior.prior import Prior
from vae_model.vae.autoencoder import Autoencoder


@dataclass
class _Kept:
    """Features and labels of the examples that the probes are tried on."""

    features: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    labels: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    def add(self, features: dict[str, NDArray[Any]], labels: dict[str, NDArray[np.str_]], rows: list[int]) -> None:
        """Keep these rows of a batch."""
        for kept, given in ((self.features, features), (self.labels, labels)):
            for name, values in given.items():
                kept.setdefault(name, []).append(values[rows])


class Evaluation:
    """Measures a model, given a training sample and then the split's batches.

    autoencoder: an Autoencoder or VAE. value_range: what its input means. statistics: of the dataset's spectrograms.
    training: what baselines and probes are fitted on, or None to leave both out. num_examples: in the split. seed: of
    sampled latents, generated sounds and the randomised decomposition. prior: what the model's new sounds are drawn
    from; None for the Gaussian of its latents.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        value_range: ValueRange,
        statistics: LogMelStatistics,
        training: Batch | None,
        num_examples: int,
        seed: int = 0,
        prior: Prior | None = None,
    ) -> None:
        self.autoencoder = autoencoder
        self.prior = prior
        self.value_range = value_range
        self.training = training
        self.seed = seed
        self._statistics = statistics
        self._rng = np.random.default_rng(seed)
        self._dim = autoencoder.config.latent_space_dim
        self._num_examples = num_examples
        self._probed = spread(num_examples, MAX_EXAMPLES)
        self._seen = 0
        self._errors: dict[str, ErrorSums] = {}
        self._moments = {name: Moments(statistics.dim) for name in ("original", "reconstruction")}
        self._posterior = PosteriorSums(self._dim)
        self._kept = _Kept()
        self._means = self._components = self._new_sounds = None
        if training is not None:
            self._means = LabelMeans(training)
            self._new_sounds = NewSounds(autoencoder, value_range, statistics, training, num_examples)
            if len(training) > 1:
                self._components = PrincipalComponents(training.values, max(*COMPONENTS, self._dim), seed)

    def add(self, batch: Batch) -> None:
        """Measure a batch of the split. WorkError when what the model answers is no number."""
        latents = self.autoencoder.posterior(batch.values)
        features = {"model": latents.means}
        reconstructions = {"mean_z": self.autoencoder.decode(latents.means)}
        if latents.log_variances is not None:
            self._posterior.add(latents.means, latents.log_variances)
            reconstructions["sampled_z"] = self.autoencoder.decode(latents.draw(self._rng))
        for name, reconstruction in reconstructions.items():
            if not (np.isfinite(reconstruction).all() and np.isfinite(features["model"]).all()):
                raise WorkError("the model has diverged: what it makes of some sounds are no finite numbers")
            self._error(name, batch, reconstruction)
        self._moments["original"].add(self._statistics.of(batch.in_db(batch.values)))
        decoded = reconstructions[self._decoded]
        self._moments["reconstruction"].add(self._statistics.of(batch.in_db(decoded)))
        if self._new_sounds is not None:
            self._new_sounds.add(batch, decoded)
        self._add_baselines(batch)
        if self._components is not None:
            features["pca"] = self._components.scores(batch.values, self._dim)
        rows = [row for row in range(len(batch)) if self._seen + row in self._probed]
        self._kept.add(features, batch.labels, rows)
        self._seen += len(batch)

    def result(self) -> dict[str, Any]:
        """All figures as JSON values; what does not apply is None. docs/metrics.md says what each is."""
        errors = {name: dataclasses.asdict(sums.result()) for name, sums in self._errors.items()}
        return {
            "num_examples": self._seen,
            "seed": self.seed,
            "decode": self._decoded,
            "reconstruction": {name: errors.get(name) for name in ("mean_z", "sampled_z")},
            "posterior": self._posterior.result().to_dict() if self.autoencoder.config.is_vae else None,
            "baselines": self._baselines(errors),
            "probes": self._probes(),
            "frechet": self._frechet(),
            "new_sounds": None if self._new_sounds is None else self._new_sounds.result(self.prior, self.seed),
        }

    @property
    def _decoded(self) -> str:
        """Which latent the model's reconstructions are decoded from."""
        return "sampled_z" if self.autoencoder.config.decodes_sample else "mean_z"

    def _error(self, name: str, batch: Batch, predicted: NDArray[np.float32]) -> None:
        self._errors.setdefault(name, ErrorSums()).add(batch, predicted)

    def _add_baselines(self, batch: Batch) -> None:
        if self._means is not None:
            self._error("mean", batch, self._means.predict_mean(batch))
            if self._means.label_names and set(self._means.label_names) <= batch.labels.keys():
                self._error("label_mean", batch, self._means.predict_by_label(batch))
        if self._components is not None:
            for size in self._components.sizes((*COMPONENTS, self._dim)):
                self._error(f"pca_{size}", batch, self._components.reconstruct(batch.values, size))

    def _baselines(self, errors: dict[str, Any]) -> dict[str, Any] | None:
        if self.training is None or self._means is None:
            return None
        figures = {name: values for name, values in errors.items() if not name.endswith("_z")}
        groups = {"labels": list(self._means.label_names), "num_groups": len(self._means.group_means)}
        return {"num_train": len(self.training), **groups, **figures}

    def _probes(self) -> dict[str, Any] | None:
        if self.training is None or not self.training.labels:
            return None
        of_training = {"model": self.autoencoder.means(self.training.values)}
        if self._components is not None:
            of_training["pca"] = self._components.scores(self.training.values, self._dim)
        labels: dict[str, Any] = {}
        for name, values in self.training.labels.items():
            if name not in self._kept.labels:
                continue
            wanted = np.concatenate(self._kept.labels[name])
            labels[name] = {
                features: _as_dict(linear_probe(of, values, np.concatenate(self._kept.features[features]), wanted))
                for features, of in of_training.items()
            }
        return {"regularisation": REGULARISATION, "labels": labels}

    def _frechet(self) -> dict[str, Any]:
        """Distances from the split's originals: of reconstructions, of new sounds, of as many training sounds."""
        original = self._moments["original"]
        count = min(self._num_examples, MAX_SOUNDS)
        training = None
        if self.training is not None:
            training = Moments(self._statistics.dim)
            for rows in chunks(sorted(spread(len(self.training), self._seen))):
                part = self.training[rows]
                training.add(self._statistics.of(part.in_db(part.values)))
        return {
            "reconstruction": frechet_distance(self._moments["reconstruction"], original),
            "generated": frechet_distance(self._generated(count), original),
            "num_generated": count,
            "train": None if training is None else frechet_distance(training, original),
            "num_train": 0 if training is None else training.count,
            "dim": self._statistics.dim,
        }

    def _generated(self, count: int) -> Moments:
        """Moments of new sounds: of the prior, or of the Gaussian on the model's typical range."""
        moments, ranges = Moments(self._statistics.dim), [self.value_range] * count
        if self.prior is None:
            latents = self.autoencoder.sample_latents(count, self.seed)
        else:
            drawn = self.prior.draw(count, self.seed)
            latents, ranges = drawn.latents, drawn.ranges(self.value_range)
        for rows in chunks(range(count)):
            decoded = self.autoencoder.decode(latents[rows])
            own = (ranges[row] for row in rows)
            in_db = np.stack([each.to_db(values) for each, values in zip(own, decoded, strict=True)])
            moments.add(self._statistics.of(in_db))
        return moments


def tell(line: str) -> None:
    """Say on standard error what is being done."""
    print(line, file=sys.stderr, flush=True)


def evaluate(
    autoencoder: Autoencoder,
    bundle: Bundle,
    dataset: Dataset,
    split: str,
    seed: int = 0,
    say: Callable[[str], None] = tell,
    prior: Prior | None = None,
) -> dict[str, Any]:
    """`Evaluation.result` of a model on a split of a dataset that fits it. SettingError when the split has no records.

    bundle: its audio, spectrogram and value_range say what the model's input is. say: is told what is being done.
    prior: as of Evaluation.
    """
    num_examples = dataset.split(split).num_examples
    if not num_examples:
        raise SettingError(f"--split {split} must hold records, it has none in {dataset.uri}")
    training = training_sample(dataset, bundle.value_range)
    if training is not None:
        say(f"fitting baselines on {len(training):,} training examples")
    settings = bundle.spectrogram
    own_rows = None if settings.feature == LOG_SPECTROGRAM else settings.n_rows
    audio = bundle.audio
    statistics = LogMelStatistics(audio.sample_rate, settings.frame_size, own_rows, audio.channels)
    evaluation = Evaluation(autoencoder, bundle.value_range, statistics, training, num_examples, seed, prior)
    say(f"measuring {num_examples:,} examples of split {split}")
    for batch in batches(dataset.records(split), bundle.value_range):
        evaluation.add(batch)
    say("measuring new sounds")
    return evaluation.result()


def _as_dict(value: Any) -> dict[str, Any] | None:
    return None if value is None else dataclasses.asdict(value)

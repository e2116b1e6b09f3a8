"""New sounds by a classifier of real ones: the learned prior beside every other way to draw latents.

Each data set is preprocessed, a model of it trained, its latents encoded, and priors learned of them, all kept in
.cache/benchmarks/new_sounds: the script may be interrupted and run again. With fewer --epochs, --seeds and sounds it is
a first look: `--epochs 4 --seeds 1 --count 300`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import CACHE, Report, note, options, preprocess, table

from vae_model.runtime import prepare

FOLDER = CACHE / "new_sounds"
TEST, TRAIN = "test", "train"
_HEADER = ["latents from", "recognised", "inception score", "right", "precision", "recall", "nearest"]


@dataclass(frozen=True)
class Data:
    """A data set. flags: of `preprocess`. settings: of `train`. label: that whose values are told apart. both: labels
    that are given together."""

    name: str
    title: str
    flags: tuple[str, ...]
    settings: dict[str, Any]
    label: str
    both: tuple[str, ...]


FSDD = Data(
    "fsdd",
    "FSDD, takes 0-4 (300 recordings) held out, each record to its own range",
    (
        *("--preset", "course", "--split", "none", "--split-pattern", r"test=_[0-4]\.wav$"),
        *("--label-pattern", r"(?P<digit>\d)_(?P<speaker>[a-z]+)_\d+"),
    ),
    {"preset": "default", "value_range": "record"},
    "digit",
    ("digit", "speaker"),
)
TIMBRES = Data(
    "timbres",
    "the demo's 400 sounds of five timbres and 25 notes, a tenth held out",
    ("--preset", "tiny", "--split", "test=0.1", "--label-pattern", r"(?P<timbre>[a-z]+)_(?P<note>\d+)_\d+\.wav$"),
    {"preset": "tiny"},
    "timbre",
    ("timbre", "note"),
)


class Bench:
    """A data set with its trained model, and what judges new sounds of it."""

    def __init__(self, data: Data, chosen: Any) -> None:
        from pipelines.dataset.folder import open_dataset
        from vae_model.evaluation.batches import batches
        from vae_model.evaluation.recognising import Recogniser, pooled
        from vae_model.sound.generator import SoundGenerator

        self.data, self.chosen = data, chosen
        self.folder = FOLDER / data.name
        dataset = open_dataset(self._dataset())
        self.model = self._trained(dataset)
        self.generator = SoundGenerator.load(self.model)
        self.autoencoder, self.bundle = self.generator.autoencoder, self.generator.bundle
        value_range = self.bundle.value_range
        train, test = ([*batches(dataset.records(split), value_range)] for split in (TRAIN, TEST))
        self.train = np.concatenate([batch.values for batch in train])
        self.test = np.concatenate([batch.values for batch in test])
        self.labels, self.test_labels = (
            {name: np.concatenate([batch.labels[name] for batch in split]) for name in split[0].labels}
            for split in (train, test)
        )
        self.real = pooled(self.train)
        self.judges = {name: Recogniser(self.real, self.labels[name]) for name in data.both}
        self.collected = self._collected(dataset)

    def _dataset(self) -> str:
        place = self.folder / "dataset"
        if not (place / "dataset.json").exists():
            sounds = self.chosen.recordings
            if self.data is TIMBRES:
                from vae_model.sound.synthesis import write_sounds

                sounds = self.folder / "sounds"
                write_sounds(sounds, 400)
            preprocess(sounds, place, *self.data.flags)
        return str(place)

    def _trained(self, dataset: Any) -> str:
        from vae_model.demonstration import epochs_for
        from vae_model.training.trainer import train_model

        settings = {**self.data.settings, "prior": "gaussian"}
        if self.data is TIMBRES:
            settings["epochs"] = epochs_for(dataset.count(TRAIN))
        elif self.chosen.epochs:
            settings["epochs"] = self.chosen.epochs
        folder = self.folder / f"model-{settings.get('epochs', 'whole')}"
        if not (folder / "bundle.json").exists():
            note(f"training {folder}")
            train_model(dataset, folder, resume=True, **settings)
        return str(folder)

    def _collected(self, dataset: Any) -> Any:
        from vae_model.prior.collecting import collect

        return collect(dataset, TRAIN, self.autoencoder, self.bundle.value_range)

    def learned(self, labels: tuple[str, ...], seed: int) -> tuple[Any, float]:
        """The prior of these labels, and the seconds that it took to learn; kept."""
        from vae_model.model_folder.prior_settings import FLOW, LearnedPrior
        from vae_model.prior.beginning import begin
        from vae_model.prior.learning import fit
        from vae_model.prior.prior import Prior
        from vae_model.prior.prior_file import load_flow, save_flow

        width = self.bundle.train.prior_width
        digest = hashlib.sha256(json.dumps([labels, seed, self.chosen.prior_epochs, width]).encode()).hexdigest()[:12]
        folder = Path(self.model) / f"prior-{digest}"
        told = folder / "learned.json"
        of = dataclasses.replace(self.collected, labels={name: self.collected.labels[name] for name in labels})
        per_record = self.bundle.value_range.per_record
        if not told.exists():
            note(f"{self.data.name}: learning a prior of {', '.join(labels) or 'no labels'}, seed {seed}")
            started = time.perf_counter()
            flow, examples = begin(of, width, with_levels=per_record, seed=seed)
            fit(flow, examples, self.chosen.prior_epochs, seed)
            seconds = time.perf_counter() - started
            folder.mkdir(parents=True, exist_ok=True)
            save_flow(flow, folder)
            told.write_text(json.dumps({"seconds": seconds, "settings": flow.settings.to_dict()}))
        from pipelines.store.json_values import Value
        from vae_model.model_folder.prior_settings import PriorSettings

        values = json.loads(told.read_text())
        settings = PriorSettings.from_value(Value(str(told), values["settings"]))
        flow = load_flow(str(folder), dataclasses.replace(self.bundle, prior=LearnedPrior(FLOW, settings)))
        assert flow is not None
        return Prior(flow), values["seconds"]

    def judged(self, values: np.ndarray, asked: dict[str, np.ndarray]) -> dict[str, float]:
        """Figures of spectrograms. asked: what they were to be."""
        from vae_model.evaluation.crowds import nearest, precision_and_recall
        from vae_model.evaluation.recognising import pooled

        features = pooled(values)
        found = self.judges[self.data.label].of_sounds(features)
        reference = self.real[np.linspace(0, len(self.real) - 1, min(len(self.real), len(values))).astype(int)]
        precision, recall = precision_and_recall(reference, features)
        result = {"recognised": found.recognised, "inception score": found.inception_score}
        right = [self.judges[name].says(features) == asked[name] for name in self.data.both if name in asked]
        if right:
            result["right"] = float(np.logical_and.reduce(right).mean())
        result |= {"precision": precision, "recall": recall}
        return result | {"nearest": float(nearest(values, self.train).mean())}

    def rows(self, seed: int) -> Iterator[tuple[str, np.ndarray, dict[str, np.ndarray]]]:
        """Of each way to draw latents its name, latents of new sounds, and what they were to be."""
        count, rng = self.chosen.count, np.random.default_rng(seed)
        means, log_variances = self.collected.latents.means, self.collected.latents.log_variances
        noise = rng.standard_normal((count, means.shape[1])).astype(np.float32)
        yield "the Gaussian", self.autoencoder.sample_latents(count, seed), {}
        yield "N(0, I)", noise, {}
        from sklearn.mixture import GaussianMixture

        samples = means + np.exp(log_variances / 2) * rng.standard_normal(means.shape)
        for components in (10, 120):
            if 4 * components <= len(means):
                mixture = GaussianMixture(components, covariance_type="diag", random_state=seed).fit(samples)
                yield f"mixture of {components} Gaussians", mixture.sample(count)[0].astype(np.float32), {}
        yield self._of_each(count, rng, samples)
        first = (self.data.label,)
        for guidance in (0.0, 1.0):
            for labels in ((), first, self.data.both):
                prior, _ = self.learned(labels, seed)
                prior.guidance = guidance
                drawn = prior.draw(count, seed)
                asked = {name: np.array([each[name] for each in drawn.labels]) for name in labels}
                name = f"learned, {' and '.join(labels) or 'no labels'}, guidance {guidance:g}"
                yield f"**{name}**" if guidance else name, drawn.latents, asked

    def _of_each(self, count: int, rng: np.random.Generator, samples: np.ndarray) -> Any:
        """A Gaussian of each combination of labels."""
        columns = [self.labels[name] for name in self.data.both]
        keys = np.array(["/".join(key) for key in zip(*columns, strict=True)])
        drawn = rng.choice(keys, count)
        latents = np.zeros((count, samples.shape[1]), np.float32)
        for key in np.unique(drawn):
            of, rows = samples[keys == key], drawn == key
            noise = rng.standard_normal((rows.sum(), len(of))) / np.sqrt(max(1, len(of) - 1))
            latents[rows] = of.mean(axis=0) + noise @ (of - of.mean(axis=0))
        asked = dict(zip(self.data.both, np.array([key.split("/") for key in drawn]).T, strict=True))
        return f"a Gaussian of each {' and '.join(self.data.both)}", latents, asked


def of_data(bench: Bench) -> tuple[list[list[str]], dict[str, list[dict[str, float]]]]:
    """Lines of the table, and of each row the figures of each seed."""
    reconstructions = bench.autoencoder.decode(bench.autoencoder.means(bench.test))
    found: dict[str, list[dict[str, float]]] = {
        "real held-out sounds": [bench.judged(bench.test, bench.test_labels)],
        "their reconstructions": [bench.judged(reconstructions, bench.test_labels)],
    }
    for seed in range(bench.chosen.seeds):
        for name, latents, asked in bench.rows(seed):
            note(f"{bench.data.name}: {name}, seed {seed}")
            found.setdefault(name, []).append(bench.judged(bench.autoencoder.decode(latents), asked))
    forms = {"inception score": ".2f", "nearest": ".4f"}
    lines = []
    for name, seeds in found.items():
        cells = [
            " / ".join(format(each[key], forms.get(key, ".3f")) for each in seeds) if key in seeds[0] else ""
            for key in _HEADER[1:]
        ]
        lines.append([name, *cells])
    return lines, found


def claims(report: Report, bench: Bench, found: dict[str, list[dict[str, float]]]) -> None:
    """The targets, of the worst seed."""
    real, rebuilt = found["real held-out sounds"][0], found["their reconstructions"][0]
    first, both = bench.data.label, " and ".join(bench.data.both)
    by_one, by_both, free = (found[f"**learned, {of}, guidance 1**"] for of in (first, both, "no labels"))

    def worst(seeds: list[dict[str, float]], key: str) -> float:
        return round(min(each[key] for each in seeds), 4)

    report.claim(f"recognised, by {first}", worst(by_one, "recognised"), "at least", 0.93)
    report.claim(f"right {first}", worst(by_one, "right"), "at least", 0.97)
    share = worst(by_one, "inception score") / real["inception score"]
    report.claim(f"inception score of that of real ones, by {first}", share, "at least", 0.97)
    report.claim(f"right {both}", worst(by_both, "right"), "at least", 0.93)
    report.claim("recognised, no labels", worst(free, "recognised"), "at least", 0.8)
    report.claim("recall of that of real ones, no labels", worst(free, "recall") / real["recall"], "at least", 0.5)
    near = min(worst(seeds, "nearest") for seeds in (by_one, by_both, free)) / rebuilt["nearest"]
    report.claim("nearest training sound, of what is held out", near, "at least", 0.9)
    learned = max(bench.learned(labels, 0)[1] for labels in ((), (first,), bench.data.both))
    report.claim("learning a prior of encoded latents", learned, "at most", 180, " s")


def made(bench: Bench, count: int) -> float:
    """Seconds to draw, decode and invert so many new sounds."""
    prior, _ = bench.learned((bench.data.label,), 0)
    started = time.perf_counter()
    drawn = prior.draw(count, 0)
    for _ in bench.generator.decode(drawn.latents, drawn.ranges(bench.bundle.value_range)):
        pass
    return time.perf_counter() - started


def main() -> int:
    parser = options(__doc__, 3_000)
    parser.add_argument("--epochs", type=int, help="of FSDD's model (the preset's)")
    parser.add_argument("--prior-epochs", type=int, default=250, help="of the priors (250)")
    parser.add_argument("--seeds", type=int, default=3, help="of priors and sounds (3)")
    parser.add_argument("--count", type=int, default=1000, help="sounds of each row (1,000)")
    parser.add_argument("--only", choices=(FSDD.name, TIMBRES.name), help="one data set")
    chosen = parser.parse_args()
    prepare()
    report = Report("new_sounds", "New sounds", chosen.write)
    report.say(
        "A support vector machine on pooled spectrograms of the real training sounds judges what is decoded.",
        "recognised: the part of which it is surer than 0.8. right: the part that has all labels that were asked for.",
        f"{chosen.count:,} sounds a row; a value a seed. precision, recall: arXiv:1904.06991. nearest: mean squared",
        "distance to the nearest training sound. docs/metrics.md has the figures, docs/latents.md how the prior is",
        "learned.",
    )
    for data in (FSDD, TIMBRES):
        if chosen.only in (None, data.name):
            bench = Bench(data, chosen)
            lines, found = of_data(bench)
            epochs = bench.bundle.metrics["epochs"]
            report.say("", f"### {data.title}", "", f"A model of {epochs} epochs.", "", *table(_HEADER, lines))
            if data is FSDD:
                claims(report, bench, found)
                seconds = made(bench, 1000)
                report.claim("1,000 new sounds, drawn, decoded and inverted", seconds, "at most", 30, " s")
    return report.finish("tensorflow", "keras", "scikit-learn")


if __name__ == "__main__":
    raise SystemExit(main())

"""What each training choice is worth, on FSDD with takes 0-4 held out, beside predictors that learn nothing deep.

Short rows differ from the row that they name in one setting and train for the same few epochs; long rows are the
presets' own training. Each row is trained by `train_model` into .cache/benchmarks/quality and goes on where it was
stopped, so the script may be interrupted and run again. Everything is normalised as the course does, record by record.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import CACHE, Report, note, options, preprocess, table

from vae_model.runtime import prepare

FOLDER = CACHE / "quality"
SPLIT = ["--preset", "course", "--split", "none", "--split-pattern", r"test=_[0-4]\.wav$"]
LABELS = ["--label-pattern", r"(?P<digit>\d)_(?P<speaker>[a-z]+)_\d+"]
TEST, TRAIN = "test", "train"
PRESET_DATA = {"tiny": "the demo's sounds", "speech": "FSDD", "default": "FSDD"}
"""What each preset but the course's is tried on, beside as many principal components as it has latents."""
COMPONENTS = (8, 32, 128)
BOUNDS = {  # latent_space_dim: largest MSE, least active units, least accuracy of the probes
    128: (0.00112, 64, {"digit": 0.957, "speaker": 0.993}),
    32: (0.0017, 16, {"digit": 0.903, "speaker": 0.983}),
}


@dataclass(frozen=True)
class Row:
    """A model to train. changes: settings by name that differ from the `default` preset."""

    name: str
    changes: dict[str, Any]
    long: bool = False


COMMON = {"value_range": "record", "decode": "mean"}
"""What every row is measured under."""

PLAIN = {
    "norm": "batch",
    "linear_path": False,
    "time_shift_frames": 0,
    "norm_momentum": 0.95,
}
"""The reference's kind of network, ascending and of `default`'s strides: what most short rows change one thing of."""


def rows(short_epochs: int) -> list[Row]:
    """All models of the table."""

    def plain(name: str, **changes: Any) -> Row:
        return Row(name, PLAIN | {"epochs": short_epochs} | changes)

    def chosen(name: str, **changes: Any) -> Row:
        return Row(name, {"epochs": short_epochs} | changes)

    return [
        plain("plain: ascending filters, BatchNorm, output bias"),
        plain("plain, filters descending (192,128,96,64,32)", conv_filters=(192, 128, 96, 64, 32)),
        plain("plain without output bias", output_bias=False),
        plain("plain, constant learning rate", schedule="constant"),
        plain("plain, KL warm-up of 2 epochs", kl_warmup_epochs=2),
        plain("plain, free bits 0.5", free_bits=0.5),
        plain("plain, log-variance in -8,2", log_variance_range=(-8.0, 2.0)),
        plain("plain, GroupNorm", norm="group"),
        plain("plain, no normalisation", norm="none"),
        plain("plain, a residual block a layer", residual_blocks=1),
        plain("plain, resize-convolution", upsampling="resize"),
        plain("plain, learned decoder variance", decoder_variance="learned"),
        plain("plain, padding masked", mask_padding=True),
        plain("plain, batches shifted by up to 2 frames", time_shift_frames=2),
        chosen("default, few epochs"),
        Row("**default, latent 128**", {}, long=True),
        Row("**default, latent 32, half the epochs**", {"latent_space_dim": 32, "epochs": 20}, long=True),
    ]


def fitted(row: Row, dataset: Path) -> tuple[dict[str, Any], Path]:
    """(what the row's model comes to on the held-out takes, its folder), trained and measured unless it was before."""
    from vae_model.model_folder.config import PRESETS
    from vae_model.training.trainer import train_model

    preset = PRESETS["default"]
    model, train = (_changed(config, COMMON | row.changes) for config in (preset.model, preset.train))
    settings = [dataclasses.asdict(model), dataclasses.asdict(train)]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    folder = FOLDER / digest
    done = folder / "quality.json"
    if not done.exists():
        note(f"{row.name} -> {folder.name}")
        started = time.perf_counter()
        training = train_model(str(dataset), str(folder), model, train, resume=folder.exists())
        note(f"  trained in {time.perf_counter() - started:.0f} s")
        found = measured(folder, dataset, probes=row.long)
        found |= {"seconds": training.seconds, "epochs": training.epochs}
        done.write_text(json.dumps(found, indent=1))
    return json.loads(done.read_text()), folder


def _changed(config: Any, changes: dict[str, Any]) -> Any:
    names = {field.name for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **{name: value for name, value in changes.items() if name in names})


def measured(folder: Path, dataset_folder: Path, probes: bool) -> dict[str, Any]:
    """Held-out figures of a trained model."""
    from pipelines.dataset.folder import open_dataset
    from vae_model.evaluation.batches import batches, training_sample
    from vae_model.evaluation.metrics import ErrorSums, PosteriorSums
    from vae_model.model_folder.bundle import Bundle
    from vae_model.model_folder.folder import MODEL_FILE
    from vae_model.vae.saving import load_model
    from vae_model.vae.variational import wrap

    autoencoder = wrap(load_model(folder / MODEL_FILE, compiled=False))
    value_range = Bundle.load(folder).value_range
    dataset = open_dataset(str(dataset_folder))
    errors, sampled = ErrorSums(), ErrorSums()
    posterior = PosteriorSums(autoencoder.config.latent_space_dim)
    means, labels = [], []
    for batch in batches(dataset.records(TEST), value_range):
        latents = autoencoder.encode(batch.values)
        errors.add(batch, autoencoder.decode(latents["mu"]))
        sampled.add(batch, autoencoder.decode(latents["z"]))
        posterior.add(latents["mu"], latents["log_variance"])
        means.append(latents["mu"])
        labels.append(batch.labels)
    found = posterior.result()
    result = {
        "mse": errors.result().mse,
        "rmse_db": errors.result().rmse_db,
        "sampled_mse": sampled.result().mse,
        "kl": found.kl,
        "active_units": found.active_units,
    }
    if probes:
        training = training_sample(dataset, value_range)
        mu = autoencoder.encode(training.values)["mu"]
        result["probes"] = probed(mu, training.labels, np.concatenate(means), labels)
    return result


def probed(train: np.ndarray, train_labels: Any, features: np.ndarray, labels: list[Any]) -> dict[str, float]:
    """Accuracy of a linear probe for each label."""
    from vae_model.evaluation.probes import linear_probe

    accuracies = {}
    for name in train_labels:
        probe = linear_probe(train, train_labels[name], features, np.concatenate([each[name] for each in labels]))
        accuracies[name] = probe.accuracy
    return accuracies


def baselines(dataset_folder: Path) -> list[list[str]]:
    """Lines of the table for what learns nothing deep."""
    from pipelines.dataset.folder import open_dataset
    from vae_model.evaluation.baselines import LabelMeans, PrincipalComponents
    from vae_model.evaluation.batches import batches, training_sample
    from vae_model.evaluation.metrics import ErrorSums
    from vae_model.model_folder.value_range import ValueRange

    dataset = open_dataset(str(dataset_folder))
    value_range = ValueRange(-80.0, 0.0, per_record=True)
    training = training_sample(dataset, value_range)
    tested = list(batches(dataset.records(TEST), value_range))
    means, components = LabelMeans(training), PrincipalComponents(training.values, max(COMPONENTS))
    predictors: list[tuple[str, Callable[[Any], np.ndarray], int]] = [
        ("training mean", means.predict_mean, 0),
        ("mean of digit x speaker", means.predict_by_label, 0),
    ]
    predictors += [
        (f"PCA-{size}", lambda batch, size=size: components.reconstruct(batch.values, size), size)
        for size in COMPONENTS
    ]
    lines = []
    for name, predict, size in predictors:
        sums = ErrorSums()
        for batch in tested:
            sums.add(batch, predict(batch))
        accuracies = {}
        if size:
            scores = np.concatenate([components.scores(batch.values, size) for batch in tested])
            labels = [batch.labels for batch in tested]
            accuracies = probed(components.scores(training.values, size), training.labels, scores, labels)
        lines.append(line(name, {"mse": sums.result().mse, "rmse_db": sums.result().rmse_db, "probes": accuracies}))
    return lines


def line(name: str, found: dict[str, Any]) -> list[str]:
    """A line of the table."""

    def shown(key: str, form: str) -> str:
        return format(found[key], form) if key in found else ""

    probes = found.get("probes", {})
    numbers = [shown("mse", ".5f"), shown("sampled_mse", ".5f"), shown("rmse_db", ".2f"), shown("kl", ".0f")]
    accuracies = [f"{probes[label]:.3f}" if label in probes else "" for label in ("digit", "speaker")]
    return [name, *numbers, shown("active_units", "d"), *accuracies, shown("epochs", "d"), shown("seconds", ",.0f")]


def curve(folder: Path) -> str:
    """A training curve in a line: the reconstruction loss of some epochs, of a sampled z on the training takes."""
    from vae_model.model_folder.history import read_history

    history = read_history(folder)
    picked = sorted({0, 1, 3, 7, 15, 23, 31, len(history) - 1})
    shown = [history[index] for index in picked if index < len(history)]
    return ", ".join(f"{row['epoch']}: {row['reconstruction_loss']:.5f}" for row in shown)


def beside_components(recordings: Path, epochs: int) -> dict[str, tuple[float, float]]:
    """(held-out MSE of a preset's model, that of as many principal components) by preset, each on its own dataset.

    epochs: of those that take long; `tiny` is trained as the demo does.
    """
    from pipelines.dataset.folder import open_dataset
    from vae_model import evaluate_model, train_model
    from vae_model.demonstration import epochs_for
    from vae_model.model_folder.config import PRESETS
    from vae_model.sound.synthesis import write_sounds

    found = {}
    for preset, data in PRESET_DATA.items():
        folder = FOLDER / "presets" / preset
        dataset, model = folder / "dataset", folder / f"model-{epochs}"
        if not (dataset / "dataset.json").exists():
            note(f"preset {preset} on {data}")
            if preset == "tiny":
                write_sounds(folder / "sounds", 400, 0)
                preprocess(folder / "sounds", dataset, "--preset", preset)
            else:
                preprocess(recordings, dataset, "--preset", preset, *SPLIT[2:])
        opened = open_dataset(str(dataset))
        passes = epochs_for(opened.count(TRAIN)) if preset == "tiny" else epochs
        train_model(opened, model, preset=preset, epochs=passes, resume=model.exists())
        figures, size = evaluate_model(model, opened, split=TEST), PRESETS[preset].model.latent_space_dim
        found[preset] = (figures.errors["mse"], figures.baselines[f"pca_{size}"]["mse"])
    return found


def compared(presets: dict[str, tuple[float, float]]) -> list[list[str]]:
    """Lines of the table of presets."""
    return [[f"`{name}`", PRESET_DATA[name], *(f"{mse:.5f}" for mse in pair)] for name, pair in presets.items()]


def main() -> int:
    parser = options(__doc__, 3_000)
    parser.add_argument("--short-epochs", type=int, default=3, help="epochs of the rows that compare one setting")
    parser.add_argument("--preset-epochs", type=int, default=3, help="epochs of speech and default beside components")
    parser.add_argument("--only-long", action="store_true", help="leave the short rows out that are not trained yet")
    chosen = parser.parse_args()
    prepare()
    dataset = FOLDER / "fsdd"
    if not (dataset / "dataset.json").exists():
        preprocess(chosen.recordings, dataset, *SPLIT, *LABELS)
    report = Report("quality", "Training choices: held-out error", chosen.write)
    note("baselines")
    lines, curves = baselines(dataset), []
    for row in rows(chosen.short_epochs):
        if chosen.only_long and not row.long:
            continue
        found, folder = fitted(row, dataset)
        lines.append(line(row.name, found))
        if row.long:
            curves.append(f"{row.name.strip('*')}: {curve(folder)}")
            claims(report, found, 32 if "32" in row.name else 128)
    presets = beside_components(chosen.recordings, chosen.preset_epochs)
    for preset, (own, components) in presets.items():
        report.claim(
            f"held-out MSE of `{preset}` over that of components, {PRESET_DATA[preset]}", own / components, "at most", 1
        )
    header = ["", "MSE", "of a sampled z", "RMSE dB", "KL", "active units", "digit", "speaker", "epochs", "seconds"]
    report.say(
        "FSDD, takes 0-4 (300 recordings) held out, 2,700 to train on, normalised as `course`: each record to its own",
        "range. MSE of the decoded mean over all cells, in those units. digit, speaker: accuracy of linear probes on",
        f"mu. Short rows train for {chosen.short_epochs} epochs with one setting changed. Seconds are wall clock.",
        "",
        *table(header, lines),
        "",
        "Reconstruction loss (training takes, sampled z) by epoch:",
        "",
        *(f"- {each}" for each in curves),
        "",
        "Presets beside as many principal components as they have latents, each on a dataset of its own preset: `tiny`",
        f"as the demo trains it, the others for {chosen.preset_epochs} epochs.",
        "",
        *table(["preset", "data", "MSE", "of components"], compared(presets)),
    )
    return report.finish("tensorflow", "keras", "scikit-learn")


def claims(report: Report, found: dict[str, Any], dim: int) -> None:
    """The targets of a size of latent."""
    largest, units, accuracies = BOUNDS[dim]
    report.claim(f"held-out MSE, latent {dim}", found["mse"], "at most", largest)
    report.claim(f"active units, latent {dim}", found["active_units"], "at least", units)
    for label, least in accuracies.items():
        report.claim(f"linear probe of the {label}, latent {dim}", round(found["probes"][label], 3), "at least", least)


if __name__ == "__main__":
    raise SystemExit(main())

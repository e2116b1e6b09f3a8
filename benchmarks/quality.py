"""What each training choice is worth, on FSDD with takes 0-4 held out, beside predictors that learn nothing deep.

Three parts, each a section of the results. `rows`: short ones differ from the row that they name in one setting and
train for the same few epochs, long ones are the presets' own training. `curve`: the error against minutes. `presets`:
beside principal components. All is kept in .cache/benchmarks/quality, and rows go on where they were stopped, so the
script may be interrupted and run again; a curve that is interrupted begins anew. All but the presets' data are
normalised as the course does, record by record.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import CACHE, Report, note, options, preprocess, table
from quality_rows import COMMON, Row, rows

from vae_model.runtime import prepare

FOLDER = CACHE / "quality"
SPLIT = ["--preset", "course", "--split", "none", "--split-pattern", r"test=_[0-4]\.wav$"]
LABELS = ["--label-pattern", r"(?P<digit>\d)_(?P<speaker>[a-z]+)_\d+"]
TEST, TRAIN = "test", "train"
PRESET_DATA = {"tiny": "the demo's sounds", "speech": "FSDD", "default": "FSDD"}
"""What each preset but the course's is tried on, beside as many principal components as it has latents."""
COMPONENTS = (8, 32, 128)
BOUNDS = {  # latent_space_dim: largest MSE, least active units, least accuracy of the probes
    128: (0.00105, 64, {"digit": 0.957, "speaker": 0.993}),
    32: (0.0017, 16, {"digit": 0.903, "speaker": 0.983}),
}


CURVE_MINUTES, CURVE_BOUND = 6.0, 0.00105


def fitted(row: Row, dataset: Path) -> tuple[dict[str, Any], Path]:
    """(what the row's model comes to on the held-out takes, its folder), trained and measured unless it was before."""
    from vae_model.training.trainer import train_model

    model, train, folder = _settings(row)
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


def _settings(row: Row) -> tuple[Any, Any, Path]:
    """(the model's settings, the training's, the folder of both)."""
    from vae_model.model_folder.presets import PRESETS

    preset = PRESETS["default"]
    model, train = (_changed(config, COMMON | row.changes) for config in (preset.model, preset.train))
    settings = [dataclasses.asdict(model), dataclasses.asdict(train)]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    return model, train, FOLDER / digest


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


def curves(dataset_folder: Path, port_minutes: float) -> dict[str, list[dict[str, Any]]]:
    """Points of held-out error by what was fitted, each made unless it was before."""
    import error_curve

    from pipelines.dataset.folder import open_dataset

    dataset = open_dataset(str(dataset_folder))
    model, train, folder = _settings(Row("", {}))
    makers: dict[str, Callable[[], list[Any]]] = {
        "PCA-128": lambda: error_curve.of_components(dataset, 128),
        "**default**": lambda: error_curve.of_preset(dataset, folder, model, train),
        "the course's network, a plain port": lambda: error_curve.of_plain_port(dataset, port_minutes),
    }
    kept = FOLDER / "curves.json"
    points = json.loads(kept.read_text()) if kept.exists() else {}
    for name, make in makers.items():
        if name not in points:
            note(f"curve of {name}")
            if "default" in name:
                shutil.rmtree(folder, ignore_errors=True)  # the time of one that was interrupted is not known
            points[name] = [dataclasses.asdict(point) for point in make()]
            kept.write_text(json.dumps(points, indent=1))
    return points


def beside_components(recordings: Path, epochs: int) -> dict[str, tuple[float, float]]:
    """(held-out MSE of a preset's model, that of as many principal components) by preset, each on its own dataset.

    epochs: of those that take long; `tiny` is trained as the demo does.
    """
    from pipelines.dataset.folder import open_dataset
    from vae_model import evaluate_model, train_model
    from vae_model.demonstration import epochs_for
    from vae_model.model_folder.presets import PRESETS
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
        train_model(opened, model, preset=preset, epochs=passes, prior="none", resume=model.exists())
        figures, size = evaluate_model(model, opened, split=TEST), PRESETS[preset].model.latent_space_dim
        found[preset] = (figures.errors["mse"], figures.baselines[f"pca_{size}"]["mse"])
    return found


def compared(presets: dict[str, tuple[float, float]]) -> list[list[str]]:
    """Lines of the table of presets."""
    return [[f"`{name}`", PRESET_DATA[name], *(f"{mse:.5f}" for mse in pair)] for name, pair in presets.items()]


def main() -> int:
    parser = options(__doc__, 3_000)
    parser.add_argument("--part", choices=PARTS, help="one of the parts; unless given all of them")
    parser.add_argument("--short-epochs", type=int, default=3, help="epochs of the rows that compare one setting")
    parser.add_argument("--port-minutes", type=float, default=CURVE_MINUTES, help="of the plain port in the curve")
    parser.add_argument("--preset-epochs", type=int, default=3, help="epochs of speech and default beside components")
    parser.add_argument("--only-long", action="store_true", help="leave the short rows out that are not trained yet")
    chosen = parser.parse_args()
    prepare()
    dataset = FOLDER / "fsdd"
    if not (dataset / "dataset.json").exists():
        preprocess(chosen.recordings, dataset, *SPLIT, *LABELS)
    parts = [part for name, part in PARTS.items() if chosen.part in (None, name)]
    return max([part(chosen, dataset) for part in parts])


def write_curve(chosen: argparse.Namespace, dataset: Path) -> int:
    """The section of error against minutes."""
    report = Report("quality-curve", "Training: held-out error against minutes", chosen.write)
    points = curves(dataset, chosen.port_minutes)
    lines = [
        [name, f"{at['minutes']:.1f}", f"{at['core_minutes']:.1f}", str(at["epoch"]), f"{at['mse']:.5f}"]
        for name, found in points.items()
        for at in found
    ]
    report.say(
        "FSDD, takes 0-4 (300 recordings) held out, 2,700 to train on, normalised as `course`: MSE of decoded means.",
        "Minutes of wall clock and of CPU time, from the call of `train_model` on, without the measuring: reading,",
        "principal components and tracing count, imports (some ten seconds) do not. Before its learned prior.",
        "",
        *table(["", "minutes", "core-minutes", "epoch", "MSE"], lines),
    )
    reached = [at["core_minutes"] / 2 for at in points["**default**"] if round(at["mse"], 5) <= CURVE_BOUND]
    first = reached[0] if reached else math.inf
    report.claim(f"half the core-minutes to MSE {CURVE_BOUND}", first, "at most", CURVE_MINUTES)
    return report.finish("tensorflow", "keras")


def write_rows(chosen: argparse.Namespace, dataset: Path) -> int:
    """The section of training choices."""
    report = Report("quality", "Training choices: held-out error", chosen.write)
    note("baselines")
    lines = baselines(dataset)
    for row in rows(chosen.short_epochs):
        if chosen.only_long and not row.long:
            continue
        found, _ = fitted(row, dataset)
        lines.append(line(row.name, found))
        if row.long:
            claims(report, found, 32 if "32" in row.name else 128)
    header = ["", "MSE", "of a sampled z", "RMSE dB", "KL", "active units", "digit", "speaker", "epochs", "seconds"]
    report.say(
        "FSDD, takes 0-4 (300 recordings) held out, 2,700 to train on, normalised as `course`: each record to its own",
        "range. MSE of the decoded mean over all cells, in those units. digit, speaker: accuracy of linear probes on",
        "mu; of 300 recordings one is 0.003, the standard error of an accuracy of 0.95 is 0.013. Short rows train for",
        f"{chosen.short_epochs} epochs with one setting changed. Seconds are wall clock.",
        "",
        *table(header, lines),
    )
    return report.finish("tensorflow", "keras", "scikit-learn")


def write_presets(chosen: argparse.Namespace, dataset: Path) -> int:
    """The section of presets beside principal components, each on its own dataset."""
    report = Report("quality-presets", "Presets beside principal components", chosen.write)
    presets = beside_components(chosen.recordings, chosen.preset_epochs)
    for preset, (own, components) in presets.items():
        report.claim(
            f"held-out MSE of `{preset}` over that of components, {PRESET_DATA[preset]}", own / components, "at most", 1
        )
    report.say(
        "Held-out MSE beside that of as many principal components as the preset has latents, each on a dataset of its",
        f"own preset: `tiny` as the demo trains it, the others for {chosen.preset_epochs} epochs.",
        "",
        *table(["preset", "data", "MSE", "of components"], compared(presets)),
    )
    return report.finish("tensorflow", "keras", "scikit-learn")


PARTS = {"curve": write_curve, "rows": write_rows, "presets": write_presets}


def claims(report: Report, found: dict[str, Any], dim: int) -> None:
    """The targets of a size of latent."""
    largest, units, accuracies = BOUNDS[dim]
    report.claim(f"held-out MSE, latent {dim}", found["mse"], "at most", largest)
    report.claim(f"active units, latent {dim}", found["active_units"], "at least", units)
    for label, least in accuracies.items():
        report.claim(f"linear probe of the {label}, latent {dim}", round(found["probes"][label], 3), "at least", least)


if __name__ == "__main__":
    raise SystemExit(main())

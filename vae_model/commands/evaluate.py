"""The command `audio-vae evaluate`: a model's figures on a split of a dataset, beside those of simple predictors."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pipelines.config import TRAIN
from pipelines.flags import parse
from vae_model.commands.arguments import add_code, add_recordings
from vae_model.evaluation.figures import Figures, evaluate_model

_COLUMNS = ("mse", "rmse_db", "rmse_above_floor_db", "log_spectral_distance_db")
_NAMES = {"mean": "training mean", "mean_z": "the model, mean z", "sampled_z": "the model, sampled z"}
_BAR = 24


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae evaluate",
        description="Measure a model on sounds: reconstruction error beside simple predictors', KL, active units, what "
        "its latents tell of labels, how close its sounds are to real ones, and what is left of onsets. "
        "docs/metrics.md says what each is.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("dataset", metavar="DATASET", help="dataset folder made with the model's settings")
    result.add_argument("--split", metavar="S", help="which split (default: test if there is one, else validation)")
    result.add_argument("--seed", type=int, default=0, metavar="N", help="of sampled latents and new sounds (0)")
    add_recordings(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    add_code(result, feature=False)
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    figures = evaluate_model(
        arguments.model,
        arguments.dataset,
        split=arguments.split,
        seed=arguments.seed,
        recordings=arguments.recordings,
    )
    print(json.dumps(figures.to_dict()) if arguments.json else text(figures))
    return 0


def text(figures: Figures) -> str:
    """The figures for people, on one screen."""
    lines = [f"{figures.num_examples:,} examples of split {figures.split} of {figures.dataset}", ""]
    lines += _error_lines(figures)
    if figures.posterior is not None:
        lines += ["", *_posterior_lines(figures.posterior)]
    if figures.probes is not None and figures.probes["labels"]:
        lines += ["", *_probe_lines(figures.probes["labels"], figures.posterior)]
    lines += ["", *_frechet_lines(figures.frechet)]
    if figures.new_sounds is not None:
        lines += ["", *_new_sound_lines(figures.new_sounds)]
    lines += _onset_lines(figures.onsets)
    return "\n".join(lines)


def _error_lines(figures: Figures) -> list[str]:
    """Rows of predictors, the worst first."""
    rows = {name: errors for name, errors in figures.reconstruction.items() if errors is not None}
    baselines = figures.baselines
    if baselines is not None:
        rows |= {name: errors for name, errors in baselines.items() if isinstance(errors, dict)}
        groups = f"mean of each {' x '.join(baselines['labels'])}"
    lines = [f"{'reconstruction error':<30}{'MSE':>10}{'RMSE dB':>10}{'sound dB':>10}{'LSD dB':>10}"]
    for name, errors in sorted(rows.items(), key=lambda row: -row[1]["mse"]):
        label = groups if name == "label_mean" else _NAMES.get(name, name.upper().replace("_", "-"))
        label += " *" if name == figures.decode else ""
        cells = ["-" if errors[column] is None else f"{errors[column]:.2f}" for column in _COLUMNS[1:]]
        lines.append(f"  {label:<28}{errors['mse']:>10.5f}" + "".join(f"{cell:>10}" for cell in cells))
    lines.append("  * as the model reconstructs; sound dB: cells above their record's floor")
    if baselines is None:
        lines.append("  no baselines and probes: the dataset has no split train")
    elif figures.split == TRAIN:
        lines.append("  of sounds that the baselines, and perhaps the model, were fitted on")
    return lines


def _posterior_lines(posterior: dict[str, Any]) -> list[str]:
    """Active units, KL, and how the KL is spread over the dimensions."""
    per_dimension = sorted(posterior["kl_per_dimension"], reverse=True)
    active, dim = posterior["active_units"], posterior["latent_space_dim"]
    lines = [f"{'latents':<30}{active} of {dim} active, KL {posterior['kl']:.1f} nats"]
    quantiles = {"largest KL": 0, "median": (dim - 1) // 2, "smallest": dim - 1}
    for name, index in quantiles.items():
        value = per_dimension[index]
        bar = "#" * round(_BAR * max(value, 0.0) / max(per_dimension[0], 1e-9))
        lines.append(f"  {name:<28}{value:>10.3f} {bar}")
    return lines


def _probe_lines(labels: dict[str, Any], posterior: dict[str, Any] | None) -> list[str]:
    latents = "mu" if posterior is not None else "z"
    lines = [f"{'linear probe, accuracy':<30}{latents:>10}{'PCA':>10}{'most freq.':>12}{'classes':>9}"]
    for name, probes in labels.items():
        model, pca = probes["model"], probes.get("pca")
        if model is None:
            lines.append(f"  {name:<28}{'-':>10}  nothing, or too much, to tell apart")
            continue
        of_pca = "-" if pca is None else f"{pca['accuracy']:.3f}"
        lines.append(
            f"  {name:<28}{model['accuracy']:>10.3f}{of_pca:>10}{model['majority']:>12.3f}{model['num_classes']:>9}"
        )
    return lines


def _frechet_lines(frechet: dict[str, Any]) -> list[str]:
    lines = [f"{'Fréchet distance, log-mel':<30}{'dB²':>10}"]
    rows = {"training sounds (the floor)": "train", "reconstructions": "reconstruction", "new sounds": "generated"}
    for label, name in rows.items():
        if frechet[name] is not None:
            lines.append(f"  {label:<28}{frechet[name]:>10.1f}")
    return lines


def _new_sound_lines(found: dict[str, Any]) -> list[str]:
    """Crowds of sounds as rows, the real ones first."""
    crowds = {"real": "held-out sounds", "reconstruction": "reconstructions"}
    crowds |= {"learned": "learned prior", "gaussian": "Gaussian"}
    title = f"new sounds, {found['num']:,} of each"
    lines = [f"{title:<30}{'Fréchet':>10}{'precision':>10}{'recall':>10}{'nearest':>10}"]
    known = {name: label for name, label in crowds.items() if name in found}
    for name, label in known.items():
        cells = f"{found[name]['frechet']:>10.1f}{found[name]['precision']:>10.2f}{found[name]['recall']:>10.2f}"
        lines.append(f"  {label:<28}{cells}{found[name]['nearest_mse']:>10.5f}")
    for label, real in found["real"]["labels"].items():
        lines.append(f"{'by their ' + label:<30}{'accuracy':>10}{'recognised':>12}{'inception score':>17}")
        for name, crowd in known.items():
            each = found[name]["labels"][label]
            right = "-" if each["accuracy"] is None else f"{each['accuracy']:.3f}"
            share = each["inception_score"] / real["inception_score"]
            score = f"{each['inception_score']:.2f} ({share:.0%})"
            lines.append(f"  {crowd:<28}{right:>10}{each['recognised']:>12.2f}{score:>17}")
    if found["copies"]:
        lines.append(
            f"warning: new sounds are copies: they are {found['nearest_ratio']:.2f} as far from the nearest training "
            "sound as reconstructions of held-out ones are; with few sounds, fewer --prior-epochs help"
        )
    return lines


def _onset_lines(found: dict[str, Any]) -> list[str]:
    """Rows of what is heard; where nothing is, why."""
    if found["why"] is not None:
        return [f"{'onsets':<30}not measured: {found['why']}"]
    title = f"onsets, {found['num']} in {found['num_heard']} sounds"
    lines = ["", f"{title:<30}{'before dB':>10}{'change':>10}{'attack ms':>10}{'peak dB':>10}"]
    rows = {"original": "original", "spectrogram": "true spectrogram", "reconstruction": "reconstruction"}
    for name, label in rows.items():
        row = found[name]
        changes = [f"{row[key]:+.1f}" if key in row else "-" for key in ("before_change_db", "peak_change_db")]
        lines.append(f"  {label:<28}{row['before_db']:>10.1f}{changes[0]:>10}{row['attack_ms']:>10.1f}{changes[1]:>10}")
    return lines


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.evaluate")

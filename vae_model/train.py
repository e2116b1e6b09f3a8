"""The command `audio-vae train`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
from typing import Any

from pipelines.dataset import open_dataset
from vae_model.config import KINDS, PRESETS, ModelConfig, Preset, TrainConfig


def parser() -> argparse.ArgumentParser:
    """The command's arguments. An option that is not given is None: it comes from the preset or the run resumed."""
    result = argparse.ArgumentParser(
        prog="audio-vae train",
        description="Train a model on a dataset. MODEL then holds model.keras, bundle.json, checkpoints/, tensorboard/ "
        "and history.csv. Ctrl-C saves; --resume goes on.",
    )
    result.add_argument("dataset", metavar="DATASET", help="dataset folder that `audio-vae preprocess` wrote")
    result.add_argument("--output", required=True, metavar="MODEL", help="folder for the model; new or empty")
    result.add_argument("--resume", action="store_true", help="go on with the run in MODEL, or begin if there is none")
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    model = result.add_argument_group("what is trained")
    model.add_argument(
        "--preset", choices=list(PRESETS), help="settings that the options below change (default: default)"
    )
    model.add_argument("--model", dest="kind", choices=KINDS, help="vae, or autoencoder for a deterministic bottleneck")
    model.add_argument("--latent-space-dim", type=int, metavar="N", help="size of the latent")
    model.add_argument(
        "--reconstruction-weight", type=float, metavar="W", help="reconstruction loss x W + KL; VAE only"
    )
    how = result.add_argument_group("how it is trained")
    how.add_argument("--epochs", type=int, metavar="N", help="passes over the training records")
    how.add_argument("--batch-size", type=int, metavar="N", help="records a step")
    how.add_argument("--learning-rate", type=float, metavar="R", help="Adam's step size")
    how.add_argument(
        "--patience", type=int, metavar="N", help="stop after N epochs without a lower validation loss; 0: never"
    )
    how.add_argument("--seed", type=int, metavar="N", help="makes a run repeatable")
    how.add_argument("--cache-mb", type=int, metavar="N", help="keep splits of up to N MB in memory")
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parser().parse_args(argv)
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    preset = changed(PRESETS[arguments.preset or "default"], given)
    open_dataset(arguments.dataset)  # these two first: a mistake shows before TensorFlow's seconds of loading
    from vae_model.runtime import prepare

    prepare()
    from vae_model.trainer import saved_settings, train_model

    if arguments.resume and arguments.preset is None and (saved := saved_settings(arguments.output)):
        preset = changed(Preset(*saved), given)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends a job saves it, as Ctrl-C does
    try:
        result = train_model(arguments.dataset, arguments.output, preset.model, preset.train, resume=arguments.resume)
    finally:
        signal.signal(signal.SIGTERM, previous)
    _report(dataclasses.asdict(result), arguments.json)
    return 0


def changed(preset: Preset, given: dict[str, Any]) -> Preset:
    """The preset with the settings in `given`, by field name; other keys are passed over."""

    def replace(config: Any) -> Any:
        names = {field.name for field in dataclasses.fields(config)}
        return dataclasses.replace(config, **{name: value for name, value in given.items() if name in names})

    model: ModelConfig = replace(preset.model)
    train: TrainConfig = replace(preset.train)
    return Preset(model, train)


def _report(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    metrics = result["metrics"]
    split, prefix = ("validation", "val_") if "val_loss" in metrics else ("training", "")
    terms = [name for name in ("loss", "reconstruction_loss", "kl_loss") if prefix + name in metrics]
    losses = ", ".join(f"{name} {metrics[prefix + name]:.5g}" for name in terms)
    print(f"{result['folder']}: {result['epochs']} epochs in {result['seconds']:.0f} s")
    print(f"kept is epoch {result['best_epoch']}, {split} {losses}")

"""The command `audio-vae train`."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from pipelines.console.terminal import terminable
from pipelines.dataset.folder import open_dataset
from pipelines.flags import add_settings, given, parse, preset_named
from pipelines.settings import with_values
from pipelines.settings_file import read_settings
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import (
    DEFAULT,
    FITTING,
    LOSS,
    OUTPUT,
    PRESET_KEY,
    PRESETS,
    SPEED,
    TRAINED,
    Preset,
    file_settings,
)

GROUPS = (TRAINED, LOSS, FITTING, SPEED, OUTPUT)


def parser(preset: str = DEFAULT) -> argparse.ArgumentParser:
    """The command's arguments; the help shows the values of the preset.

    An option that is not given is None: it comes from --config, the preset or the run resumed.
    """
    result = argparse.ArgumentParser(
        prog="audio-vae train",
        usage="audio-vae train DATASET --output MODEL [options]",
        description="Train a model on a dataset. MODEL then holds model.keras, bundle.json, config.yaml, checkpoints/, "
        "tensorboard/ and history.csv. Ctrl-C saves; --resume goes on. Settings come from the preset, then from "
        f"--config, then from the options below; the defaults shown are those of preset {preset}.",
    )
    result.add_argument("dataset", metavar="DATASET", help="dataset folder that `audio-vae preprocess` wrote")
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    places = {title: result.add_argument_group(title) for title in GROUPS}
    trained, output = places[TRAINED], places[OUTPUT]
    trained.add_argument("--preset", choices=list(PRESETS), help=f"settings to begin with (default: {DEFAULT})")
    trained.add_argument("--config", metavar="FILE", help="YAML file of settings, such as another model's config.yaml")
    output.add_argument("--output", required=True, metavar="MODEL", help="folder for the model; new or empty")
    output.add_argument("--resume", action="store_true", help="go on with the run in MODEL, or begin if there is none")
    trained.add_argument(
        "--from",
        dest="start",
        metavar="MODEL",
        help="begin at this model's weights, with its settings and value range; its architecture stays",
    )
    chosen = PRESETS[preset]
    add_settings(result, (chosen.model, chosen.train), places)
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(preset_named(argv, PRESETS, DEFAULT)), argv)
    file = read_settings(arguments.config) if arguments.config else {}
    preset = settings_of(arguments, file)
    open_dataset(arguments.dataset)  # these first: a mistake shows before TensorFlow's seconds of loading
    origin = Bundle.load(arguments.start) if arguments.start else None
    base = Preset(origin.model, origin.train) if origin else None
    from vae_model.runtime import prepare

    prepare()
    from vae_model.training.trainer import saved_settings, train_model

    if not arguments.preset and PRESET_KEY not in file:
        saved = saved_settings(arguments.output) if arguments.resume else None
        preset = settings_of(arguments, file, Preset(*saved) if saved else base)
    with terminable():  # what ends a job saves it, as Ctrl-C does
        result = train_model(
            *(arguments.dataset, arguments.output, preset.model, preset.train),
            resume=arguments.resume,
            start=arguments.start,
        )
    _report(dataclasses.asdict(result), arguments.json)
    return 0


def settings_of(arguments: argparse.Namespace, file: Mapping[str, Any], base: Preset | None = None) -> Preset:
    """The settings of the preset, or of `base`, with those of the file over them, and those of the flags over all."""
    configs = file_settings(
        file, arguments.config or "", base or (PRESETS[arguments.preset] if arguments.preset else None)
    )
    return Preset(*with_values(configs, given(arguments, configs)))


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

"""The command `audio-vae train`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from typing import Any

from pipelines.console.counts import counted
from pipelines.flags import add_settings, given, parse, preset_named
from vae_model.model_folder.config import FITTING, LOSS, NEW_SOUNDS, OUTPUT, SPEED, TRAINED
from vae_model.model_folder.presets import PRESETS
from vae_model.model_folder.settings_of_file import DEFAULT
from vae_model.training.run_state import Training
from vae_model.training.trainer import train_model

GROUPS = (TRAINED, LOSS, FITTING, SPEED, NEW_SOUNDS, OUTPUT)


def parser(preset: str = DEFAULT) -> argparse.ArgumentParser:
    """The command's arguments; the help shows the values of the preset.

    An option that is not given is None: it comes from --config, the preset or the run resumed.
    """
    result = argparse.ArgumentParser(
        prog="audio-vae train",
        usage="audio-vae train DATASET --output MODEL [options]",
        description="Train a model on a dataset. MODEL then holds model.keras, prior.keras, bundle.json, config.yaml, "
        "checkpoints/, tensorboard/ and history.csv. Ctrl-C saves; --resume goes on. Settings come from the preset, "
        f"then from --config, then from the options below; the defaults shown are those of preset {preset}.",
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
    began = time.monotonic()
    arguments = parse(parser(preset_named(argv, PRESETS, DEFAULT)), argv)
    done = train_model(
        arguments.dataset,
        arguments.output,
        preset=arguments.preset,
        config=arguments.config,
        resume=arguments.resume,
        start=arguments.start,
        **given_settings(arguments),
    )
    print(json.dumps(dataclasses.asdict(done)) if arguments.json else _text(done, time.monotonic() - began))
    return 0


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as options."""
    chosen = PRESETS[DEFAULT]
    return given(arguments, (chosen.model, chosen.train))


def _text(done: Training, seconds: float) -> str:
    """What a run came to, for people. seconds: that the command took."""
    metrics = done.metrics
    split, prefix = ("validation", "val_") if "val_loss" in metrics else ("training", "")
    terms = [name for name in ("loss", "reconstruction_loss", "kl_loss") if prefix + name in metrics]
    losses = ", ".join(f"{name} {metrics[prefix + name]:.5g}" for name in terms)
    kept = f"epoch {done.best_epoch}" if done.best_epoch else "the model that it started from"
    times = f"trained in {done.seconds:.0f} s; this command took {seconds:.0f} s"
    return f"{done.folder}: {counted(done.epochs, 'epoch')} {times}\nkept is {kept}, {split} {losses}"


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.train")

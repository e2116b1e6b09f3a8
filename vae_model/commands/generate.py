"""The command `audio-vae generate`: new sounds from a model."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.config import TRAIN
from vae_model.commands.arguments import add_normalise, add_phase, add_seed
from vae_model.sound.making import FITTED, ORIGINS, generate


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae generate",
        description="Write new sounds: latents drawn as --from says, decoded. Each lasts one segment of the model.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("--count", required=True, type=int, metavar="N", help="how many sounds")
    result.add_argument("--output", required=True, metavar="DIR", help="folder for generated-00001.wav, ...")
    result.add_argument(
        "--from",
        dest="origin",
        choices=ORIGINS,
        default=FITTED,
        help="where latents come from: the Gaussian that fits the training latents (default); the prior N(0, I) of a "
        "VAE; the posteriors of sounds of a dataset",
    )
    result.add_argument("--dataset", metavar="DATASET", help="of --from dataset; made with the model's settings")
    result.add_argument("--split", metavar="S", help=f"which of its splits (default: {TRAIN})")
    result.add_argument(
        "--label", action="append", type=_label, metavar="NAME=VALUE", help="only sounds of this label; repeatable"
    )
    add_seed(result)
    add_phase(result)
    add_normalise(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} must look like digit=3")
    return name, value


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parser().parse_args(argv)
    done = generate(
        arguments.model,
        arguments.output,
        arguments.count,
        origin=arguments.origin,
        dataset=arguments.dataset,
        split=arguments.split,
        labels=None if arguments.label is None else dict(arguments.label),
        seed=arguments.seed,
        phase=arguments.phase,
        normalise=arguments.normalise,
    )
    print(f"seed {done.seed}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(done.to_dict()))
    return 0


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.generate")

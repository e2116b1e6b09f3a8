"""The command `audio-vae generate`: new sounds from a model."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.config import TRAIN
from pipelines.flags import parse
from vae_model.commands.arguments import add_code, add_normalise, add_phase, add_prior, add_seed, labels_of
from vae_model.new_sounds.generating import ORIGINS, generate


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae generate",
        description="Write new sounds: latents drawn as --from says, decoded.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("--count", type=int, default=1, metavar="N", help="how many sounds (1)")
    result.add_argument("--output", required=True, metavar="DIR", help="folder for generated-00001.wav, ...")
    result.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="how long each sound is: over a segment, of segments that follow one another (default: one segment)",
    )
    result.add_argument(
        "--from",
        dest="origin",
        metavar="|".join(ORIGINS),
        help="where latents come from: the learned prior (default, where there is one); the Gaussian that fits "
        "the training latents; N(0, I), of a VAE; the posteriors of sounds of a dataset",
    )
    add_prior(result, "only sounds of this label; what is not named is as often as in the data")
    result.add_argument("--dataset", metavar="DATASET", help="of --from dataset; made with the model's settings")
    result.add_argument("--split", metavar="S", help=f"which of its splits (default: {TRAIN})")
    add_seed(result)
    add_phase(result)
    add_normalise(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    add_code(result)
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    done = generate(
        arguments.model,
        arguments.output,
        arguments.count,
        origin=arguments.origin,
        labels=labels_of(arguments),
        seconds=arguments.seconds,
        guidance=arguments.guidance,
        temperature=arguments.temperature,
        dataset=arguments.dataset,
        split=arguments.split,
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

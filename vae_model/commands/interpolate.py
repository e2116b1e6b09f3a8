"""The command `audio-vae interpolate`: from one sound to another through a model's latents."""

from __future__ import annotations

import argparse
import json

from pipelines.flags import parse
from vae_model.commands.arguments import add_code, add_normalise, add_phase
from vae_model.sound.making import interpolate


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae interpolate",
        description="Write sounds on the way from one to another: the latents of A's and B's first segments, and steps "
        "in between, decoded.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("a", metavar="A", help="audio file where the way begins")
    result.add_argument("b", metavar="B", help="audio file where it ends")
    result.add_argument("--steps", type=int, default=8, metavar="N", help="how many sounds, both ends included (8)")
    result.add_argument("--output", required=True, metavar="DIR", help="folder for interpolated-00001.wav, ...")
    result.add_argument(
        "--method",
        choices=("flow", "slerp", "lerp"),
        help="through the learned prior, along an arc around 0, or a straight line (default: flow where a prior is "
        "learned, else slerp for a VAE, lerp for an autoencoder)",
    )
    add_phase(result)
    add_normalise(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    add_code(result)
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError, SourceError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    done = interpolate(
        arguments.model,
        arguments.a,
        arguments.b,
        arguments.output,
        steps=arguments.steps,
        method=arguments.method,
        phase=arguments.phase,
        normalise=arguments.normalise,
    )
    if arguments.json:
        print(json.dumps(done.to_dict()))
    return 0


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.interpolate")

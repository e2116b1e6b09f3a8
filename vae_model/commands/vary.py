"""The command `audio-vae vary`: sounds like a recording."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.flags import parse
from vae_model.commands.arguments import add_code, add_normalise, add_phase, add_prior, add_seed, labels_of
from vae_model.new_sounds.going_on import vary


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae vary",
        description="Write variations of the first segment of a recording: its latent goes part of the way to noise, "
        "and the learned prior leads it back. Needs a model with a learned prior.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("audio", metavar="AUDIO", help="the recording")
    result.add_argument(
        "--amount", type=float, default=0.3, metavar="X", help="how far from it, above 0; at 1 nothing is left (0.3)"
    )
    result.add_argument("--count", type=int, default=8, metavar="N", help="how many (8)")
    result.add_argument("--output", required=True, metavar="DIR", help="folder for varied-00001.wav, ...")
    add_prior(result, "what the variations are to be")
    add_seed(result)
    add_phase(result)
    add_normalise(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    add_code(result)
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError, SourceError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    done = vary(
        arguments.model,
        arguments.audio,
        arguments.output,
        amount=arguments.amount,
        count=arguments.count,
        labels=labels_of(arguments),
        guidance=arguments.guidance,
        temperature=arguments.temperature,
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

    run_module("vae_model.commands.vary")

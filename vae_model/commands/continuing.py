"""The command `audio-vae continue`: a recording goes on after its end."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.flags import parse
from vae_model.commands.arguments import add_code, add_normalise, add_phase, add_prior, add_seed, labels_of
from vae_model.new_sounds.going_on import continue_sound


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae continue",
        description="Write a recording that goes on after its end, in segments that follow one another. Needs a model "
        "with a learned prior, of a dataset with files longer than a segment.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("audio", metavar="AUDIO", help="the recording, of any length")
    result.add_argument("--seconds", required=True, type=float, metavar="S", help="how long it goes on")
    result.add_argument("--count", type=int, default=1, metavar="N", help="ways to go on (1)")
    result.add_argument("--output", required=True, metavar="DIR", help="folder for continued-00001.wav, ...")
    add_prior(result, "what the recording is")
    add_seed(result)
    add_phase(result)
    add_normalise(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    add_code(result)
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError, SourceError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    done = continue_sound(
        arguments.model,
        arguments.audio,
        arguments.output,
        arguments.seconds,
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

    run_module("vae_model.commands.continuing")

"""The command `audio-vae decode`: latents in a Parquet file to sound."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.flags import parse
from vae_model.commands.arguments import add_code, add_normalise, add_phase
from vae_model.sound.making import decode


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae decode",
        description="Write a sound of one segment for each row of a Parquet file, as `audio-vae encode` or any other "
        "program writes it: a column of lists with as many numbers as the model's latents have.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("parquet", metavar="PARQUET", help="file with a row a sound")
    result.add_argument("--output", required=True, metavar="DIR", help="folder for decoded-00001.wav, ...")
    result.add_argument("--column", metavar="NAME", help="the column to decode (default: mu, of an autoencoder z)")
    add_phase(result)
    add_normalise(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    add_code(result)
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    done = decode(
        arguments.model,
        arguments.parquet,
        arguments.output,
        column=arguments.column,
        phase=arguments.phase,
        normalise=arguments.normalise,
    )
    if done.warning is not None:
        print(f"warning: {done.warning}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(done.to_dict()))
    return 0


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.decode")

"""The command `audio-vae export`: a model that takes waveforms, for programs without this package."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from pipelines.flags import parse
from vae_model.commands.arguments import add_code
from vae_model.exporting import DECODER_FILE, ENCODER_FILE, export_model


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae export",
        description="Write a TensorFlow SavedModel that needs nothing of this package: waveforms in, latents and "
        "spectrograms out. docs/export.md shows how it is used.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("--output", required=True, metavar="DIR", help="new or empty folder for the SavedModel")
    result.add_argument(
        "--onnx", action="store_true", help=f"also {ENCODER_FILE} and {DECODER_FILE} (needs the extra onnx)"
    )
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    add_code(result, feature=False)
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    export = export_model(arguments.model, arguments.output, onnx=arguments.onnx)
    print(f"{export.output}: signatures {', '.join(export.signatures)}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(export)))
    return 0


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.export")

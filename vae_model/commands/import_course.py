"""The command `audio-vae import-course`: a model that the course's `save` wrote, as a MODEL folder."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.flags import parse
from vae_model.importing import PARAMETERS_FILE, WEIGHTS_FILE, import_course
from vae_model.model_folder.config import to_dict


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae import-course",
        description="Make a MODEL folder of one that the course's save wrote. docs/from-the-course.md",
    )
    files = f"folder with {PARAMETERS_FILE}, which is read as data, and {WEIGHTS_FILE}"
    result.add_argument("folder", metavar="MODEL_FOLDER", help=files)
    result.add_argument("--output", required=True, metavar="MODEL", help="new or empty folder for the model")
    result.add_argument("--sample-rate", type=int, metavar="HZ", help="of its sounds (default: 22050)")
    result.add_argument("--hop-length", type=int, metavar="SAMPLES", help="between frames (default: half a frame)")
    result.add_argument("--min-max", metavar="FILE", help="table of its features' ranges, for the level of new sounds")
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    done = import_course(
        arguments.folder,
        arguments.output,
        sample_rate=arguments.sample_rate,
        hop_length=arguments.hop_length,
        min_max=arguments.min_max,
    )
    made = f"taken to be of sounds at {done.sample_rate} Hz, hop_length={done.hop_length}"
    print(f"{done.output}: {done.model.kind} with {done.model.latent_space_dim} latents, {made}", file=sys.stderr)
    if arguments.json:
        values = {"output": done.output, "model": to_dict(done.model)}
        print(json.dumps(values | {"sample_rate": done.sample_rate, "hop_length": done.hop_length}))
    return 0


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.import_course")

"""`audio-vae import-npy`: the course's `.npy` files and the table of their ranges become a dataset."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.console.names import printable
from pipelines.flags import parse

_SETTINGS = ("split", "label_pattern", "dtype", "sample_rate", "hop_length")


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae import-npy",
        description="Make a dataset of the course's .npy files and the table of their ranges. docs/from-the-course.md",
    )
    result.add_argument("features", metavar="FEATURES", help="folder of .npy files, each normalised to [0, 1]")
    result.add_argument("min_max", metavar="MIN_MAX", help="min_max_values.pkl, read as data, or min_max_values.json")
    result.add_argument("--output", required=True, metavar="DATASET", help="new folder for the dataset")
    result.add_argument("--sample-rate", type=int, metavar="HZ", help="of the sounds (default: 22050)")
    result.add_argument("--hop-length", type=int, metavar="SAMPLES", help="between frames (default: half a frame)")
    result.add_argument("--split", metavar="NAME=FRACTION,…", help="as of preprocess; none puts all into train")
    result.add_argument("--label-pattern", metavar="REGEX", help="named groups in a feature's path are labels")
    result.add_argument("--dtype", metavar="DTYPE", help="how a record stores its array (default: float32)")
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    from pipelines.importing import import_npy

    given = {name: value for name, value in vars(arguments).items() if name in _SETTINGS and value is not None}
    done = import_npy(arguments.features, arguments.min_max, arguments.output, **given)
    for name, reason in list(done.failed.items())[:10]:
        print(f"failed: {printable(name)}: {printable(reason)}", file=sys.stderr)
    audio, hop = done.dataset.config.audio, done.dataset.config.spectrogram.hop_length
    made = f"taken to be of sounds at {audio.sample_rate} Hz, hop_length={hop}"
    print(f"{done.dataset.uri}: {done.written:,} records, {len(done.failed):,} failed; {made}", file=sys.stderr)
    if arguments.json:
        values = {"dataset": done.dataset.uri, "written": done.written, "failed": done.failed}
        print(json.dumps(values | {"sample_rate": audio.sample_rate, "hop_length": hop}))
    return 0


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("pipelines.commands.import_npy")

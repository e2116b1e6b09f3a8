"""The command `audio-vae browse`: a page on which to see and hear what is in a dataset. Needs no model."""

from __future__ import annotations

import argparse
import json

from pipelines.dataset.folder import open_dataset
from pipelines.errors import require
from vae_model.model_folder.outputs import output_file, shown
from vae_model.pages.dataset_page import dataset_page
from vae_model.report import write_page


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae browse",
        description="Write a page, one HTML file that needs no network, on which to see and hear a dataset: random, "
        "loudest, quietest, clipped and shortest recordings, and the failures with their reasons. The sounds are made "
        "from the records.",
    )
    result.add_argument("dataset", metavar="DATASET", help="dataset folder")
    result.add_argument("--output", default="browse.html", metavar="HTML", help="the file to write (browse.html)")
    result.add_argument("--count", type=int, default=8, metavar="N", help="recordings of each kind, up to 50 (8)")
    result.add_argument("--seed", type=int, default=0, metavar="N", help="of the random ones (0)")
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parser().parse_args(argv)
    require(0 < arguments.count <= 50, "--count", arguments.count, "from 1 to 50")
    require(0 <= arguments.seed < 2**31, "--seed", arguments.seed, "at least 0 and below 2**31")
    with output_file(arguments.output) as path:
        dataset = open_dataset(arguments.dataset)
        page = dataset_page(dataset, arguments.count, arguments.seed)
        num_bytes = write_page(page, path).stat().st_size
    if arguments.json:
        num_sounds = sum(len(section.sounds) for section in page.sections)
        print(json.dumps({"page": shown(arguments.output), "num_bytes": num_bytes, "num_sounds": num_sounds}))
    else:
        print(shown(arguments.output))
    return 0

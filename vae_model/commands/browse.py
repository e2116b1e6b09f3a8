"""The command `audio-vae browse`: a page on which to see and hear what is in a dataset. Needs no model."""

from __future__ import annotations

import argparse
import dataclasses
import json

from pipelines.flags import parse
from vae_model.commands.arguments import add_code, add_recordings
from vae_model.pages.dataset_page import write_dataset_page


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
    add_recordings(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    add_code(result, model=False)
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    page = write_dataset_page(
        arguments.dataset,
        arguments.output,
        count=arguments.count,
        seed=arguments.seed,
        recordings=arguments.recordings,
    )
    print(json.dumps(dataclasses.asdict(page)) if arguments.json else page.page)
    return 0


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.browse")

"""The command `audio-vae report`: a page on which to see and hear what a model learned."""

from __future__ import annotations

import argparse
import dataclasses
import json

from pipelines.flags import parse
from vae_model.commands.arguments import add_code, add_recordings
from vae_model.pages.report import write_report


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae report",
        description="Write a page, one HTML file that needs no network, on which to see and hear what a model learned: "
        "originals and reconstructions, the worst of them, new sounds, an interpolation, a map of the latents, curves "
        "and figures. It holds up to 250 sounds and is under 30 MB.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("dataset", metavar="DATASET", help="dataset folder made with the model's settings")
    result.add_argument("--output", required=True, metavar="HTML", help="the file to write")
    result.add_argument("--split", metavar="S", help="which split (default: test if there is one, else validation)")
    result.add_argument("--seed", type=int, default=0, metavar="N", help="of new sounds and the map (0)")
    add_recordings(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    add_code(result)
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    report = write_report(
        arguments.model,
        arguments.dataset,
        arguments.output,
        split=arguments.split,
        seed=arguments.seed,
        recordings=arguments.recordings,
    )
    print(json.dumps(dataclasses.asdict(report)) if arguments.json else report.page)
    return 0


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.report")

"""The command `audio-vae demo`: sounds, dataset, model and a page to hear it on, by the commands that a user has."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex

from pipelines.config import TRAIN
from pipelines.flags import parse
from vae_model.demonstration import Demonstration, StepFailed, make_demo


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae demo",
        description="Make a few hundred short sounds, build a dataset of them, train a small VAE and write a page on "
        "which to see and hear what it learned. Takes two to three minutes.",
    )
    result.add_argument("--audio", metavar="FOLDER", help="use this folder of recordings instead")
    result.add_argument("--count", type=int, metavar="N", default=400, help="sounds to make (default: 400)")
    result.add_argument("--output", metavar="DIR", default="demo-out", help="folder for everything (default: demo-out)")
    result.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the sounds (default: what a minute allows, a few of music)"
    )
    result.add_argument("--workers", type=int, metavar="N", help="cores that preprocess (default: all)")
    result.add_argument("--seed", type=int, metavar="N", default=0, help="makes the demo repeatable (default: 0)")
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    try:
        demo = make_demo(
            arguments.output,
            audio=arguments.audio,
            count=arguments.count,
            epochs=arguments.epochs,
            workers=arguments.workers,
            seed=arguments.seed,
        )
    except StepFailed as failure:
        return failure.exit_status
    print(json.dumps(dataclasses.asdict(demo)) if arguments.json else text(demo))
    return 0


def text(demo: Demonstration) -> str:
    """The summary for people; its last line is the page's path."""
    whose = "sounds it was trained on" if demo.split == TRAIN else "held-out sounds"
    ratio = "" if demo.ratio is None else f" ({demo.ratio:.0%} of it)"
    return "\n".join(
        [
            f"Mean squared error on {demo.num_records} {whose}, spectrograms in [0, 1]:",
            f"  mean training spectrogram  {demo.mean_spectrogram_mse:.5f}",
            f"  reconstruction             {demo.reconstruction_mse:.5f}{ratio}",
            f"Done in {demo.seconds:.0f} s. To play on it: audio-vae app {shlex.quote(demo.model)}",
            "Open this page to hear it:",
            demo.page,
        ]
    )


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.demo")

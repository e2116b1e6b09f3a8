"""The command `audio-vae rerun`: preprocess, train from the last model, evaluate, promote, report, as far as is new."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from pipelines.console.counts import moved_and_duplicates
from pipelines.flags import parse
from vae_model.rerun import running
from vae_model.rerun.config import read_config
from vae_model.rerun.stages import STAGES

if TYPE_CHECKING:
    from pipelines.update import News


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae rerun",
        description="Bring a dataset up to date with new audio, train from the last model if there is enough of it, "
        "compare both on held-out records, promote the new one unless it is worse, and write the report. What did not "
        "change is skipped, what was interrupted goes on. docs/scheduling.md describes the file and the schedules.",
    )
    result.add_argument("config", metavar="CONFIG", help="YAML file of what to do, such as examples/rerun.yaml")
    one = result.add_mutually_exclusive_group()
    one.add_argument("--stage", choices=list(STAGES), help="only this one, for a scheduler with a task for each")
    one.add_argument("--pending", action="store_true", help="only count the audio that is new, and do nothing")
    result.add_argument("--expected-listing", help=argparse.SUPPRESS)  # set by `audio-vae watch`
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command. Errors are the caller's to print; with --json they are in the object too."""
    arguments = parse(parser(), argv)
    config = read_config(arguments.config)
    if arguments.pending:
        _print_news(running.pending(config), config.dataset, arguments.json)
        return 0
    stages = [arguments.stage] if arguments.stage else None
    ended = _print_result if arguments.json else lambda result: None
    running.run(config, stages, expected_listing=arguments.expected_listing, ended=ended)
    return 0


def _print_result(result: running.RerunResult) -> None:
    print(json.dumps(result.to_dict()), flush=True)


def _print_news(news: News, dataset: str, as_json: bool) -> None:
    if as_json:
        status = running.UNCHANGED if news.nothing else running.PENDING
        print(json.dumps({"status": status, **dataclasses.asdict(news)}), flush=True)
    else:
        counts = f"{news.new:,} new, {news.changed:,} changed, {news.removed:,} removed sources"
        running.say(f"{dataset}: {counts}{moved_and_duplicates(news.moved, news.duplicates)}")


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.rerun")

"""The command `audio-vae rerun`: preprocess, train from the last model, evaluate, promote, report, as far as is new."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pipelines.console.terminal import terminable
from pipelines.store.holding import hold_workspace
from vae_model.rerun import state
from vae_model.rerun.config import RerunConfig, read_config
from vae_model.rerun.running import PENDING, UNCHANGED, _check_state_is_there, _run, _say, summary
from vae_model.rerun.stages import STAGES, Job


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
    arguments = parser().parse_args(argv)
    config = read_config(arguments.config)
    config.options.expected_listing = arguments.expected_listing
    if arguments.pending:
        _say_what_is_new(config, as_json=arguments.json)
        return 0
    wanted = [arguments.stage] if arguments.stage else list(STAGES)
    values: dict[str, Any] = {}
    with terminable(), hold_workspace(config.workspace):
        version = state.version(config.workspace)
        job = Job(config, state.load(config.workspace), version, _say)
        _check_state_is_there(job)
        try:
            for name in wanted:
                _run(job, name, values, check=arguments.stage is not None)
        finally:
            if arguments.json:
                print(json.dumps(summary(job, values)), flush=True)
    return 0


def _say_what_is_new(config: RerunConfig, *, as_json: bool) -> None:
    from pipelines.update import what_is_new

    found = what_is_new(config.options)
    counts = {name: found[name] for name in ("new", "changed", "removed")}
    if as_json:
        print(json.dumps({"status": PENDING if any(counts.values()) else UNCHANGED, **found}), flush=True)
    else:
        _say(f"{config.dataset}: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()) + " sources")


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.rerun")

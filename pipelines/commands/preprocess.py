"""`audio-vae preprocess`: flags → request → what came of it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.audio.limits import RUN
from pipelines.config import PRESETS, RECORD
from pipelines.console.counts import failures_so_far, left_out, moved_and_duplicates
from pipelines.console.durations import duration_text
from pipelines.errors import masked
from pipelines.flags import add_flag, add_settings, given, has_others, parse, preset_named
from pipelines.request import DEFAULT, PRESET_KEY, SETTINGS, Request, RunOptions
from pipelines.space import size_text

if TYPE_CHECKING:
    from pipelines.plan.dry_run import DryRun
    from pipelines.update import HandOver, Update


def parser(prog: str = "audio-vae preprocess", preset: str = DEFAULT) -> argparse.ArgumentParser:
    """The command's arguments but Beam's; the help shows the values of the preset. A setting not given is None."""
    result = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} INPUT... --output DATASET [options]",
        description="Turn folders of audio into a dataset, or bring a dataset up to date with them. Settings come from "
        "the preset, or from the dataset that is there, then from the options below; the defaults shown are those of "
        f"preset {preset}.",
        epilog="Beam's own options (--runner, --flink_master, …) pass through unchanged.",
        allow_abbrev=False,
    )
    result.add_argument("inputs", nargs="+", metavar="INPUT", help="folder, file, or URI of a bucket")
    result.add_argument("--output", required=True, metavar="DATASET", help="dataset folder, new or existing")
    groups = {title: result.add_argument_group(title) for title in (RECORD, RUN)}
    groups[RECORD].add_argument(
        f"--{PRESET_KEY}", choices=sorted(PRESETS), help=f"named settings to start from (default: {DEFAULT})"
    )
    add_settings(result, (*PRESETS[preset].parts, RunOptions()), groups, underscores=True)
    run = groups[RUN]
    run.add_argument("--dry-run", dest="dry_run_plan", action="store_true", help="print the plan, do nothing")
    run.add_argument("--dry_run_plan", action="store_true", help=argparse.SUPPRESS)  # --dry_run is Beam's
    text = "on Dataflow: hand the job over and end; it commits by itself"
    add_flag(run, "--no-wait", underscores=True, action="store_true", help=text)
    run.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    run.add_argument("--verbose", action="store_true", help="show Beam's log too")
    set_by_watch: dict[str, Any] = {"help": argparse.SUPPRESS}
    add_flag(run, "--expected-listing", underscores=True, **set_by_watch)
    return result


def parse_options(argv: Sequence[str], prog: str = "audio-vae preprocess") -> tuple[argparse.Namespace, list[str]]:
    """Our options, and Beam's as they were given. What is neither ends the program with the nearest that there is."""
    own = parser(prog, preset_named(argv, PRESETS, DEFAULT))
    flags = own._option_string_actions
    ours, beams, also_known = list(argv), list[str](), list[str]()
    if has_others(argv, flags):
        from pipelines.beam.launch import beam_flag_names, split_beam_flags

        ours, beams = split_beam_flags(argv, flags)
        also_known = beam_flag_names()
    return parse(own, ours, also_known), beams


def request_of(options: argparse.Namespace, beam_flags: Sequence[str]) -> Request:
    """What the options of `parse_options` ask for. SettingError when one can't be right."""
    preset = {} if options.preset is None else {PRESET_KEY: options.preset}
    more: dict[str, Any] = {"beam_flags": tuple(beam_flags), "verbose": options.verbose}
    more |= {"expected_listing": options.expected_listing, "advises": not options.json}
    return Request.of(options.inputs, options.output, preset | given(options, SETTINGS), **more)


def main(argv: list[str]) -> int:
    """Run the command; 0 also when there was nothing to do."""
    options, beam_flags = parse_options(argv)
    request = request_of(options, beam_flags)
    from pipelines import update

    if options.dry_run_plan:
        _print_plan(update.dry_run(request), options.json)
        return 0
    done = update.hand_over(request) if options.no_wait else update.bring_up_to_date(request)
    if isinstance(done, update.HandOver):
        _print_hand_over(done, options.json)
    elif done.committed:
        _print_summary(done, options.json)
    else:
        _print_nothing_new(done, options.json)
    return 0


def _print(values: dict[str, Any], text: str, as_json: bool) -> None:
    """One JSON object on standard output, or a line on standard error."""
    if as_json:
        print(masked(json.dumps(values)))
    else:
        print(masked(text), file=sys.stderr)


def _print_hand_over(done: HandOver, as_json: bool) -> None:
    run, job = done.run, done.job
    values = {"status": "submitted", "dataset": run.dataset_uri, "run": run.name, "job": job.to_dict()}
    text = f"{run.dataset_uri}: job {job.job_name} goes on with {run.num_sources:,} sources and commits by itself"
    _print(values, text, as_json)


def _print_nothing_new(done: Update, as_json: bool) -> None:
    dataset = done.dataset
    values = {"status": "unchanged", "dataset": dataset.uri, "sources": dataclasses.asdict(dataset.sources)}
    text = f"{dataset.uri} is up to date: nothing new among {done.changes.unchanged:,} sources"
    _print(values, text + failures_so_far(dataset.sources.failed), as_json)


def _print_summary(done: Update, as_json: bool) -> None:
    """What the run did."""
    dataset, changes = done.dataset, done.changes
    run = dataset.runs[-1]
    values = {"status": "committed", "dataset": dataset.uri, "run": run.name, "num_examples": dataset.num_examples}
    values |= {"sources": dataclasses.asdict(dataset.sources), "this_run": dataclasses.asdict(run.sources)}
    values |= {"warned": done.warned, "moved": changes.moved, "duplicates": done.duplicates}
    values |= {"silent": done.silent, "left_out": done.left_out}
    values |= {"global_range": {"min_db": dataset.min_db, "max_db": dataset.max_db}}
    own = run.sources
    text = f"{dataset.uri}: {own.written:,} sources written, {own.failed:,} failed, {own.removed:,} removed"
    text += moved_and_duplicates(changes.moved, done.duplicates)
    text += f", {done.warned:,} with a warning" if done.warned else ""
    text += f", {own.ignored:,} other files ignored" if own.ignored else ""
    text += f", {changes.elsewhere:,} kept from other inputs" if changes.elsewhere else ""
    text += f", {left_out(done.left_out, done.silent)} left out" if done.left_out else ""
    text += f"; {dataset.num_examples:,} records, {dataset.min_db:.2f} to {dataset.max_db:.2f} dB"
    _print(values, text + failures_so_far(dataset.sources.failed), as_json)


def _print_plan(plan: DryRun, as_json: bool) -> None:
    values = dataclasses.asdict(plan)
    if as_json:
        print(json.dumps(values))
        return
    for name, value in values.items():
        if value is not None:
            shown = duration_text(value) if name == "estimated_seconds" else f"{value:,}"
            print(f"{name.replace('_', ' '):<20}{shown}")
    if plan.bytes_free is not None and plan.bytes_to_write > plan.bytes_free:
        needed, free = size_text(plan.bytes_to_write), size_text(plan.bytes_free)
        print(f"warning: {needed} do not fit into the {free} that are free", file=sys.stderr)


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("pipelines.commands.preprocess")

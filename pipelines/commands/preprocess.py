"""`audio-vae preprocess`: options → plan → Beam → commit."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any

from pipelines import store
from pipelines.console.terminal import terminable
from pipelines.dataset.folder import Dataset
from pipelines.request import Request, add_arguments, check_options
from pipelines.runs.folder import open_base
from pipelines.update import Update, _job, _plan, bring_up_to_date


def parse_options(argv: list[str], prog: str = "audio-vae preprocess") -> tuple[argparse.Namespace, list[str]]:
    """Our options, and Beam's as they were given."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Turn folders of audio into a dataset, or bring a dataset up to date with them.",
        epilog="Beam's own options (--runner, --flink_master, …) pass through unchanged.",
        allow_abbrev=False,
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="folder, file, or URI of a bucket")
    parser.add_argument("--output", required=True, metavar="DATASET", help="dataset folder, new or existing")
    add_arguments(parser)
    ours, beams = argv, list[str]()
    if any(word.startswith("--") and word.split("=")[0] not in parser._option_string_actions for word in argv):
        from pipelines.beam.launch import split_beam_flags

        ours, beams = split_beam_flags(argv, parser)
    options = parser.parse_args(ours)
    options.output = options.output.rstrip("/") or options.output
    return options, beams


def main(argv: list[str]) -> int:
    """Run the command; 0 also when there was nothing to do."""
    options, beam_flags = parse_options(argv)
    with terminable():
        if options.dry_run_plan:
            check_options(options)
            base = open_base(options.output)
            return _print_plan(Request.of(options, base), base)
        if options.no_wait:
            return _hand_over(options, beam_flags)
        update = bring_up_to_date(options, beam_flags)
    if update.committed:
        _print_summary(options.json, update)
    else:
        _say_nothing_new(options.json, update)
    return 0


def _hand_over(options: argparse.Namespace, beam_flags: list[str]) -> int:
    """Hand what is new over to Dataflow as a job that commits by itself, and say which."""
    from pipelines.beam import dataflow

    check_options(options)
    job = _job(options, beam_flags)
    store.require_writable(options.output)
    base = open_base(options.output)
    run, changes = _plan(Request.of(options, base), base, alone=False)
    if run is None:
        assert base is not None
        dataflow.submit_nothing(job)
        _say_nothing_new(options.json, Update(base, changes, committed=False))
        return 0
    submitted = dataflow.submit(run, job, options.decode_timeout_seconds)
    values = {"status": "submitted", "dataset": run.dataset_uri, "run": run.name, "job": submitted.to_dict()}
    text = f"{run.dataset_uri}: job {submitted.job_name} goes on with {run.num_sources:,} sources and commits by itself"
    _emit(options.json, values, lambda: print(text, file=sys.stderr))
    return 0


def _emit(as_json: bool, values: dict[str, Any], say: Callable[[], None]) -> None:
    if as_json:
        print(json.dumps(values))
    else:
        say()


def _say_nothing_new(as_json: bool, update: Update) -> None:
    dataset, changes = update.dataset, update.changes
    values = {"status": "unchanged", "dataset": dataset.uri, "sources": dataclasses.asdict(dataset.sources)}

    def say() -> None:
        print(f"{dataset.uri} is up to date: nothing new among {changes.unchanged:,} sources", file=sys.stderr)

    _emit(as_json, values, say)


def _print_summary(as_json: bool, update: Update) -> None:
    """What the run did."""
    dataset, changes = update.dataset, update.changes
    run = dataset.runs[-1]
    values = {"status": "committed", "dataset": dataset.uri, "run": run.name, "num_examples": dataset.num_examples}
    values |= {"sources": dataclasses.asdict(dataset.sources), "this_run": dataclasses.asdict(run.sources)}
    values |= {"global_range": {"min_db": dataset.min_db, "max_db": dataset.max_db}}

    def say() -> None:
        own = run.sources
        text = f"{dataset.uri}: {own.written:,} sources written, {own.failed:,} failed, {own.removed:,} removed"
        text += f", {own.ignored:,} other files ignored" if own.ignored else ""
        text += f", {changes.elsewhere:,} kept from other inputs" if changes.elsewhere else ""
        text += f"; {dataset.num_examples:,} records, {dataset.min_db:.2f} to {dataset.max_db:.2f} dB"
        print(text, file=sys.stderr)

    _emit(as_json, values, say)


def _print_plan(request: Request, base: Dataset | None) -> int:
    from pipelines.console.durations import duration_text
    from pipelines.plan.dry_run import describe_plan

    listing, changes = request.compared(base)
    values = describe_plan(changes, listing, request.config, request.options.shard_mb, request.options.workers)

    def say() -> None:
        for name, value in values.items():
            shown = duration_text(value) if name == "estimated_seconds" else f"{value:,}"
            print(f"{name.replace('_', ' '):<20}{shown}")

    _emit(request.options.json, values, say)
    return 0


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("pipelines.commands.preprocess")

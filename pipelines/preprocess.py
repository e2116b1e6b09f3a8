"""`audio-vae preprocess`: options → plan → Beam → commit."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from pipelines import runs, store
from pipelines.config import require
from pipelines.dataset import Dataset, open_dataset
from pipelines.errors import AudioVaeError, SettingError, WorkError
from pipelines.estimating import Estimator
from pipelines.formats import local_path
from pipelines.locking import lock
from pipelines.options import add_arguments
from pipelines.planning import Changes, tasks
from pipelines.request import Request
from pipelines.runs import PlannedRun
from pipelines.terminal import terminable


@dataclasses.dataclass(frozen=True)
class Update:
    """What bringing a dataset up to date came to. committed: whether there was a run, the last of dataset.runs."""

    dataset: Dataset
    changes: Changes
    committed: bool


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
        from pipelines.launch import split_beam_flags

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
            base = runs.open_base(options.output)
            return _print_plan(Request.of(options, base), base)
        if options.no_wait:
            return _hand_over(options, beam_flags)
        update = bring_up_to_date(options, beam_flags)
    if update.committed:
        _print_summary(options.json, update)
    else:
        _say_nothing_new(options.json, update)
    return 0


def bring_up_to_date(options: argparse.Namespace, beam_flags: list[str]) -> Update:
    """Build and commit what is new in options.inputs into the dataset options.output; what failed is said."""
    check_options(options)
    job = _job(options, beam_flags)
    with lock(options.output):
        base = runs.open_base(options.output)
        run, changes = _plan(Request.of(options, base), base, alone=not _is_dataflow(job))
        if run is None:
            assert base is not None
            return Update(base, changes, committed=False)
        dataset = _run(run, options, job)
    _report_failures(dataset)
    return Update(dataset, changes, committed=True)


def _hand_over(options: argparse.Namespace, beam_flags: list[str]) -> int:
    """Hand what is new over to Dataflow as a job that commits by itself, and say which."""
    from pipelines import dataflow

    check_options(options)
    job = _job(options, beam_flags)
    store.require_writable(options.output)
    base = runs.open_base(options.output)
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


def _job(options: argparse.Namespace, beam_flags: list[str]) -> Any:
    """Beam's options, None when none were given. SettingError when they don't fit the run."""
    job = None
    if beam_flags:
        from pipelines import launch, runners

        flags = runners.settled(beam_flags, [*options.inputs, options.output])
        job = launch.preprocess_options(options, flags)
    if _is_dataflow(job):
        from pipelines import dataflow

        dataflow.prepare(job, options)
    elif options.no_wait:
        raise SettingError("--no-wait must come with --runner DataflowRunner; other runs need this process to the end")
    return job


def _is_dataflow(job: Any) -> bool:
    if job is None:
        return False
    from pipelines import launch

    return launch.is_dataflow(job)


def what_is_new(options: argparse.Namespace) -> dict[str, Any]:
    """Counts of files that are new, changed or removed, and a digest of the listing; nothing is decoded or written."""
    check_options(options)
    base = runs.open_base(options.output)
    listing, changes = Request.of(options, base).compared(base, may_be_empty=True)
    counts = {"new": changes.new, "changed": changes.changed, "removed": changes.removed}
    return counts | {"unchanged": changes.unchanged, "listing": listing.digest}


def check_options(options: argparse.Namespace) -> None:
    """SettingError when an option has no sense. Sets up the log as the options ask for it."""
    _set_up_logging(options.verbose)
    require(options.shard_mb > 0, "--shard-mb", options.shard_mb, "a positive number of megabytes")
    timeout = options.decode_timeout_seconds
    require(timeout > 0, "--decode-timeout-seconds", timeout, "a positive number of seconds")
    require(options.workers is None or options.workers > 0, "--workers", options.workers, "a positive number")
    path = local_path(options.output)
    require(path is None or not os.path.isfile(path), "--output", options.output, "a folder")
    for uri in (*options.inputs, options.output):
        require(not uri.startswith("memory://"), "INPUT and --output", uri, "on a store that other processes can reach")


def _set_up_logging(verbose: bool) -> None:
    """Beam reports an error with its traceback; users get one line instead unless they ask for more."""
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        return
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL + 1)
    logging.getLogger("pipelines").setLevel(logging.ERROR)


def _plan(request: Request, base: Dataset | None, alone: bool) -> tuple[PlannedRun | None, Changes]:
    """The next run, None when there is nothing to do. The rows of all sources are let go: the job needs the memory.

    alone: whether no other run can be active, so that what is not committed can go.
    """
    listing, changes = request.compared(base)
    cleared = runs.clear_leftovers(request.output, base) if alone else []
    run: PlannedRun | None = None
    if base is None or not changes.nothing:
        estimator = Estimator(changes.build, request.config)
        cut = tasks(changes, request.config, estimator, request.options.shard_mb)
        taken = [uri.rsplit("/", 1)[1] for uri in cleared]
        limit = request.max_failures
        with _cleared_unless_done(request.output) if alone else contextlib.nullcontext():
            run = runs.plan_run(request.output, base, request.config, listing, changes, cut, limit, taken)
    return run, changes.without_rows()


def _run(run: PlannedRun, options: argparse.Namespace, job: Any) -> Dataset:
    """Build and commit."""
    pa.default_memory_pool().release_unused()
    if _is_dataflow(job):
        from pipelines import dataflow

        dataflow.wait(dataflow.submit(run, job, options.decode_timeout_seconds))
        return _committed(run)
    with _cleared_unless_done(run.dataset_uri, run.name):
        _execute(run, options, job)
        return _committed(run)


def _committed(run: PlannedRun) -> Dataset:
    dataset = open_dataset(run.dataset_uri)
    if dataset.runs[-1].name != run.name:
        raise WorkError(f"DATASET {run.dataset_uri}: the job ended without committing its run")
    return dataset


@contextlib.contextmanager
def _cleared_unless_done(output: str, own: str | None = None) -> Iterator[None]:
    """Whatever goes wrong, the run's folder is removed and the old dataset is as it was."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(AudioVaeError):  # what went wrong first is what to tell
            _remove_traces(output, own)
        raise


def _remove_traces(output: str, own: str | None) -> None:
    """Clear away a run that did not commit. It may have come so far after all: what is committed now stays."""
    from pipelines.supervision import end_children

    end_children()
    base = runs.open_base(output)
    runs.clear_leftovers(output, base, own)
    if local_path(output) is not None and base is None and not store.exists(store.join(output, "dataset.json")):
        for name in ("runs", "schema.pbtxt"):
            store.remove_folder(store.join(output, name))


def _execute(run: PlannedRun, options: argparse.Namespace, job: Any) -> None:
    from pipelines import direct
    from pipelines.progress import show_progress

    timeout = options.decode_timeout_seconds
    if run.num_tasks <= direct.FEW_SHARDS and job is None:
        with show_progress(run.num_sources, run.num_tasks) as folder:
            direct.run_directly(run, options.workers, timeout, folder)
        return
    from pipelines import launch
    from pipelines.transforms import BuildOptions, build_pipeline

    job = job or launch.preprocess_options(options, [])
    with contextlib.ExitStack() as stack:
        progress_folder = None
        if launch.is_local(job):
            progress_folder = stack.enter_context(show_progress(run.num_sources, run.num_tasks))
        if not options.verbose:
            launch.quieten()
        launch.run_job(job, lambda pipeline: build_pipeline(pipeline, run, BuildOptions(timeout, progress_folder)))


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


_FAILURES_SHOWN = 10


def _report_failures(dataset: Dataset) -> None:
    """Each source that failed with its reason, the first few."""
    run = dataset.runs[-1]
    if run.sources.failed == 0:
        return
    rows = dataset.run_manifest(run.name, ["source", "status", "error_stage", "error"]).to_pylist()
    failed = [row for row in rows if row["status"] == "failed"]
    for row in failed[:_FAILURES_SHOWN]:
        print(f"failed: {row['source']}: {row['error_stage']}: {row['error']}", file=sys.stderr)
    if len(failed) > _FAILURES_SHOWN:
        print(f"… and {len(failed) - _FAILURES_SHOWN:,} more; all are in the manifest", file=sys.stderr)


def _print_plan(request: Request, base: Dataset | None) -> int:
    from pipelines.dry_run import describe_plan
    from pipelines.progress import duration_text

    listing, changes = request.compared(base)
    values = describe_plan(changes, listing, request.config, request.options.shard_mb, request.options.workers)

    def say() -> None:
        for name, value in values.items():
            shown = duration_text(value) if name == "estimated_seconds" else f"{value:,}"
            print(f"{name.replace('_', ' '):<20}{shown}")

    _emit(request.options.json, values, say)
    return 0

"""Brings a dataset up to date with its inputs: lock → plan → build → commit."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipelines import store
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.dataset.names import ENTRY, RUNS, SCHEMA_FILE
from pipelines.errors import AudioVaeError, SettingError, WorkError
from pipelines.plan.changes import Changes
from pipelines.plan.estimating import Estimator
from pipelines.plan.tasks import tasks
from pipelines.request import Request, check_options
from pipelines.runs.folder import PlannedRun, clear_leftovers, open_base
from pipelines.runs.plan_files import plan_run
from pipelines.store.holding import lock
from pipelines.store.paths import local_path


@dataclasses.dataclass(frozen=True)
class Update:
    """What bringing a dataset up to date came to. committed: whether there was a run, the last of dataset.runs."""

    dataset: Dataset
    changes: Changes
    committed: bool


def bring_up_to_date(options: argparse.Namespace, beam_flags: list[str]) -> Update:
    """Build and commit what is new in options.inputs into the dataset options.output; what failed is said."""
    check_options(options)
    job = _job(options, beam_flags)
    with lock(options.output):
        base = open_base(options.output)
        run, changes = _plan(Request.of(options, base), base, alone=not _is_dataflow(job))
        if run is None:
            assert base is not None
            return Update(base, changes, committed=False)
        dataset = _run(run, options, job)
    _report_failures(dataset)
    return Update(dataset, changes, committed=True)


def _job(options: argparse.Namespace, beam_flags: list[str]) -> Any:
    """Beam's options, None when none were given. SettingError when they don't fit the run."""
    job = None
    if beam_flags:
        from pipelines.beam import launch, preflight

        flags = preflight.ask_runner(beam_flags, [*options.inputs, options.output])
        job = launch.preprocess_options(options, flags)
    if _is_dataflow(job):
        from pipelines.beam import dataflow

        dataflow.prepare(job, options)
    elif options.no_wait:
        raise SettingError("--no-wait must come with --runner DataflowRunner; other runs need this process to the end")
    return job


def _is_dataflow(job: Any) -> bool:
    if job is None:
        return False
    from pipelines.beam import launch

    return launch.is_dataflow(job)


def what_is_new(options: argparse.Namespace) -> dict[str, Any]:
    """Counts of files that are new, changed or removed, and a digest of the listing; nothing is decoded or written."""
    check_options(options)
    base = open_base(options.output)
    listing, changes = Request.of(options, base).compared(base, may_be_empty=True)
    counts = {"new": changes.new, "changed": changes.changed, "removed": changes.removed}
    return counts | {"unchanged": changes.unchanged, "listing": listing.digest}


def _plan(request: Request, base: Dataset | None, alone: bool) -> tuple[PlannedRun | None, Changes]:
    """The next run, None when there is nothing to do. The rows of all sources are let go: the job needs the memory.

    alone: whether no other run can be active, so that what is not committed can go.
    """
    listing, changes = request.compared(base)
    cleared = clear_leftovers(request.output, base) if alone else []
    run: PlannedRun | None = None
    if base is None or not changes.nothing:
        estimator = Estimator(changes.build, request.config)
        cut = tasks(changes, request.config, estimator, request.options.shard_mb)
        taken = [uri.rsplit("/", 1)[1] for uri in cleared]
        limit = request.max_failures
        with _cleared_unless_done(request.output) if alone else contextlib.nullcontext():
            run = plan_run(request.output, base, request.config, listing, changes, cut, limit, taken)
    return run, changes.without_rows()


def _run(run: PlannedRun, options: argparse.Namespace, job: Any) -> Dataset:
    """Build and commit."""
    pa.default_memory_pool().release_unused()
    if _is_dataflow(job):
        from pipelines.beam import dataflow

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
    from pipelines.building.supervision import end_children

    end_children()
    base = open_base(output)
    clear_leftovers(output, base, own)
    if local_path(output) is not None and base is None and not store.exists(store.join(output, ENTRY)):
        if not store.names(store.join(output, RUNS)):
            store.remove_folder(store.join(output, RUNS))
        store.remove_folder(store.join(output, SCHEMA_FILE))


def _execute(run: PlannedRun, options: argparse.Namespace, job: Any) -> None:
    from pipelines.beam import build_without_beam
    from pipelines.beam.progress import show_progress

    timeout = options.decode_timeout_seconds
    if run.num_tasks <= build_without_beam.FEW_SHARDS and job is None:
        with show_progress(run.num_sources, run.num_tasks) as folder:
            build_without_beam.run_directly(run, options.workers, timeout, folder)
        return
    from pipelines.beam import launch
    from pipelines.beam.build_on_beam import BuildOptions, build_pipeline

    job = job or launch.preprocess_options(options, [])
    with contextlib.ExitStack() as stack:
        progress_folder = None
        if launch.is_local(job):
            progress_folder = stack.enter_context(show_progress(run.num_sources, run.num_tasks))
        if not options.verbose:
            launch.quieten()
        launch.run_job(job, lambda pipeline: build_pipeline(pipeline, run, BuildOptions(timeout, progress_folder)))


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

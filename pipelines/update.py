"""Brings a dataset up to date with its inputs: lock → plan → build → commit."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pipelines.audio.sources import Listing, list_sources
from pipelines.config import DatasetConfig
from pipelines.console.names import printable
from pipelines.console.terminal import import_beam, set_up_logging
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.dataset.names import DUPLICATE, SILENT
from pipelines.errors import SettingError, WorkError, require_package
from pipelines.plan.advice import what_is_lost
from pipelines.plan.changes import Changes, compare
from pipelines.plan.contents import add_checksums
from pipelines.plan.estimating import Estimator, room_text
from pipelines.plan.tasks import tasks
from pipelines.request import Request
from pipelines.runs.folder import PlannedRun, clear_leftovers, cleared_unless_done, open_base
from pipelines.runs.plan_files import plan_run
from pipelines.runs.renewing import renew_stamps
from pipelines.runs.team import at_work
from pipelines.space import require_room
from pipelines.store.holding import lock
from pipelines.store.paths import Place, local_path

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.beam.dataflow import Job
    from pipelines.plan.dry_run import DryRun


@dataclasses.dataclass(frozen=True)
class Update:
    """What bringing a dataset up to date came to. committed: whether there was a run, the last of dataset.runs.

    warned: sources in that run's manifest that were written with a warning. duplicates: files in it that have the
    content of a source, and no records. silent, left_out: as of DatasetFacts, in that manifest.
    """

    dataset: Dataset
    changes: Changes
    committed: bool
    warned: int = 0
    duplicates: int = 0
    silent: int = 0
    left_out: int = 0


@dataclasses.dataclass(frozen=True)
class HandOver:
    """A run that Dataflow has taken as a job, which commits it by itself."""

    run: PlannedRun
    job: Job


@dataclasses.dataclass(frozen=True)
class News:
    """Counts of sources that a run would find new, changed, removed and unchanged. listing: digest of all of them.

    moved: those with other names and known content. duplicates: files that are new and have the content of a source.
    """

    new: int
    changed: int
    removed: int
    unchanged: int
    listing: str
    moved: int = 0
    duplicates: int = 0

    @property
    def nothing(self) -> bool:
        """Whether a run would have nothing to do."""
        return self.new == self.changed == self.removed == self.moved == self.duplicates == 0


def preprocess(
    inputs: Place | Sequence[Place],
    output: Place,
    *,
    preset: str | None = None,
    beam_flags: Sequence[str] = (),
    verbose: bool = False,
    **settings: Any,
) -> Update:
    """Turn folders, files or URIs of audio into a dataset, or bring one up to date with them: `audio-vae preprocess`.

    settings: any option of the command by its name, such as sample_rate=16000 or workers=2; they go over those of the
    preset. beam_flags: Beam's own options, such as "--runner=FlinkRunner". verbose: show Beam's log. What failed is
    said on standard error. SettingError names the setting that can't be right; WorkError and TooManyFailures leave what
    is committed as it is.

    >>> import numpy as np, os, soundfile, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> os.mkdir(os.path.join(folder, "sounds"))
    >>> for number in range(3):
    ...     noise = np.random.default_rng(number).uniform(-0.1, 0.1, 16000)
    ...     soundfile.write(os.path.join(folder, "sounds", f"{number}.wav"), noise, 16000)
    >>> inputs, output = os.path.join(folder, "sounds"), os.path.join(folder, "dataset")
    >>> update = preprocess(inputs, output, preset="tiny", workers=1, split="none")
    >>> update.committed, update.changes.new, update.dataset.num_examples, update.dataset.record.shape
    (True, 3, 3, (256, 64, 1))
    >>> preprocess(inputs, output).committed  # nothing is new
    False
    """
    places = [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs
    values = settings if preset is None else {"preset": preset, **settings}
    more: dict[str, Any] = {"beam_flags": tuple(beam_flags), "verbose": verbose}
    return bring_up_to_date(Request.of([os.fspath(place) for place in places], os.fspath(output), values, **more))


def bring_up_to_date(request: Request) -> Update:
    """Build and commit what is new in the inputs into the dataset; what failed is said on standard error."""
    job = _check(request)
    with lock(request.output):
        base = open_base(request.output)
        run, changes = _plan(request, base, alone=not _is_dataflow(job))
        if run is None:
            assert base is not None
            return Update(base, changes, committed=False)
        dataset = _run(run, request, job)
    return Update(dataset, changes, True, **_reported(dataset))


def hand_over(request: Request) -> HandOver | Update:
    """Hand what is new over to Dataflow as a job that commits by itself; an Update when there is nothing to do."""
    job = _check(request, waits=False)
    if job is None or not _is_dataflow(job):
        raise SettingError("--no-wait must come with --runner DataflowRunner; other runs need this process to the end")
    from pipelines.beam import dataflow

    store.require_writable(request.output)
    base = open_base(request.output)
    run, changes = _plan(request, base, alone=False)
    if run is None:
        assert base is not None
        dataflow.submit_nothing(job)
        return Update(base, changes, committed=False)
    return HandOver(run, dataflow.submit(run, job, request.run.decode_timeout_seconds))


def what_is_new(request: Request) -> News:
    """What a run would find; nothing is decoded or written, and there may be no audio yet."""
    _set_up(request)
    base = open_base(request.output)
    listing, changes = list_changes(request, request.config(base.config if base else None), base, may_be_empty=True)
    counts = changes.new, changes.changed, changes.removed, changes.unchanged
    return News(*counts, listing.digest, changes.moved, changes.new_duplicates)


def dry_run(request: Request) -> DryRun:
    """What a run would do and about how long it would take; headers are read, nothing is written."""
    from pipelines.plan.dry_run import describe_plan

    _set_up(request)
    base = open_base(request.output)
    config = request.config(base.config if base else None)
    listing, changes = list_changes(request, config, base)
    return describe_plan(changes, listing, config, request.run.shard_mb, request.run.workers, request.output)


def list_changes(
    request: Request, config: DatasetConfig, base: Dataset | None, *, may_be_empty: bool = False
) -> tuple[Listing, Changes]:
    """List the inputs, and compare them with the dataset that is there. SettingError when there is no audio."""
    listing = list_sources(request.inputs, request.run.wanted)
    if len(listing.table) == 0 and not may_be_empty:
        raise SettingError(f"INPUT {' '.join(request.inputs)}: must hold at least one audio file{listing.why_nothing}")
    if request.expected_listing not in (None, listing.digest):
        raise WorkError(f"INPUT {' '.join(request.inputs)}: has changed while this run began")
    if request.run.checksum:
        listing = dataclasses.replace(listing, table=add_checksums(listing.table))
    return listing, compare(listing, base, request.run.policy, config)


def _set_up(request: Request) -> None:
    set_up_logging(request.verbose)
    request.require_places()


def _check(request: Request, *, waits: bool = True) -> PipelineOptions | None:
    """Beam's options, None when none were given. SettingError when they, or the places, don't fit the run."""
    _set_up(request)
    if not request.beam_flags:
        return None
    require_package("apache_beam", "pipeline", "a runner of Beam's")
    from pipelines.beam import launch, preflight

    places = [*request.inputs, request.output]
    job = launch.preprocess_options(request, preflight.ask_runner(list(request.beam_flags), places))
    if launch.is_dataflow(job):
        from pipelines.beam import dataflow

        dataflow.prepare(job, request.inputs, request.output, waits=waits)
    return job


def _is_dataflow(job: PipelineOptions | None) -> bool:
    if job is None:
        return False
    from pipelines.beam import launch

    return launch.is_dataflow(job)


def _plan(request: Request, base: Dataset | None, alone: bool) -> tuple[PlannedRun | None, Changes]:
    """The next run, None when there is nothing to do. The rows of all sources are let go: the job needs the memory.

    alone: whether no other run can be active, so that what is not committed can go.
    """
    config = request.config(base.config if base else None)
    listing, changes = list_changes(request, config, base)
    for folder in listing.unlisted:
        told = f"{printable(folder.name)}: cannot be listed: {folder.error}; what is known of it stays"
        print(f"warning: {told}", file=sys.stderr)
    _say([f"warning: {printable(note)}" for note in changes.notes])
    if base is not None:
        renew_stamps(base, changes.renewed)
    cleared = clear_leftovers(request.output, base) if alone else []
    run: PlannedRun | None = None
    if base is None or not changes.nothing:
        estimator = Estimator(changes.build, config, request.run.limits.max_source_seconds)
        _require_room(request.output, estimator)
        if base is None and request.advises and not request.chooses_sound:
            advice = what_is_lost(estimator.headers, estimator.num_sources, config.audio)
            _say([] if advice is None else [advice])
        cut = tasks(changes, config, estimator, request.run.shard_mb)
        taken = [uri.rsplit("/", 1)[1] for uri in cleared]
        limit = request.run.max_failures
        with cleared_unless_done(request.output) if alone else contextlib.nullcontext():
            run = plan_run(request.output, base, config, listing, changes, cut, limit, taken, request.run.limits)
    return run, changes.without_rows()


def _require_room(output: str, estimator: Estimator) -> None:
    """WorkError when what headers promise does not fit onto the disk of a local dataset."""
    path = local_path(output)
    if path is not None:
        require_room(path, f"--output {output}", estimator.least_bytes, room_text(estimator))


def _run(run: PlannedRun, request: Request, job: PipelineOptions | None) -> Dataset:
    """Build and commit."""
    pa.default_memory_pool().release_unused()
    if job is not None and _is_dataflow(job):
        from pipelines.beam import dataflow

        dataflow.wait(run, dataflow.submit(run, job, request.run.decode_timeout_seconds))
        return _committed(run)
    with cleared_unless_done(run.dataset_uri, run.name):
        _execute(run, request, job)
        return _committed(run)


def _committed(run: PlannedRun) -> Dataset:
    dataset = open_dataset(run.dataset_uri)
    if dataset.runs[-1].name != run.name:
        raise WorkError(f"DATASET {run.dataset_uri}: the job ended without committing its run")
    return dataset


def _execute(run: PlannedRun, request: Request, job: PipelineOptions | None) -> None:
    from pipelines.beam import build_without_beam
    from pipelines.beam.progress import show_progress

    workers, timeout = request.run.workers, request.run.decode_timeout_seconds
    if run.num_tasks <= build_without_beam.FEW_SHARDS and job is None:
        with show_progress(run.num_sources, run.num_tasks) as folder:
            build_without_beam.run_directly(run, workers, timeout, folder)
        return
    require_package("apache_beam", "pipeline", f"a run of more than {build_without_beam.FEW_SHARDS} shards")
    with contextlib.ExitStack() as stack:
        progress_folder = None
        if job is None:
            progress_folder = stack.enter_context(show_progress(run.num_sources, run.num_tasks))
            stack.enter_context(at_work(run, workers, timeout, progress_folder))
            import_beam()
        from pipelines.beam import launch
        from pipelines.beam.build_on_beam import BuildOptions, build_pipeline

        if job is not None and launch.is_local(job):
            progress_folder = stack.enter_context(show_progress(run.num_sources, run.num_tasks))
        job = job or launch.preprocess_options(request, [])
        if not request.verbose:
            launch.quieten()
        launch.run_job(job, lambda pipeline: build_pipeline(pipeline, run, BuildOptions(timeout, progress_folder)))


_FAILURES_SHOWN = 10


def _reported(dataset: Dataset) -> dict[str, int]:
    """Each source that failed or has a warning with the reason, the first few; returns the counts of an Update."""
    run = dataset.runs[-1]
    rows = dataset.run_manifest(run.name, ["source", "status", "error_stage", "error", "warning", "left_out"])
    silent = rows.filter(pc.equal(rows["status"], SILENT))
    _say([f"silent: {printable(name)}: no record comes from it" for name in silent["source"].to_pylist()])
    warned = rows.filter(pc.is_valid(rows["warning"])).to_pylist()
    _say([f"warning: {printable(row['source'])}: {printable(row['warning'])}" for row in warned])
    if run.sources.failed:
        failed = rows.filter(pc.equal(rows["status"], "failed")).to_pylist()
        _say([f"failed: {printable(row['source'])}: {row['error_stage']}: {printable(row['error'])}" for row in failed])
    duplicates = pc.sum(pc.equal(rows["status"], DUPLICATE)).as_py() or 0
    counts = {"warned": len(warned), "duplicates": duplicates, "silent": len(silent)}
    return counts | {"left_out": pc.sum(rows["left_out"]).as_py() or 0}


def _say(lines: list[str]) -> None:
    for line in lines[:_FAILURES_SHOWN]:
        print(line, file=sys.stderr)
    if len(lines) > _FAILURES_SHOWN:
        print(f"… and {len(lines) - _FAILURES_SHOWN:,} more; all are in the manifest", file=sys.stderr)

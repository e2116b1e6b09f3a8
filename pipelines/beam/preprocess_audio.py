"""`audio-vae preprocess` as one transform for a pipeline of one's own: paths in, a committed dataset out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsIter, AsSingleton, PCollection

from pipelines.audio.features import settled
from pipelines.audio.limits import SourceLimits
from pipelines.audio.sources import LISTING, Listing, require_unique
from pipelines.beam.build_on_beam import BuildOptions, BuildShards
from pipelines.beam.elements import AudioFile, Failure
from pipelines.beam.transforms import ListAudio
from pipelines.building.shards import ShardSummary
from pipelines.config import DatasetConfig
from pipelines.dataset.records import merged_range
from pipelines.errors import SettingError, WorkError, require
from pipelines.plan.changes import compare
from pipelines.plan.estimating import Estimator
from pipelines.plan.policy import MaxFailures, Policy
from pipelines.plan.tasks import tasks
from pipelines.request import RunOptions
from pipelines.runs import committing, plan_files
from pipelines.runs.folder import PlannedRun, open_base
from pipelines.runs.renewing import renew_stamps


@dataclasses.dataclass(frozen=True)
class Work:
    """What planning and committing need to know in a worker."""

    output: str
    config: DatasetConfig
    policy: Policy
    max_failures: MaxFailures
    shard_mb: float
    limits: SourceLimits | None


class AudioPreprocessed(NamedTuple):
    """What `PreprocessAudio` gives.

    summaries: of the shards built. failures: (source, stage, reason) each. run: the planned run, None if there is
    nothing to do. dataset: its path once it is committed, None if it is not to be.
    """

    summaries: PCollection[ShardSummary]
    failures: PCollection[tuple[str, str, str]]
    run: PCollection[PlannedRun | None]
    dataset: PCollection[str] | None


def plan(found: Iterable[AudioFile | Failure], work: Work) -> PlannedRun | None:
    """Write the plan of the next run over these files; None when all of them are in the dataset as they are.

    SettingError when the dataset has other settings; WorkError when there is no file at all.
    """
    rows = []
    for element in found:
        file, error = (element.file, element.reason) if isinstance(element, Failure) else (element, None)
        rows.append({**vars(file), "error": error})
    table = pa.Table.from_pylist(rows, schema=LISTING).sort_by("source")
    require_unique(table)
    listing = Listing(table, {}, tuple(sorted({row["root"] for row in rows})))
    base = open_base(work.output)
    if base is not None and (differences := base.config.differences(work.config)):
        raise SettingError(f"output={work.output}: was made with other settings: {'; '.join(differences)}")
    if not rows and base is None:
        raise WorkError(f"output={work.output}: there must be at least one audio file to make a dataset of")
    changes = compare(listing, base, work.policy, work.config)
    if base is not None:
        renew_stamps(base, changes.renewed)
        if changes.nothing:
            return None
    cut = tasks(changes, work.config, Estimator(changes.build, work.config), work.shard_mb)
    limits = work.limits
    return plan_files.plan_run(work.output, base, work.config, listing, changes, cut, work.max_failures, (), limits)


def places(run: PlannedRun | None) -> Iterable[tuple[int, int]]:
    """Where the tasks of a run stand in its plan."""
    return plan_files.task_ranges(run.tasks_uri) if run is not None else ()


def commit_run(run: PlannedRun | None, summaries: Iterable[ShardSummary], work: Work) -> str:
    """Make a run with these shards real; returns the dataset's path or URI."""
    if run is None:
        return work.output
    shards = list(summaries)
    whole = merged_range((summary.min_db, summary.max_db) for summary in shards)
    return committing.commit(run, shards, whole).uri


class PreprocessAudio(beam.PTransform):
    """Audio files to a dataset folder as `audio-vae preprocess` makes it, shard by shard in supervised processes.

    Takes a PCollection of paths and URIs of files and folders, or of matches of Beam's `fileio`. Only they, and small
    summaries, cross from step to step. A dataset that is there gets what is new and changed of them, and keeps the
    rest.

    root: the folder that names are relative to, as they identify a file; without it that of a folder is the folder,
    that of a file the one it lies in. keep_removed: keep records of files below the same roots that are not among
    these. keep_duplicates: write files of equal content each, in one split. limits: what a file is let be. commit:
    whether to make the run real as the last step; if not, `commit_run` of this module does so later, or the next
    `audio-vae preprocess` clears the run away.

    >>> import apache_beam as beam
    >>> from pipelines.beam import PreprocessAudio
    >>> with beam.Pipeline() as pipeline:
    ...     done = pipeline | beam.Create(["sounds"]) | PreprocessAudio("dataset")
    ...     _ = done.dataset | beam.Map(print)
    dataset
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        config: DatasetConfig | None = None,
        root: str | None = None,
        *,
        commit: bool = True,
        keep_removed: bool = True,
        retry_failed: bool = False,
        keep_duplicates: bool = False,
        max_failures: MaxFailures | None = None,
        limits: SourceLimits | None = None,
        shard_mb: float = RunOptions().shard_mb,
        decode_timeout_seconds: float = RunOptions().decode_timeout_seconds,
    ) -> None:
        super().__init__()
        require(shard_mb > 0, "shard_mb", shard_mb, "a positive number of megabytes")
        policy = Policy(keep_removed=keep_removed, retry_failed=retry_failed, keep_duplicates=keep_duplicates)
        limit = max_failures or MaxFailures()
        config = settled(config or DatasetConfig())
        self.work = Work(os.fspath(output).rstrip("/"), config, policy, limit, shard_mb, limits)
        self.root = root
        self.commit = commit
        self.options = BuildOptions(decode_timeout_seconds)

    def expand(self, paths: PCollection[Any]) -> AudioPreprocessed:
        files, unlisted = paths | "ListAudio" >> ListAudio(root=self.root)
        run = (
            (files, unlisted)
            | "WithUnlisted" >> beam.Flatten()
            | "Listing" >> beam.combiners.ToList()
            | "Plan" >> beam.Map(plan, self.work)
            | "PlanOnce" >> beam.Reshuffle()
        )
        build = BuildShards(AsSingleton(run), self.options)
        built = run | "ReadTasks" >> beam.FlatMap(places) | "BuildShards" >> build
        dataset = None
        if self.commit:
            commit = beam.Map(commit_run, AsIter(built.summaries), self.work).with_output_types(str)
            dataset = run | "Commit" >> commit
        return AudioPreprocessed(built.summaries, built.failures, run, dataset)

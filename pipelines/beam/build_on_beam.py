"""The job of `audio-vae preprocess`: thin Beam transforms over the plain functions of building, supervision and runs.

Only byte ranges of the plan and small summaries cross a stage boundary, never a spectrogram. What happens to a file, in
`pipelines/building/processing.py`: load → segment → log-spectrogram → normalise → write.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsIter, AsSingleton, PCollection, TaggedOutput

from pipelines.beam.transforms import FAILURES, GlobalRange
from pipelines.building.shards import BuiltShard, ShardSummary
from pipelines.building.supervision import SupervisedBuilder
from pipelines.console.names import printable
from pipelines.dataset.records import Range
from pipelines.runs import committing, plan_files
from pipelines.runs.folder import PlannedRun
from pipelines.runs.team import team_of

NAMESPACE = "audio-vae"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildOptions:
    """How shards are built, without an effect on what is in them."""

    decode_timeout_seconds: float
    progress_folder: str | None = None


class BuildShard(beam.DoFn):
    """From a line of the plan to a shard: yields its summary, and (source, stage, reason) on the tag `failures`.

    It leads a builder process of its own, but for a run that a team of this process is at work on: that builds it.
    """

    def __init__(self, options: BuildOptions) -> None:
        self.options = options
        self.builder: SupervisedBuilder | None = None
        self.records = Metrics.counter(NAMESPACE, "records_written")
        self.written = Metrics.counter(NAMESPACE, "sources_written")
        self.failed = Metrics.counter(NAMESPACE, "sources_failed")
        self.seconds = Metrics.counter(NAMESPACE, "audio_seconds")

    def process(self, element: tuple[int, int], run: PlannedRun) -> Iterator[Any]:
        team = team_of(run)
        built = team.take(element) if team is not None else self._built(element, run)
        self.records.inc(built.summary.num_examples)
        self.written.inc(built.summary.written)
        self.failed.inc(built.summary.failed)
        self.seconds.inc(round(built.summary.seconds))
        for row in built.rows:
            if row["status"] == "failed":
                yield TaggedOutput(FAILURES, (row["source"], row["error_stage"], row["error"]))
        yield built.summary

    def _built(self, element: tuple[int, int], run: PlannedRun) -> BuiltShard:
        if self.builder is None:
            timeout, folder = self.options.decode_timeout_seconds, self.options.progress_folder
            self.builder = SupervisedBuilder(run.config, timeout, folder, run.limits)
        return plan_files.build_task(run, element, self.builder)

    def teardown(self) -> None:
        if self.builder is not None:
            self.builder.close()


def log_failure(failure: tuple[str, str, str]) -> None:
    """Put a source that could not be used into the worker's log."""
    source, stage, reason = failure
    _log.warning("%s: %s failed: %s", printable(source), stage, printable(reason))


def commit(_: int, run: PlannedRun, summaries: Iterable[ShardSummary], run_range: Range) -> str:
    """The last step; returns the name of the run."""
    return committing.commit(run, summaries, run_range).runs[-1].name


class BuiltShards(NamedTuple):
    """What `BuildShards` gives: summaries, and (source, stage, reason) of each file that could not be used."""

    summaries: PCollection[ShardSummary]
    failures: PCollection[tuple[str, str, str]]


class BuildShards(beam.PTransform):
    """Places in the plan of a run to its shards, each built as a whole by a supervised process.

    run: it, or a side input that holds it.
    """

    def __init__(self, run: PlannedRun | AsSingleton, options: BuildOptions) -> None:
        super().__init__()
        self.run = run
        self.options = options

    def expand(self, places: PCollection[tuple[int, int]]) -> BuiltShards:
        build = beam.ParDo(BuildShard(self.options), self.run)
        built = (
            places
            | "Reshuffle" >> beam.Reshuffle()
            | "LoadSegmentExtractNormaliseWrite" >> build.with_outputs(FAILURES, main="summaries")
        )
        _ = built[FAILURES] | "LogFailures" >> beam.Map(log_failure)
        return BuiltShards(built.summaries, built[FAILURES])


def build_pipeline(pipeline: beam.Pipeline, run: PlannedRun, options: BuildOptions) -> beam.PCollection:
    """Plan → shards → global range → commit. The result is the name of the committed run."""
    places = pipeline | "Plan" >> beam.Create([run.tasks_uri]) | "ReadTasks" >> beam.FlatMap(plan_files.task_ranges)
    built = places | "BuildShards" >> BuildShards(run, options)
    run_range = built.summaries | "GlobalRange" >> GlobalRange()
    return (
        pipeline
        | "Once" >> beam.Create([0])
        | "Commit" >> beam.Map(commit, run, AsIter(built.summaries), AsSingleton(run_range))
    )

"""Thin Beam transforms over the plain functions of building, supervision and runs.

Only byte ranges of the plan and small summaries cross a stage boundary, never a spectrogram.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsIter, AsSingleton, TaggedOutput

from pipelines.building.shards import ShardSummary
from pipelines.building.supervision import SupervisedBuilder
from pipelines.console.names import printable
from pipelines.runs import committing, plan_files
from pipelines.runs.committing import merged_range
from pipelines.runs.folder import PlannedRun
from pipelines.runs.plan_files import Range

NAMESPACE = "audio-vae"
FAILURES = "failures"
_log = logging.getLogger(__name__)


class MinMaxCombineFn(beam.CombineFn):
    """The lowest minimum and highest maximum of (minimum, maximum) pairs; None stands for no value."""

    def create_accumulator(self) -> Range:
        return None, None

    def add_input(self, accumulator: Range, element: Range) -> Range:
        return self.merge_accumulators([accumulator, element])

    def merge_accumulators(self, accumulators: Iterable[Range]) -> Range:
        return merged_range(accumulators)

    def extract_output(self, accumulator: Range) -> Range:
        return accumulator


@dataclass(frozen=True)
class BuildOptions:
    """How shards are built, without an effect on what is in them."""

    decode_timeout_seconds: float
    progress_folder: str | None


class BuildShard(beam.DoFn):
    """From a line of the plan to a shard: yields its summary, and (source, stage, reason) on the tag `failures`."""

    def __init__(self, run: PlannedRun, options: BuildOptions) -> None:
        self.run = run
        self.options = options
        self.records = Metrics.counter(NAMESPACE, "records_written")
        self.written = Metrics.counter(NAMESPACE, "sources_written")
        self.failed = Metrics.counter(NAMESPACE, "sources_failed")
        self.seconds = Metrics.counter(NAMESPACE, "audio_seconds")

    def setup(self) -> None:
        self.builder = SupervisedBuilder(
            self.run.config, self.options.decode_timeout_seconds, self.options.progress_folder, self.run.limits
        )

    def process(self, element: tuple[int, int]) -> Iterator[Any]:
        built = plan_files.build_task(self.run, element, self.builder)
        self.records.inc(built.summary.num_examples)
        self.written.inc(built.summary.written)
        self.failed.inc(built.summary.failed)
        self.seconds.inc(round(built.summary.seconds))
        for row in built.rows:
            if row["status"] == "failed":
                yield TaggedOutput(FAILURES, (row["source"], row["error_stage"], row["error"]))
        yield built.summary

    def teardown(self) -> None:
        self.builder.close()


def log_failure(failure: tuple[str, str, str]) -> None:
    """Put a source that could not be used into the worker's log."""
    source, stage, reason = failure
    _log.warning("%s: %s failed: %s", printable(source), stage, printable(reason))


def commit(_: int, run: PlannedRun, summaries: Iterable[ShardSummary], run_range: Range) -> str:
    """The last step; returns the name of the run."""
    return committing.commit(run, summaries, run_range).runs[-1].name


def build_pipeline(pipeline: beam.Pipeline, run: PlannedRun, options: BuildOptions) -> beam.PCollection:
    """Plan → shards → global range → commit. The result is the name of the committed run."""
    built = (
        pipeline
        | "Plan" >> beam.Create([run.tasks_uri])
        | "ReadTasks" >> beam.FlatMap(plan_files.task_ranges)
        | "Reshuffle" >> beam.Reshuffle()
        | "BuildShard" >> beam.ParDo(BuildShard(run, options)).with_outputs(FAILURES, main="summaries")
    )
    run_range = (
        built.summaries
        | "Range" >> beam.Map(lambda summary: (summary.min_db, summary.max_db))
        | "GlobalRange" >> beam.CombineGlobally(MinMaxCombineFn())
    )
    _ = built[FAILURES] | "LogFailures" >> beam.Map(log_failure)
    return (
        pipeline
        | "Once" >> beam.Create([0])
        | "Commit" >> beam.Map(commit, run, AsIter(built.summaries), AsSingleton(run_range))
    )

"""The Beam job of `encode`: a plan as `preprocess` makes it, RunInference, one Parquet file.

A shard's batches go through the model and into part files in one fused stage, so that no spectrogram crosses a stage
boundary. What each step does is in `pipelines/runs/encoding_run.py`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.pvalue import AsIter, TaggedOutput

from pipelines.building.supervision import SupervisedBuilder, end_children
from pipelines.errors import WorkError
from pipelines.runs import encoding_run, plan_files
from pipelines.runs.encoding_run import EncodingRun, Model, Part, RecordBatch

ROWS = "rows"
_LAST_CALL_SECONDS = 60.0


class ReadShard(beam.DoFn):
    """From a line of the plan to batches of records; the part with the rows of its sources is on the tag ROWS."""

    def __init__(self, run: EncodingRun, progress_folder: str | None) -> None:
        self.run = run
        self.progress_folder = progress_folder

    def setup(self) -> None:
        self.builder = SupervisedBuilder(
            self.run.config, self.run.decode_timeout_seconds, self.progress_folder, self.run.limits
        )

    def process(self, element: tuple[int, int]) -> Iterator[Any]:
        for read in encoding_run.read_shard(self.run, element, self.builder):
            yield read if isinstance(read, RecordBatch) else TaggedOutput(ROWS, read)

    def teardown(self) -> None:
        self.builder.close()


class _Calls:
    """The calls of models in this process, so that a run that is over waits for its own.

    A thread that comes back from a library's own code after the interpreter's end aborts the process.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: list[str] = []
        self._ended: set[str] = set()

    @contextlib.contextmanager
    def of(self, work: str) -> Iterator[None]:
        """A call for the run of this work folder. WorkError when that run is over."""
        with self._changed:
            if work in self._ended:
                raise WorkError("the run has ended")
            self._running.append(work)
        try:
            yield
        finally:
            with self._changed:
                self._running.remove(work)
                self._changed.notify_all()

    def end(self, work: str) -> None:
        """Let no further call of a run begin, and wait for those that have, a minute at most."""
        with self._changed:
            self._ended.add(work)
            self._changed.wait_for(lambda: work not in self._running, _LAST_CALL_SECONDS)


_calls = _Calls()


@contextlib.contextmanager
def calls_ended(work: str) -> Iterator[None]:
    """When the block ends no call of a model for the run of this work folder is left, nor a builder."""
    try:
        yield
    finally:
        end_children()
        _calls.end(work)


class PartHandler(ModelHandler[RecordBatch, Part, Model]):
    """Runs the model on a batch and writes what it gives into the batch's part file."""

    def __init__(self, run: EncodingRun) -> None:
        super().__init__()
        self.run = run

    def load_model(self) -> Model:
        with _calls.of(self.run.work):
            return self.run.load()

    def run_inference(
        self, batch: RecordBatch, model: Model, inference_args: dict[str, Any] | None = None
    ) -> Iterable[Part]:
        with _calls.of(self.run.work):
            return [encoding_run.encode_batch(self.run, batch, model)]

    def get_num_bytes(self, batch: RecordBatch) -> int:
        return sum(record.spectrogram.nbytes for record in batch.records)


def build_pipeline(pipeline: beam.Pipeline, run: EncodingRun, progress_folder: str | None) -> beam.PCollection:
    """Plan → shards → batches → model → parts → output."""
    read = (
        pipeline
        | "Plan" >> beam.Create([run.tasks_uri])
        | "ReadTasks" >> beam.FlatMap(plan_files.task_ranges)
        | "Reshuffle" >> beam.Reshuffle()
        | "ReadShard" >> beam.ParDo(ReadShard(run, progress_folder)).with_outputs(ROWS, main="batches")
    )
    parts = read.batches | "Encode" >> RunInference(PartHandler(run).with_no_batching())
    once = pipeline | "Once" >> beam.Create([run])
    return once | "Commit" >> beam.Map(encoding_run.commit, AsIter(parts), AsIter(read[ROWS]))

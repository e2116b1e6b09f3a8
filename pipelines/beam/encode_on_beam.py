"""Audio files through a model on Beam: a plan as `preprocess` makes it, RunInference, one Parquet file.

What the model is, is the caller's: a function that a worker calls to load it, and a schema of what it gives. So this
module needs neither Keras nor the model side, and the model side needs no Beam. The unit of work is a shard, decoded by
a supervised builder into a local file of records; its batches go through the model and into part files in one fused
stage, so that no spectrogram crosses a stage boundary. The last step puts the parts in order into the output.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.pvalue import AsIter, TaggedOutput

from pipelines import store
from pipelines.audio.sources import list_sources
from pipelines.building.supervision import SupervisedBuilder, end_children
from pipelines.building.task import split_and_number, task_to_line
from pipelines.config import DatasetConfig, check_feature_allowed
from pipelines.dataset.folder import MANIFEST, read_records
from pipelines.dataset.records import Record, RecordSpec
from pipelines.dataset.tables import read_tables
from pipelines.errors import SettingError, TooManyFailures, WorkError
from pipelines.plan.changes import compare
from pipelines.plan.estimating import Estimator
from pipelines.plan.policy import MaxFailures, Policy
from pipelines.plan.tasks import tasks
from pipelines.runs import folder, plan_files

SOURCE_COLUMNS = [name for name in MANIFEST.names if name not in ("split", "shard")]
"""Of the table beside the output: what became of each source, as in a dataset's manifest."""
ROWS = "rows"
Part = tuple[int, int]
"""Number of a shard, and of a batch in it; or OF_SOURCES for what became of the shard's sources."""
OF_SOURCES = -1
_UNLISTABLE = (-1, OF_SOURCES)  # sources that no shard has
_ROW_GROUP = 1 << 14
_LAST_CALL_SECONDS = 60.0
Model = Callable[[Sequence[Record]], pa.Table]
"""From records in float32 to the rows of the output that they become, in their order."""


@dataclass(frozen=True)
class EncodingRun:
    """What the workers need to know.

    output: URI of the Parquet file. work: folder of the plan and the parts, beside it. load: called once a process, it
    returns the model. schema: of the output. batch_size: records that the model is given at once.
    """

    output: str
    work: str
    config: DatasetConfig
    schema: pa.Schema
    load: Callable[[], Model]
    batch_size: int
    decode_timeout_seconds: float
    max_failures: MaxFailures
    num_sources: int = 0
    num_tasks: int = 0

    @property
    def tasks_uri(self) -> str:
        """The plan, a line a shard."""
        return store.join(self.work, folder.TASKS_FILE)

    @property
    def sources_uri(self) -> str:
        """A row a source: what became of it."""
        return f"{self.output.removesuffix('.parquet')}.sources.parquet"

    def part_uri(self, part: Part) -> str:
        """Where rows wait for the last step."""
        shard, batch = part
        return store.join(self.work, f"sources-{shard}.parquet" if batch == OF_SOURCES else f"{shard}-{batch}.parquet")


def plan(run: EncodingRun, inputs: Sequence[str], shard_mb: float) -> EncodingRun:
    """List the inputs and write the plan. SettingError when they hold no audio file, or a feature is not asked for."""
    check_feature_allowed(run.config.spectrogram.feature)
    listing = list_sources(inputs)
    if len(listing.table) == 0:
        raise SettingError(f"INPUT {' '.join(inputs)}: must hold at least one audio file{listing.why_nothing}")
    changes = compare(listing, None, Policy(), run.config)
    count = 0
    with store.open_atomic(run.tasks_uri) as file:
        for task in tasks(changes, run.config, Estimator(changes.build, run.config), shard_mb):
            file.write(task_to_line(task))
            count += 1
    _write(run.part_uri(_UNLISTABLE), changes.failed.select(SOURCE_COLUMNS))
    return dataclasses.replace(run, num_sources=len(changes.build), num_tasks=count)


def _write(uri: str, table: pa.Table) -> None:
    with store.open_atomic(uri) as file:
        pq.write_table(table, file)


@dataclass(frozen=True)
class RecordBatch:
    """Records that go through the model together, and the part file that they become."""

    part: Part
    records: list[Record]

    def __len__(self) -> int:
        return len(self.records)


class ReadShard(beam.DoFn):
    """From a line of the plan to batches of records; the part with the rows of its sources is on the tag ROWS."""

    def __init__(self, run: EncodingRun, progress_folder: str | None) -> None:
        self.run = run
        self.progress_folder = progress_folder

    def setup(self) -> None:
        self.builder = SupervisedBuilder(self.run.config, self.run.decode_timeout_seconds, self.progress_folder)

    def process(self, element: tuple[int, int]) -> Iterator[Any]:
        task = plan_files.read_line(self.run.tasks_uri, *element)
        with tempfile.TemporaryDirectory(prefix="audio-vae-") as folder:
            built = self.builder.build(task, folder, folder)
            _, number = split_and_number(built.summary.shard)  # there is one split
            part = (number, OF_SOURCES)
            rows = pa.Table.from_pylist(built.rows, schema=MANIFEST).select(SOURCE_COLUMNS)
            _write(self.run.part_uri(part), rows)
            yield TaggedOutput(ROWS, part)
            if built.summary.num_examples:
                records = read_records(os.path.join(folder, built.summary.shard), RecordSpec.of(self.run.config))
                for batch in range(-(-built.summary.num_examples // self.run.batch_size)):
                    yield RecordBatch((number, batch), list(islice(records, self.run.batch_size)))

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
            _write(self.run.part_uri(batch.part), model(batch.records))
        return [batch.part]

    def get_num_bytes(self, batch: RecordBatch) -> int:
        return sum(record.spectrogram.nbytes for record in batch.records)


def commit(_: int, run: EncodingRun, parts: Iterable[Part], rows: Iterable[Part]) -> int:
    """Put the parts in order into the output, all at once; returns its rows. TooManyFailures leaves it as it was."""
    tables = read_tables(run.part_uri(part) for part in [_UNLISTABLE, *sorted(rows)])
    sources = pa.concat_tables(list(tables)).sort_by("source")
    failed = sources["status"].to_pylist().count("failed")
    if run.max_failures.exceeded(failed, len(sources)):
        limit = f"--max-failures={run.max_failures}"
        raise TooManyFailures(f"{run.output}: {failed} of {len(sources)} sources failed, {limit} allows fewer")
    _write(run.sources_uri, sources)
    return write_parts(run, sorted(parts))


def write_parts(run: EncodingRun, parts: Sequence[Part]) -> int:
    """The rows of parts, one after the other, in row groups of a fixed size; returns how many."""
    count = 0
    pending: list[pa.Table] = []
    with store.open_atomic(run.output) as file, pq.ParquetWriter(file, run.schema) as writer:
        for table in read_tables(map(run.part_uri, parts)):
            pending.append(table.cast(run.schema))
            while sum(map(len, pending)) >= _ROW_GROUP:
                together = pa.concat_tables(pending)
                writer.write_table(together.slice(0, _ROW_GROUP))
                pending = [together.slice(_ROW_GROUP)]
                count += _ROW_GROUP
        count += sum(map(len, pending))
        if pending:
            writer.write_table(pa.concat_tables(pending))
    return count


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
    return pipeline | "Once" >> beam.Create([0]) | "Commit" >> beam.Map(commit, run, AsIter(parts), AsIter(read[ROWS]))


@contextlib.contextmanager
def work_folder(output: str) -> Iterator[str]:
    """A folder beside the output, on the same store, that is gone when the block ends."""
    folder = f"{output}.work-{os.getpid()}-{secrets.token_hex(4)}"
    store.make_folder(folder)
    try:
        yield folder
    finally:
        end_children()
        _calls.end(folder)
        store.remove_folder(folder)

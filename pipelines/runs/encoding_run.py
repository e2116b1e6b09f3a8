"""Audio files through a model into one Parquet file: the plan, the parts that a shard's batches become, and the commit.

What the model is, is the caller's: a function that a worker calls to load it, and a schema of what it gives. So this
module needs neither Keras nor the model side, and the model side needs no Beam. The unit of work is a shard, decoded by
a supervised builder into a local file of records. Each batch of them goes through the model into a part file; the last
step puts the parts in order into the output.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import store
from pipelines.audio.limits import SourceLimits
from pipelines.audio.sources import list_sources
from pipelines.building.supervision import SupervisedBuilder, end_children
from pipelines.building.task import split_and_number, task_to_line
from pipelines.config import DatasetConfig, check_feature_allowed
from pipelines.dataset.folder import MANIFEST, read_records
from pipelines.dataset.records import Record, RecordSpec
from pipelines.dataset.tables import read_tables
from pipelines.errors import SettingError, TooManyFailures
from pipelines.own_folder import own_folder
from pipelines.plan.changes import compare
from pipelines.plan.estimating import Estimator, room_text
from pipelines.plan.policy import MaxFailures, Policy
from pipelines.plan.tasks import tasks
from pipelines.runs import folder, plan_files
from pipelines.space import require_room
from pipelines.store.paths import local_path

SOURCE_COLUMNS = [name for name in MANIFEST.names if name not in ("split", "shard", "left_out", "loudest_db")]
"""Of the table beside the output: what became of each source, as in a dataset's manifest."""
Part = tuple[int, int]
"""Number of a shard, and of a batch in it; or OF_SOURCES for what became of the shard's sources."""
OF_SOURCES = -1
_UNLISTABLE = (-1, OF_SOURCES)  # sources that no shard has
_ROW_GROUP = 1 << 14
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
    limits: SourceLimits
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


@contextlib.contextmanager
def work_folder(output: str, here: bool) -> Iterator[str]:
    """A folder beside the output, on the same store, that is gone when the block ends.

    here: whether this process does the work. Then one that a killed process of this machine left there goes too; that
    of a job elsewhere outlives its launcher.
    """
    path = local_path(output)
    if here and path is not None:
        parent, name = os.path.split(os.path.abspath(path))
        folder = str(own_folder(f"{name}.work-{socket.gethostname()}-", parent))
    else:
        folder = f"{output}.work-{os.getpid()}-{secrets.token_hex(4)}"
        store.make_folder(folder)
    try:
        yield folder
    finally:
        end_children()
        store.remove_folder(folder)


def plan(run: EncodingRun, inputs: Sequence[str], shard_mb: float) -> EncodingRun:
    """List the inputs and write the plan. SettingError when they hold no audio file, or a feature is not asked for."""
    check_feature_allowed(run.config.spectrogram.feature)
    listing = list_sources(inputs)
    if len(listing.table) == 0:
        raise SettingError(f"INPUT {' '.join(inputs)}: must hold at least one audio file{listing.why_nothing}")
    changes = compare(listing, None, Policy(by_content=False), run.config)
    count = 0
    estimator = Estimator(changes.build, run.config, run.limits.max_source_seconds)
    require_room(tempfile.gettempdir(), "The temporary folder", estimator.longest_bytes, room_text(estimator))
    with store.open_atomic(run.tasks_uri) as file:
        for task in tasks(changes, run.config, estimator, shard_mb):
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


def read_shard(run: EncodingRun, place: tuple[int, int], builder: SupervisedBuilder) -> Iterator[Part | RecordBatch]:
    """The task at (offset, length) of the plan: first the part with the rows of its sources, which is written then."""
    task = plan_files.read_line(run.tasks_uri, *place)
    with tempfile.TemporaryDirectory(prefix="audio-vae-") as folder:
        built = builder.build(task, folder, folder)
        _, number = split_and_number(built.summary.shard)  # there is one split
        part = (number, OF_SOURCES)
        _write(run.part_uri(part), pa.Table.from_pylist(built.rows, schema=MANIFEST).select(SOURCE_COLUMNS))
        yield part
        if built.summary.num_examples:
            records = read_records(os.path.join(folder, built.summary.shard), RecordSpec.of(run.config))
            for batch in range(-(-built.summary.num_examples // run.batch_size)):
                yield RecordBatch((number, batch), list(islice(records, run.batch_size)))


def encode_batch(run: EncodingRun, batch: RecordBatch, model: Model) -> Part:
    """Run the model on a batch and write what it gives into the batch's part file."""
    _write(run.part_uri(batch.part), model(batch.records))
    return batch.part


def commit(run: EncodingRun, parts: Iterable[Part], rows: Iterable[Part]) -> int:
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

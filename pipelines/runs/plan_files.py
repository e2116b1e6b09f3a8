"""One run over a dataset folder, from its plan to its commit.

A run's folder exists before the run does: only replacing `dataset.json`, the last thing that happens, makes it real.
What a killed run leaves has a number above the last committed one, so the next run knows it and clears it away.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import store
from pipelines.audio.limits import SourceLimits
from pipelines.audio.sources import Listing
from pipelines.building.task import ShardTask, task_to_line
from pipelines.config import DatasetConfig
from pipelines.dataset.folder import MANIFEST, Dataset, Run, Shard, Sources
from pipelines.dataset.names import RUNS
from pipelines.dataset.records import Range
from pipelines.dataset.tables import range_of_rows
from pipelines.errors import WorkError
from pipelines.plan.changes import KEPT, Changes, kept_shards
from pipelines.plan.policy import MaxFailures
from pipelines.runs.fate import PLAN_FILE
from pipelines.runs.folder import CARRIED_FILE, FAILED_FILE, PlannedRun, make_run_folder

if TYPE_CHECKING:
    from pipelines.building.shards import BuiltShard
    from pipelines.building.supervision import SupervisedBuilder


@dataclass(frozen=True)
class Plan:
    """What `plan.json` holds: all that the commit must know besides the shards that are built.

    kept: shards of each split that stay as they are. kept_seconds, kept_sources, kept_range: of the sources whose
    records stay, also those that are copied into new shards. listing_failures: sources that failed while they were
    listed. removed, removed_before: sources that leave now, and that have left before. ignored: other files. runs:
    those that the dataset names.
    """

    kept: dict[str, tuple[Shard, ...]]
    kept_seconds: dict[str, float]
    kept_sources: int
    kept_range: Range
    listing_failures: int
    removed: int
    removed_before: int
    ignored: int
    runs: tuple[Run, ...]
    max_failures: MaxFailures

    def to_json(self) -> bytes:
        """The file's content."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Plan:
        """The inverse of `to_json`."""
        values = json.loads(content)
        low, high = values.pop("kept_range")
        runs = values.pop("runs")
        return cls(
            kept={split: tuple(Shard(**shard) for shard in shards) for split, shards in values.pop("kept").items()},
            kept_range=(low, high),
            runs=tuple(Run(r["name"], tuple(r["inputs"]), Sources(**r["sources"]), r["num_examples"]) for r in runs),
            max_failures=MaxFailures(**values.pop("max_failures")),
            **values,
        )


def read_plan(run: PlannedRun) -> Plan:
    """The plan that `plan_run` wrote."""
    return Plan.from_json(store.read_bytes(store.join(run.plan_uri, PLAN_FILE)))


def plan_run(
    dataset_uri: str,
    base: Dataset | None,
    config: DatasetConfig,
    listing: Listing,
    changes: Changes,
    tasks: Iterable[ShardTask],
    max_failures: MaxFailures,
    taken: Collection[str] = (),
    limits: SourceLimits | None = None,
) -> PlannedRun:
    """Write the plan of the next run into its folder, which has none of the names that are taken."""
    name = make_run_folder(dataset_uri, base.runs[-1].number + 1 if base else 1, taken)
    digest = base.digest if base else None
    inputs = _inputs(base, listing, changes)
    run = PlannedRun(dataset_uri, name, config, digest, inputs, 0, len(changes.build), limits or SourceLimits())
    num_tasks, new_names = 0, {}
    with store.open_atomic(run.tasks_uri) as file:
        for task in tasks:
            file.write(task_to_line(task))
            num_tasks += 1
            if task.copy_of is not None:
                new_names[task.copy_of] = task.shard
    stays = pa.concat_tables([changes.kept, changes.carried.select(KEPT)])
    plan = Plan(
        kept={split: tuple(shards) for split, shards in kept_shards(base, changes).items()},
        kept_seconds=_seconds_by_split(stays),
        kept_sources=len(stays),
        kept_range=range_of_rows(stays),
        listing_failures=len(changes.failed) - changes.failed_before,
        removed=changes.removed,
        removed_before=base.sources.removed if base else 0,
        ignored=listing.ignored,
        runs=base.runs if base else (),
        max_failures=max_failures,
    )
    none_of = (changes.failed, changes.silent, changes.duplicates)
    without_records = pa.concat_tables([part.select(MANIFEST.names) for part in none_of])
    write_plan(run, plan, _renamed(changes.carried, new_names), without_records)
    return dataclasses.replace(run, num_tasks=num_tasks)


def write_plan(run: PlannedRun, plan: Plan, carried: pa.Table, failed: pa.Table) -> None:
    """Write all of a plan but its tasks. carried, failed: manifest rows of records that are copied, and of
    failures, silent sources and duplicates."""
    _write_table(store.join(run.plan_uri, CARRIED_FILE), carried)
    _write_table(store.join(run.plan_uri, FAILED_FILE), failed)
    store.write_bytes(store.join(run.plan_uri, PLAN_FILE), plan.to_json())


def _inputs(base: Dataset | None, listing: Listing, changes: Changes) -> tuple[str, ...]:
    """All inputs that a source of this run may have come from: its own, and those of the runs it copies from."""
    copied = set(pc.unique(changes.carried["run"]).to_pylist())
    older = [uri for run in (base.runs if base else ()) if run.name in copied for uri in run.inputs]
    return tuple(dict.fromkeys([*listing.roots, *older]))


def _seconds_by_split(rows: pa.Table) -> dict[str, float]:
    grouped = rows.group_by("split", use_threads=False).aggregate([("seconds", "sum")])
    return dict(zip(grouped["split"].to_pylist(), grouped["seconds_sum"].to_pylist(), strict=True))


def _renamed(carried: pa.Table, new_names: dict[str, str]) -> pa.Table:
    """Rows of copied records under the name of their new shard, in the order of the shards."""
    old = pc.binary_join_element_wise(carried["run"], carried["shard"], "/").to_pylist()
    shards = pa.array([new_names[f"{RUNS}/{path}"] for path in old], pa.string())
    rows = carried.set_column(MANIFEST.get_field_index("shard"), "shard", shards).select(MANIFEST.names)
    return rows.sort_by([("shard", "ascending"), ("source", "ascending")])


def _write_table(uri: str, table: pa.Table) -> None:
    with store.open_atomic(uri) as file:
        pq.write_table(table.cast(MANIFEST), file)


def task_ranges(tasks_uri: str) -> Iterator[tuple[int, int]]:
    """Offset and length of each line of the tasks file."""
    offset = 0
    try:
        with store.open_read(tasks_uri) as file:
            for line in file:
                yield offset, len(line)
                offset += len(line)
    except FileNotFoundError as error:
        raise _cleared_away(tasks_uri) from error


def read_line(tasks_uri: str, offset: int, length: int) -> bytes:
    """One line of the tasks file."""
    try:
        return store.read_range(tasks_uri, offset, length)
    except FileNotFoundError as error:
        raise _cleared_away(tasks_uri) from error


def _cleared_away(tasks_uri: str) -> WorkError:
    return WorkError(f"{tasks_uri}: was cleared away meanwhile, by another run; run again")


def build_task(run: PlannedRun, place: tuple[int, int], builder: SupervisedBuilder) -> BuiltShard:
    """Do the task at (offset, length) of the tasks file, and leave its manifest rows for the commit."""
    built = builder.build(read_line(run.tasks_uri, *place), run.dataset_uri, run.uri)
    write_rows(run, built)
    return built


def write_rows(run: PlannedRun, built: BuiltShard) -> None:
    """Put a shard's manifest rows beside the plan, where the commit finds them."""
    if built.rows:
        _write_table(rows_uri(run, built.summary.shard), pa.Table.from_pylist(built.rows, schema=MANIFEST))


def rows_uri(run: PlannedRun, shard: str) -> str:
    """Where a shard's manifest rows lie until the commit."""
    return store.join(run.plan_uri, f"{shard}.rows.parquet")

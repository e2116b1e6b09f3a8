"""The last step of a run: write its manifest, then replace `dataset.json`. Before that the run does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import store
from pipelines.building.task import split_and_number
from pipelines.config import TRAIN
from pipelines.console.names import printable
from pipelines.dataset.folder import MANIFEST, Dataset, Run, Shard, Sources, Split, open_dataset
from pipelines.dataset.names import ENTRY, FAILED, MANIFEST_FILE, RUNS, SCHEMA_FILE
from pipelines.dataset.records import Range, merged_range, schema_pbtxt
from pipelines.dataset.tables import read_parquet, read_tables
from pipelines.errors import TooManyFailures, WorkError
from pipelines.runs.fate import settling
from pipelines.runs.folder import CARRIED_FILE, FAILED_FILE, PlannedRun
from pipelines.runs.plan_files import Plan, read_plan, rows_uri

if TYPE_CHECKING:
    from pipelines.building.shards import ShardSummary


_ROWS_AT_ONCE = 1 << 14


def commit(run: PlannedRun, summaries: Iterable[ShardSummary], run_range: Range) -> Dataset:
    """Write the run's manifest, then replace `dataset.json`: from then on the run exists. Safe to repeat.

    TooManyFailures or WorkError when the run must not become real; WorkError when the dataset has moved on meanwhile.
    """
    with settling(run.uri) as is_there:
        return _commit(run, summaries, run_range, is_there)


def _commit(run: PlannedRun, summaries: Iterable[ShardSummary], run_range: Range, is_there: bool) -> Dataset:
    entry = store.join(run.dataset_uri, ENTRY)
    version = store.version(entry)  # before it is read: whoever replaces it in between is noticed
    base = open_dataset(run.dataset_uri) if version is not None else None
    if base is not None and base.runs[-1].name == run.name:
        return base  # a repeated step: done already
    if not is_there:
        raise WorkError(f"{run.uri}: was cleared away meanwhile; run again")
    if (base.digest if base else None) != run.base_digest:
        raise _overtaken(run)
    plan = read_plan(run)
    ordered = sorted(summaries, key=lambda summary: _shard_order(summary.shard))
    _check_failures(run, plan, ordered)
    num_rows = _write_manifest(run, ordered)
    dataset = _next_dataset(run, plan, ordered, run_range)
    if num_rows["written"] + plan.kept_sources - num_rows["carried"] != dataset.sources.written:
        raise WorkError(f"{run.uri}: its manifest and its shards do not agree; run again")
    if base is None:
        _write_schema(dataset)
    try:
        store.replace_if_unchanged(entry, dataset.to_json(), version)
    except store.Conflict as error:
        if base is None:  # both were the first run, and the schema may be this one's
            _write_schema(open_dataset(run.dataset_uri))
        raise _overtaken(run) from error
    _clear_run(run, {summary.shard for summary in ordered if summary.num_examples})
    return dataset


def _write_schema(dataset: Dataset) -> None:
    store.write_bytes(store.join(dataset.uri, SCHEMA_FILE), schema_pbtxt(dataset.record).encode())


def _overtaken(run: PlannedRun) -> store.Conflict:
    return store.Conflict(f"DATASET {run.dataset_uri}: another run committed meanwhile; run again")


def _shard_order(name: str) -> tuple[bool, str, int]:
    split, number = split_and_number(name)
    return split != TRAIN, split, number


def _check_failures(run: PlannedRun, plan: Plan, summaries: list[ShardSummary]) -> None:
    failed = sum(summary.failed for summary in summaries) + plan.listing_failures
    silent = sum(summary.silent for summary in summaries)
    tried = sum(summary.written + summary.failed for summary in summaries) + silent + plan.listing_failures
    limit = plan.max_failures
    if limit.exceeded(failed, tried):
        raise TooManyFailures(
            f"{failed} of {tried} sources failed, --max-failures={limit} allows fewer; nothing was committed. "
            f"The first: {_first_failure(run, summaries)}"
        )
    if plan.kept_sources + sum(summary.written for summary in summaries) == 0:
        if failed == 0 and silent:
            level = run.config.audio.min_level_db
            raise WorkError(f"none of {tried} sources has a sample at {level:g} dB of full scale: see --min-level-db")
        if failed == 0:
            raise WorkError(f"DATASET {run.dataset_uri}: no source would be left; remove the folder instead")
        raise WorkError(f"none of {tried} sources could be used. The first: {_first_failure(run, summaries)}")


def _first_failure(run: PlannedRun, summaries: list[ShardSummary]) -> str:
    tables = [read_parquet(rows_uri(run, s.shard)) for s in summaries if s.failed][:1]
    tables.append(read_parquet(store.join(run.plan_uri, FAILED_FILE)))
    row = next(row for table in tables for row in table.to_pylist() if row["status"] == "failed")
    return printable(f"{row['source']}: {row['error_stage']} failed: {row['error']}")


def _write_manifest(run: PlannedRun, summaries: list[ShardSummary]) -> dict[str, int]:
    """Rows of copied shards, then of built ones in the order of the plan, then of sources that failed earlier."""
    carried = store.join(run.plan_uri, CARRIED_FILE)
    parts = [rows_uri(run, s.shard) for s in summaries if s.written or s.failed or s.silent]
    counts = {"written": 0, "carried": 0}
    with (
        store.open_atomic(store.join(run.uri, MANIFEST_FILE)) as file,
        pq.ParquetWriter(file, MANIFEST, compression="zstd") as writer,
    ):
        pending: list[pa.Table] = []
        uris = [carried, *parts, store.join(run.plan_uri, FAILED_FILE)]
        for uri, table in zip(uris, read_tables(uris), strict=True):
            counts["written"] += pc.sum(pc.equal(table["status"], "written")).as_py() or 0
            counts["carried"] += len(table) if uri == carried else 0
            pending.append(table)
            if sum(map(len, pending)) >= _ROWS_AT_ONCE:
                writer.write_table(pa.concat_tables(pending), row_group_size=2 * _ROWS_AT_ONCE)
                pending = []
        writer.write_table(pa.concat_tables([*pending, MANIFEST.empty_table()]))
    return counts


def _next_dataset(run: PlannedRun, plan: Plan, summaries: list[ShardSummary], run_range: Range) -> Dataset:
    shards = {name: list(kept) for name, kept in plan.kept.items()}
    seconds: dict[str, float] = dict(plan.kept_seconds)
    for summary in summaries:
        if summary.num_examples:
            path = f"{RUNS}/{run.name}/{summary.shard}"
            shard = Shard(path, summary.num_examples, summary.num_bytes, summary.crc32c)
            shards.setdefault(summary.split, []).append(shard)
        seconds[summary.split] = seconds.get(summary.split, 0.0) + summary.seconds
    names = sorted((name for name in shards if shards[name]), key=lambda name: (name != TRAIN, name))
    splits = {
        name: Split(sum(s.num_examples for s in shards[name]), round(seconds[name], 6), tuple(shards[name]))
        for name in names
    }
    low, high = merged_range([plan.kept_range, run_range])
    assert low is not None
    assert high is not None
    written = sum(summary.written for summary in summaries)
    failed_now = sum(summary.failed for summary in summaries) + plan.listing_failures
    before = read_parquet(store.join(run.plan_uri, FAILED_FILE), ["status"])["status"].to_pylist().count(FAILED)
    failed = before + sum(summary.failed for summary in summaries)
    own = Sources(written + failed_now, written, failed_now, plan.removed, plan.ignored)
    total = plan.kept_sources + written
    removed = plan.removed_before + plan.removed
    alive = {shard.run for named in shards.values() for shard in named}
    this = Run(run.name, run.inputs, own, sum(summary.num_examples for summary in summaries))
    return Dataset(
        uri=run.dataset_uri,
        config=run.config,
        min_db=low,
        max_db=high,
        splits=splits,
        sources=Sources(total + failed, total, failed, removed, plan.ignored),
        runs=(*(earlier for earlier in plan.runs if earlier.name in alive), this),
    )


def _clear_run(run: PlannedRun, shards: set[str]) -> None:
    """Leave only the manifest and the shards in a committed run's folder."""
    for name in store.names(run.uri):
        if name not in shards and name != MANIFEST_FILE:
            store.remove_folder(store.join(run.uri, name))

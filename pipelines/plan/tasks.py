"""Cuts what is to be built into shards: one task a shard, in a fixed order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.audio.sources import iterate
from pipelines.building.task import Copy, ShardTask, Source, shard_name
from pipelines.config import TRAIN, DatasetConfig, split_of
from pipelines.plan.changes import Changes
from pipelines.plan.contents import ETAG
from pipelines.plan.estimating import Estimator

SHARD_MB = 64.0
"""The size of a full shard when nothing is said."""
_LEAST_SHARD_BYTES = 4e6
MOST_SOURCES = 2000
"""In a shard, however small their records: a builder holds a row for each."""
_SHARDS_WANTED = 16  # a run smaller than this many full shards is cut finer, so that all workers have work


def tasks(changes: Changes, config: DatasetConfig, estimator: Estimator, shard_mb: float) -> Iterator[ShardTask]:
    """Cut the work into shards, in a fixed order: copies of old shards first, then new sources by split and name."""
    numbers: dict[str, int] = {}

    def name(split: str) -> str:
        numbers[split] = numbers.get(split, -1) + 1
        return shard_name(split, numbers[split])

    for (split, run, shard), sources in _survivors(changes.carried):
        renamed = {was: now for was, now in sources.items() if was != now}
        yield ShardTask(name(split), split, copy_of=f"runs/{run}/{shard}", keep=list(sources), renamed=renamed)
    copies = _copies(changes.copies)
    by_split = _by_split(changes.build, config)
    target = _shard_bytes(changes.build, estimator, shard_mb)
    for split, rows in by_split:
        pending: list[Source] = []
        size = 0.0
        for source in _sources(rows):
            more = estimator.output_bytes(source.source, source.size)
            if pending and (size + more > target or len(pending) == MOST_SOURCES):
                yield ShardTask(name(split), split, pending)
                pending, size = [], 0.0
            if source.digest is not None and source.digest.startswith(ETAG):
                source = source._replace(digest=None)  # its stamp is the ETag
            pending.append(source._replace(copies=copies[source.source]) if source.source in copies else source)
            size += more
        if pending:
            yield ShardTask(name(split), split, pending)


def full_shard_bytes(total: float, shard_mb: float) -> float:
    """The size of a full shard where there are so many bytes of records in all."""
    return min(shard_mb * 1e6, max(_LEAST_SHARD_BYTES, total / _SHARDS_WANTED))


def _shard_bytes(build: pa.Table, estimator: Estimator, shard_mb: float) -> float:
    total = math.fsum(estimator.output_bytes(each.source, each.size) for each in _sources(build))
    return full_shard_bytes(total, shard_mb)


def _survivors(carried: pa.Table) -> Iterator[tuple[tuple[str, str, str], dict[str, str]]]:
    """The sources that stay of each shard: the names that they have there, with those of now."""
    groups: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in carried.select(["split", "run", "shard", "source", "was"]).to_pylist():
        sources = groups.setdefault((row["split"], row["run"], row["shard"]), {})
        sources[row["was"] or row["source"]] = row["source"]
    return iter(sorted(groups.items(), key=lambda group: group[0]))


def _copies(table: pa.Table) -> dict[str, tuple[Copy, ...]]:
    """The files that go with each source to be built."""
    found: dict[str, tuple[Copy, ...]] = {}
    for row in table.to_pylist():
        found[row["of"]] = (*found.get(row["of"], ()), Copy(row["source"], row["size"], row["stamp"]))
    return found


def _by_split(build: pa.Table, config: DatasetConfig) -> list[tuple[str, pa.Table]]:
    """The sources of each split, train first, then in alphabetical order."""
    planned = zip(iterate(build["source"]), iterate(build["split"]), strict=True)
    splits = pa.array([split or split_of(source, config) for source, split in planned], pa.string())
    names = sorted(pc.unique(splits).to_pylist(), key=lambda name: (name != TRAIN, name))
    return [(name, build.filter(pc.equal(splits, name))) for name in names]


def _sources(table: pa.Table) -> Iterator[Source]:
    for batch in table.select(["source", "root", "size", "stamp", "digest"]).to_batches(max_chunksize=1 << 14):
        yield from itertools.starmap(Source, zip(*(column.to_pylist() for column in batch.columns), strict=True))

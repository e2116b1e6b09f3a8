"""Which small shards of a dataset go together into full ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipelines.building.task import shard_name
from pipelines.dataset.folder import Dataset, Shard
from pipelines.dataset.names import RUNS
from pipelines.plan.tasks import MOST_SOURCES, full_shard_bytes

_SMALL = 0.5
"""A shard is small under this part of a full one. No more than a half, so that a merged one is not small again."""


@dataclass(frozen=True)
class Merge:
    """Shards of a split, in order, that become one. shard: its file name in the run that writes it."""

    shard: str
    split: str
    parts: tuple[Shard, ...]


def small_shards(dataset: Dataset, shard_mb: float, sources: dict[str, int] | None = None) -> dict[str, list[Shard]]:
    """The small shards of each split, in order. sources: how many each shard has by its path; without it all count
    that have few bytes, also those that are full of sources."""
    full = full_shard_bytes(sum(shard.num_bytes for shard in dataset.shards), shard_mb)
    counts = sources or {}
    return {
        name: [
            shard
            for shard in split.shards
            if shard.num_bytes < _SMALL * full and counts.get(shard.path, 0) < _SMALL * MOST_SOURCES
        ]
        for name, split in dataset.splits.items()
    }


def sources_of_shards(rows: pa.Table) -> dict[str, int]:
    """How many sources each shard has, by its path. rows: `run` and `shard` of a dataset's manifest."""
    counted = rows.group_by(["run", "shard"], use_threads=False).aggregate([([], "count_all")]).to_pylist()
    return {f"{RUNS}/{row['run']}/{row['shard']}": row["count_all"] for row in counted}


def merges(dataset: Dataset, sources: dict[str, int], shard_mb: float) -> list[Merge]:
    """What makes full shards of the small ones; nothing where no two of a split fit into one.

    sources: how many each shard has. The same dataset gives the same, and what comes of it gives nothing.
    """
    full = full_shard_bytes(sum(shard.num_bytes for shard in dataset.shards), shard_mb)
    found = []
    for split, small in small_shards(dataset, shard_mb, sources).items():
        together = [group for group in _groups(small, sources, full) if len(group) > 1]
        found += [Merge(shard_name(split, i), split, tuple(group)) for i, group in enumerate(together)]
    return found


def _groups(shards: list[Shard], sources: dict[str, int], full: float) -> Iterator[list[Shard]]:
    """One after the other as long as they fit into one. All are small, so a group that ends for want of room is not."""
    pending: list[Shard] = []
    size = count = 0
    for shard in shards:
        own = sources.get(shard.path, 0)
        if pending and (size + shard.num_bytes > full or count + own > MOST_SOURCES):
            yield pending
            pending, size, count = [], 0, 0
        pending.append(shard)
        size, count = size + shard.num_bytes, count + own
    if pending:
        yield pending

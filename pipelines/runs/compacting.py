"""Makes full shards of a dataset's small ones: a run that decodes nothing and copies records byte for byte."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import google_crc32c
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pipelines.building.shards import ShardSummary
from pipelines.console.live_line import counting
from pipelines.dataset.folder import MANIFEST, Dataset, Shard, open_dataset
from pipelines.dataset.names import RUNS
from pipelines.errors import StoreError, WorkError, require
from pipelines.plan.merging import Merge, merges, small_shards, sources_of_shards
from pipelines.plan.policy import MaxFailures
from pipelines.plan.tasks import SHARD_MB
from pipelines.runs.committing import commit
from pipelines.runs.folder import PlannedRun, clear_leftovers, cleared_unless_done, make_run_folder
from pipelines.runs.plan_files import Plan, write_plan
from pipelines.store.holding import lock
from pipelines.store.paths import Place

_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Compacted:
    """What became of a split's small shards: how many, of so many records and bytes, are one of `into` now."""

    shards: int
    into: int
    num_examples: int
    num_bytes: int


@dataclass(frozen=True)
class Compaction:
    """What compacting a dataset came to. splits: those with shards to merge, by name; nothing where it is empty.

    dataset: as it is now. run: the name of the run that did it; None when there was nothing to do, or with dry_run.
    """

    dataset: Dataset
    splits: dict[str, Compacted]
    run: str | None

    @property
    def shards(self) -> int:
        """Small shards that are merged, over all splits."""
        return sum(split.shards for split in self.splits.values())

    @property
    def into(self) -> int:
        """Shards that they become."""
        return sum(split.into for split in self.splits.values())

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        splits = {name: dataclasses.asdict(split) for name, split in self.splits.items()}
        status = "committed" if self.run else "would commit" if splits else "unchanged"
        return {"dataset": store.shown(self.dataset.uri), "status": status, "run": self.run, "splits": splits}


def compact_dataset(dataset: Dataset | Place, *, shard_mb: float = SHARD_MB, dry_run: bool = False) -> Compaction:
    """Merge the small shards of each split into full ones, without decoding: `audio-vae compact`.

    dataset: an open one, or the path or URI of one. shard_mb: the size of a full shard, as of `preprocess`; smaller
    where the dataset is. dry_run: only say what would be done. The records stay as they are, byte for byte. It is a run
    like those of `preprocess`: nothing is changed before all of it is there, and what it replaced stays for readers
    until `prune_dataset`. WorkError names a shard that is not what `dataset.json` says.

    >>> compaction = compact_dataset(dataset)  # of one small shard a split
    >>> compaction.run, compaction.splits
    (None, {})
    """
    require(shard_mb > 0, "shard_mb", shard_mb, "a positive number of megabytes")
    uri = dataset.uri if isinstance(dataset, Dataset) else os.fspath(dataset)
    base = open_dataset(uri)  # before the lock, which makes a folder that does not exist
    if dry_run:
        return Compaction(base, _splits(_merges(base, shard_mb)), None)
    with lock(uri):
        base = open_dataset(uri)
        cleared = clear_leftovers(uri, base)
        found = _merges(base, shard_mb)
        if not found:
            return Compaction(base, {}, None)
        taken = [folder.rsplit("/", 1)[1] for folder in cleared]
        with cleared_unless_done(uri):
            run = _plan(base, found, taken)
        with cleared_unless_done(uri, run.name), counting(sum(len(each.parts) for each in found), "shards") as counter:
            summaries = [_merge(each, run, counter.add) for each in found]
            merged = commit(run, summaries, (None, None))
    return Compaction(merged, _splits(found), run.name)


def compact_if_many(dataset: Dataset, more_than: int | None, shard_mb: float = SHARD_MB) -> Compaction | None:
    """`compact_dataset` when a split has more small shards than so many; None when nothing is done, as for None.

    Manifests are read only where the answer depends on them.
    """

    def many(shards: dict[str, list[Shard]]) -> bool:
        return more_than is not None and any(len(small) > more_than for small in shards.values())

    if not many(small_shards(dataset, shard_mb)) or not many(small_shards(dataset, shard_mb, _sources(dataset))):
        return None
    return compact_dataset(dataset, shard_mb=shard_mb)


def _sources(dataset: Dataset) -> dict[str, int]:
    rows = dataset.manifest(["shard", "status"])
    return sources_of_shards(rows.filter(pc.equal(rows["status"], "written")))


def _merges(dataset: Dataset, shard_mb: float) -> list[Merge]:
    return merges(dataset, _sources(dataset), shard_mb)


def _splits(found: list[Merge]) -> dict[str, Compacted]:
    splits: dict[str, Compacted] = {}
    for merge in found:
        before = splits.get(merge.split, Compacted(0, 0, 0, 0))
        splits[merge.split] = Compacted(
            before.shards + len(merge.parts),
            before.into + 1,
            before.num_examples + sum(part.num_examples for part in merge.parts),
            before.num_bytes + sum(part.num_bytes for part in merge.parts),
        )
    return splits


def _plan(base: Dataset, found: list[Merge], taken: list[str]) -> PlannedRun:
    """Write the plan of the run into its folder: rows under the names of their new shards, and all that stays."""
    new_names = {part.path: merge.shard for merge in found for part in merge.parts}
    rows = base.manifest()
    paths = pc.binary_join_element_wise(RUNS, pc.cast(rows["run"], pa.string()), rows["shard"], "/")
    shards = _looked_up(paths, new_names)
    position = MANIFEST.get_field_index("shard")
    moved = rows.set_column(position, "shard", shards).filter(pc.is_valid(shards))
    inputs = _inputs(base, {part.run for merge in found for part in merge.parts})
    moved = _with_inputs(moved, base, inputs).select(MANIFEST.names)
    name = make_run_folder(base.uri, base.runs[-1].number + 1, taken)
    run = PlannedRun(base.uri, name, base.config, base.digest, inputs, num_tasks=len(found), num_sources=0)
    splits = base.splits.items()
    plan = Plan(
        kept={name: tuple(shard for shard in split.shards if shard.path not in new_names) for name, split in splits},
        kept_seconds={name: split.seconds for name, split in splits},
        kept_sources=base.sources.written,
        kept_range=(base.min_db, base.max_db),
        listing_failures=0,
        removed=0,
        removed_before=base.sources.removed,
        ignored=base.sources.ignored,
        runs=base.runs,
        max_failures=MaxFailures(),
    )
    order = [("shard", "ascending"), ("source", "ascending")]
    write_plan(run, plan, moved.sort_by(order), base.without_records())
    return run


def _inputs(base: Dataset, runs: set[str]) -> tuple[str, ...]:
    """All inputs of these runs, in order."""
    return tuple(dict.fromkeys(uri for run in base.runs if run.name in runs for uri in run.inputs))


def _with_inputs(rows: pa.Table, base: Dataset, inputs: tuple[str, ...]) -> pa.Table:
    """Rows with the inputs of the run that they come from, where those are not all inputs of the new run."""
    own = {run.name: json.dumps(run.inputs) for run in base.runs if set(run.inputs) != set(inputs)}
    of_runs = _looked_up(pc.cast(rows["run"], pa.string()), own)
    return rows.set_column(rows.schema.get_field_index("inputs"), "inputs", pc.coalesce(rows["inputs"], of_runs))


def _looked_up(column: pa.ChunkedArray, values: dict[str, str]) -> pa.ChunkedArray:
    """For each text of a column its value, null where it has none."""
    position = pc.index_in(column, value_set=pa.array(list(values), pa.string()))
    return pc.take(pa.array(list(values.values()), pa.string()), position)


def _merge(merge: Merge, run: PlannedRun, done: Callable[[], object]) -> ShardSummary:
    """Copy the parts one behind the other: a TFRecord file is its entries, without a beginning or an end."""
    crc = 0
    with store.open_atomic(store.join(run.uri, merge.shard)) as file:
        for part in merge.parts:
            for block in _blocks(part, store.join(run.dataset_uri, part.path)):
                file.write(block)
                crc = google_crc32c.extend(crc, block)
            done()
    num_examples = sum(part.num_examples for part in merge.parts)
    return ShardSummary(merge.shard, merge.split, num_examples, sum(part.num_bytes for part in merge.parts), crc)


def _blocks(shard: Shard, uri: str) -> Iterator[bytes]:
    """The bytes of a shard. WorkError when, at the end, they are not those that `dataset.json` names."""
    length, crc = 0, 0
    with _opened(uri) as file:
        while block := _read(file, uri):
            length, crc = length + len(block), google_crc32c.extend(crc, block)
            yield block
    if (length, crc) != (shard.num_bytes, shard.crc32c):
        told = f"{shard.num_bytes:,} bytes of CRC32C {shard.crc32c}, as dataset.json says, not {length:,} of {crc}"
        raise WorkError(f"{uri}: must have {told}; nothing was changed")


@contextlib.contextmanager
def _opened(uri: str) -> Iterator[IO[bytes]]:
    with contextlib.ExitStack() as stack:
        try:
            store.require_plain_file(uri)
            file = stack.enter_context(store.open_read(uri))
        except OSError as error:
            raise _unreadable(uri, error) from error
        yield file


def _read(file: IO[bytes], uri: str) -> bytes:
    try:
        return file.read(_AT_ONCE)
    except OSError as error:
        raise _unreadable(uri, error) from error


def _unreadable(uri: str, error: OSError) -> Exception:
    return error if isinstance(error, StoreError) else WorkError(f"{uri}: cannot be read: {error.strerror or error}")

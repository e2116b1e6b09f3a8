"""What a run has to do: which sources are new, changed or gone, and which shard each one goes to.

The plan is a folder of files inside the run's folder, so that it may lie on any store and a job graph stays small:
`tasks.jsonl` has one line a shard, `carried.parquet` the manifest rows that are known without decoding, `plan.json` the
rest. The same sources give the same plan, whatever the number of workers.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.audio.sources import Listing, covers
from pipelines.config import DatasetConfig, split_of
from pipelines.dataset.folder import MANIFEST, Dataset, Shard
from pipelines.plan.policy import Policy, worth_another_try

_COMPARED = ["size", "stamp", "status", "error_stage", "error", "warning"]
KEPT = ["split", "seconds", "min_db", "max_db"]
"""What a run needs to know of sources that it leaves as they are."""


@dataclass(frozen=True)
class Changes:
    """A listing compared with a dataset. `build` has the listing's rows to decode, by source.

    carried: manifest rows (with their old `shard` and `run`) of sources whose shard loses another source.
    failed: manifest rows of sources that failed, before or now while listing. kept: the columns KEPT of all other live
    rows.
    """

    build: pa.Table
    carried: pa.Table
    failed: pa.Table
    kept: pa.Table
    lost_shards: tuple[str, ...]
    unchanged: int
    new: int
    changed: int
    removed: int
    failed_before: int
    elsewhere: int

    @property
    def nothing(self) -> bool:
        """Whether the dataset is up to date already."""
        return self.new == self.changed == self.removed == 0

    def without_rows(self) -> Changes:
        """The counts alone."""
        tables = {name: getattr(self, name).schema.empty_table() for name in ("build", "carried", "failed", "kept")}
        return dataclasses.replace(self, **tables)


def empty_manifest() -> pa.Table:
    """The manifest of no source, with the column `run`."""
    return MANIFEST.append(pa.field("run", pa.string())).empty_table()


def compare(listing: Listing, dataset: Dataset | None, policy: Policy, config: DatasetConfig) -> Changes:
    """Compare a listing with the committed dataset by relative path, size and stamp.

    A known source that the listing lacks counts as removed only when the inputs of this run cover those of the run that
    wrote it; so a run over another folder adds to the dataset.
    """
    known = empty_manifest() if dataset is None else _plain_run(dataset.manifest())
    table = listing.table
    position = pc.index_in(table["source"], value_set=known["source"].combine_chunks())
    is_known = pc.is_valid(position)
    old = known.select(_COMPARED).take(pc.fill_null(position, 0)) if len(known) else None
    if old is None:
        same = pa.chunked_array([pa.array([False] * len(table), pa.bool_())])
    else:
        same = pc.and_(is_known, _same(table, old, policy.checksum))
        same = pc.and_(same, pc.invert(worth_another_try(table, old)))
        if policy.retry_failed:
            same = pc.and_(same, pc.not_equal(old["status"], "failed"))
    to_build = table.filter(pc.invert(same))
    unlistable = to_build.filter(pc.is_valid(to_build["error"]))
    build = to_build.filter(pc.is_null(to_build["error"]))

    listed = pc.is_in(known["source"], value_set=table["source"].combine_chunks())
    rebuilt = pc.is_in(known["source"], value_set=to_build["source"].combine_chunks())
    missing = pc.and_(pc.invert(listed), pc.invert(_not_looked_at(known, listing)))
    gone = pc.and_(missing, _covered(known, listing, dataset)) if not policy.keep_removed else _none(known)
    leaves = pc.or_(rebuilt, gone)
    is_written = pc.equal(known["status"], "written")
    leaving = known.select(["run", "shard"]).filter(pc.and_(leaves, is_written))
    lost = pc.unique(pc.binary_join_element_wise(leaving["run"], leaving["shard"], "/"))
    stays = pc.invert(leaves)
    stays_written = pc.and_(stays, is_written)
    in_lost = _none(known)
    if len(lost):
        in_lost = pc.is_in(pc.binary_join_element_wise(known["run"], known["shard"], "/"), value_set=lost)
    still_failed = known.filter(pc.and_(stays, pc.equal(known["status"], "failed")))
    return Changes(
        build=build,
        carried=known.filter(pc.and_(stays_written, in_lost)),
        failed=pa.concat_tables([still_failed, _failed_rows(unlistable, config)]).sort_by("source"),
        kept=known.select(KEPT).filter(pc.and_(stays_written, pc.invert(in_lost))),
        lost_shards=tuple(sorted(lost.to_pylist())),
        unchanged=_count(same),
        new=len(to_build) - _count(rebuilt),
        changed=_count(rebuilt),
        removed=_count(gone),
        failed_before=len(still_failed),
        elsewhere=_count(pc.and_(pc.invert(listed), pc.invert(gone))),
    )


def _plain_run(table: pa.Table) -> pa.Table:
    return table.set_column(table.schema.get_field_index("run"), "run", table["run"].cast(pa.string()))


def _count(mask: Any) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _none(table: pa.Table) -> pa.Array:
    return pa.array([False] * len(table), pa.bool_())


def _same(table: pa.Table, old: pa.Table, checksum: bool) -> Any:
    """Which listed sources equal the rows beside them. Stamps are `<stamp>` or `<stamp> sha256:<digest>`."""
    same_size = pc.equal(table["size"], old["size"])
    if not checksum:
        return pc.and_(same_size, pc.equal(_plain_stamps(table), _plain_stamps(old)))
    content, known = (pc.replace_substring_regex(t["stamp"], r"^.*(sha256:.*)$", r"\1") for t in (table, old))
    has_content = pc.match_substring(old["stamp"], "sha256:")
    by_stamp = pc.equal(_plain_stamps(table), old["stamp"])
    return pc.and_(same_size, pc.if_else(has_content, pc.equal(content, known), by_stamp))


def _plain_stamps(table: pa.Table) -> Any:
    """The stamps without their digests."""
    stamps = table["stamp"]
    has_digest = pc.any(pc.match_substring(stamps, " sha256:")).as_py()
    return pc.replace_substring_regex(stamps, r" sha256:.*$", "") if has_digest else stamps


def _covered(known: pa.Table, listing: Listing, dataset: Dataset | None) -> pa.Array:
    """Which known rows come from inputs that are all listed now: their own where they name some, else those of the run
    that wrote them; and those of failed sources, which move on from run to run, only when the inputs of all runs are
    listed."""
    runs = dataset.runs if dataset else ()

    def listed(inputs: Iterable[str]) -> bool:
        return all(covers(listing.roots, uri) for uri in inputs)

    names = [run.name for run in runs if listed(run.inputs)]
    covered = pc.is_in(known["run"], value_set=pa.array(names, pa.string()))
    if known["inputs"].null_count < len(known):
        own = [text for text in pc.unique(known["inputs"]).to_pylist() if text is not None and listed(json.loads(text))]
        by_own = pc.is_in(known["inputs"], value_set=pa.array(own, pa.string()))
        covered = pc.if_else(pc.is_valid(known["inputs"]), by_own, covered)
    return covered if len(names) == len(runs) else pc.and_(covered, pc.equal(known["status"], "written"))


def _not_looked_at(known: pa.Table, listing: Listing) -> pa.Array:
    """Which known sources lie in folders that could not be listed: nobody knows whether they are there."""
    unknown = _none(known)
    for folder in listing.unlisted:
        unknown = pc.or_(unknown, pc.starts_with(known["source"], folder.name + "/"))
    return unknown


def _failed_rows(unlistable: pa.Table, config: DatasetConfig) -> pa.Table:
    rows = [
        {"source": row["source"], "size": row["size"], "stamp": row["stamp"], "status": "failed", "num_segments": 0}
        | {"split": split_of(row["source"], config), "error_stage": "list", "error": row["error"], "run": ""}
        for row in unlistable.to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=empty_manifest().schema)


def kept_shards(dataset: Dataset | None, changes: Changes) -> dict[str, list[Shard]]:
    """The shards of each split that the new run leaves as they are."""
    lost = {f"runs/{shard}" for shard in changes.lost_shards}
    splits = dataset.splits.items() if dataset else ()
    return {name: [shard for shard in split.shards if shard.path not in lost] for name, split in splits}

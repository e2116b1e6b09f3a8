"""What a run has to do: which sources are new, changed or gone, and which shard each one goes to.

The plan is a folder of files inside the run's folder, so that it may lie on any store and a job graph stays small:
`tasks.jsonl` has one line a shard, `carried.parquet` the manifest rows that are known without decoding, `plan.json` the
rest. The same sources give the same plan, whatever the number of workers.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.audio.sources import Listing, covers
from pipelines.config import DatasetConfig, split_of
from pipelines.dataset.folder import MANIFEST, Dataset, Shard
from pipelines.dataset.names import DUPLICATE, DUPLICATE_OF, FAILED, SILENT, WRITTEN
from pipelines.plan.claims import OWNERS
from pipelines.plan.columns import Mask, as_mask, count, equals, is_in, where, with_column
from pipelines.plan.contents import contents_of
from pipelines.plan.looking import KNOWN, RENEWED, look, with_stamps
from pipelines.plan.placing import COPIES, duplicate_rows, place
from pipelines.plan.policy import Policy

KEPT = ["split", "seconds", "min_db", "max_db"]
"""What a run needs to know of sources that it leaves as they are."""


@dataclass(frozen=True)
class Changes:
    """A listing compared with a dataset. `build` has the listing's rows to decode, by source; with a column `split`,
    theirs where it is not that of their name.

    carried: manifest rows (with their old `shard` and `run`) of sources whose shard is written anew; a column `was` has
    the name that their records have there, where it is another. failed: manifest rows of sources that failed, before or
    now while listing. silent: those of sources all of whose segments are left out. kept: the columns KEPT of all other
    live rows. duplicates: manifest rows of files that have the content of a source; copies: those that have the content
    of a source in `build`, by `of`. renewed: stamps and digests of files whose content is the same as ever. notes: what
    is to be told of splits.
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
    moved: int = 0
    new_duplicates: int = 0
    duplicates: pa.Table = field(default_factory=lambda: empty_manifest())
    silent: pa.Table = field(default_factory=lambda: empty_manifest())
    copies: pa.Table = field(default_factory=COPIES.empty_table)
    renewed: pa.Table = field(default_factory=RENEWED.empty_table)
    other_duplicates: bool = False
    notes: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether the dataset is up to date already."""
        return self.new == self.changed == self.removed == self.moved == 0 and not self.other_duplicates

    def without_rows(self) -> Changes:
        """The counts alone."""
        names = ("build", "carried", "failed", "kept", "duplicates", "silent", "copies", "renewed")
        tables = {name: getattr(self, name).schema.empty_table() for name in names}
        return dataclasses.replace(self, **tables)


def empty_manifest() -> pa.Table:
    """The manifest of no source, as KNOWN."""
    return KNOWN.empty_table()


def compare(listing: Listing, dataset: Dataset | None, policy: Policy, config: DatasetConfig) -> Changes:
    """Compare a listing with the committed dataset by relative path, size and stamp, then by content.

    A known source that the listing lacks counts as removed only when the inputs of this run cover those of the run that
    wrote it; so a run over another folder adds to the dataset. What is new by name is compared by content with what is
    known and with each other, where sizes are equal.
    """
    known, past = _known(dataset)
    seen = look(listing.table, known, policy)
    known = with_stamps(known, seen)
    is_written, is_source = equals(known["status"], WRITTEN), ~equals(known["status"], DUPLICATE)
    unlistable = seen.fresh & seen.has_error
    listed = is_in(known["source"], seen.table["source"])
    missing = ~listed & ~_not_looked_at(known, listing) & _covered(known, listing, dataset)
    vacant = is_written & (missing | is_in(known["source"], where(seen.table, seen.fresh)["source"]))
    placed = place(seen, known, past, vacant, policy, config)

    tried = placed.is_built | unlistable
    changed = (tried | (placed.is_copy & seen.fresh)) & seen.is_known
    taken = is_in(known["source"], where(seen.table, tried | placed.is_copy | placed.is_heir)["source"])
    inherited = is_source & is_in(known["source"], placed.heirs["was"])
    gone = missing & ~inherited & ~(is_source & policy.keep_removed)
    leaves = taken | gone | inherited
    places = pc.binary_join_element_wise(known["run"], known["shard"], "/")
    lost = pc.unique(places.filter(pa.array(leaves & is_written)))
    in_lost = is_written & ~leaves & is_in(places, lost)
    stay, refused = where(known, in_lost), _failed_rows(where(placed.table, unlistable), config)
    still_failed = where(known, ~leaves & equals(known["status"], FAILED))
    unseen = _elsewhere(where(known, ~listed & ~gone & ~is_source), placed.owners)
    duplicates = pa.concat_tables([placed.duplicates, unseen])
    heirs = with_column(placed.heirs, "inputs", pa.array([_inputs(listing, dataset)] * len(placed.heirs), pa.string()))
    return Changes(
        build=placed.build,
        carried=pa.concat_tables([with_column(stay, "was", pa.nulls(len(stay), pa.string())), heirs]),
        failed=pa.concat_tables([still_failed, refused]).sort_by("source"),
        kept=where(known.select(KEPT), is_written & ~leaves & ~in_lost),
        lost_shards=tuple(sorted(lost.to_pylist())),
        unchanged=count(seen.same & ~seen.again & ~placed.is_built & ~placed.is_heir),
        new=count(tried & ~seen.is_known),
        changed=count(changed),
        removed=count(is_source & leaves & ~inherited & ~is_in(known["source"], where(seen.table, changed)["source"])),
        failed_before=len(still_failed),
        elsewhere=count(is_source & ~listed & ~gone & ~inherited),
        moved=len(placed.heirs),
        new_duplicates=count(placed.is_copy & ~seen.is_known),
        duplicates=duplicates.sort_by("source"),
        silent=where(known, ~leaves & equals(known["status"], SILENT)).sort_by("source"),
        copies=placed.copies,
        renewed=placed.renewed,
        other_duplicates=_differ(where(known, ~is_source), duplicates, placed.copies),
        notes=placed.notes,
    )


def _known(dataset: Dataset | None) -> tuple[pa.Table, pa.Table]:
    """The rows that are true of a dataset, and of those that were once what must be known of their content."""
    past = pa.schema([field for field in KNOWN if field.name in (*OWNERS, "size")])
    if dataset is None:
        return empty_manifest(), past.empty_table()
    tables, truths = [], []
    for run, rows, live in dataset.rows_by_run(MANIFEST.names):
        tables.append(rows.append_column("run", pa.array([run.name] * len(rows), pa.string())))
        truths += live.chunks
    table, is_live = pa.concat_tables(tables), pa.chunked_array(truths, pa.bool_())
    table = table.append_column("content", contents_of(table))
    once = pc.and_(pc.is_valid(table["content"]), pc.equal(table["status"], WRITTEN))
    return table.filter(is_live), table.select(past.names).filter(pc.and_(pc.invert(is_live), once))


def _elsewhere(rows: pa.Table, owners: pa.Table) -> pa.Table:
    """Duplicates that this run has not looked at, with the source that has their content now; others are forgotten."""
    at = pc.index_in(rows["content"], value_set=owners["content"].combine_chunks(), skip_nulls=True)
    found = with_column(rows, "digest", rows["content"]).append_column("of", owners["source"].combine_chunks().take(at))
    return duplicate_rows(found.filter(pc.is_valid(found["of"])))


def _differ(known: pa.Table, duplicates: pa.Table, copies: pa.Table) -> bool:
    """Whether the duplicates are others than those that are known."""
    told = ["source", "error"]
    new = pc.binary_join_element_wise(DUPLICATE_OF, copies["of"], "")
    now = pa.concat_tables([duplicates.select(told), pa.table([copies["source"], new], names=told)])
    return not now.sort_by("source").equals(known.select(told).sort_by("source"))


def _covered(known: pa.Table, listing: Listing, dataset: Dataset | None) -> Mask:
    """Which known rows come from inputs that are all listed now: their own where they name some, else those of the run
    that wrote them; and those without records, which move on from run to run, only when the inputs of all runs are
    listed."""
    runs = dataset.runs if dataset else ()

    def listed(inputs: Iterable[str]) -> bool:
        return all(covers(listing.roots, uri) for uri in inputs)

    names = [run.name for run in runs if listed(run.inputs)]
    covered = is_in(known["run"], pa.array(names, pa.string()))
    if known["inputs"].null_count < len(known):
        own = [text for text in pc.unique(known["inputs"]).to_pylist() if text is not None and listed(json.loads(text))]
        by_own = is_in(known["inputs"], pa.array(own, pa.string()))
        covered = np.where(as_mask(pc.is_valid(known["inputs"])), by_own, covered)
    return covered if len(names) == len(runs) else covered & equals(known["status"], WRITTEN)


def _inputs(listing: Listing, dataset: Dataset | None) -> str | None:
    """What the rows of moved files say of their inputs: those of this run, where its copies come from others too."""
    runs = dataset.runs if dataset else ()
    is_all = all(uri in listing.roots for run in runs for uri in run.inputs)
    return None if is_all else json.dumps(listing.roots)


def _not_looked_at(known: pa.Table, listing: Listing) -> Mask:
    """Which known sources lie in folders that could not be listed: nobody knows whether they are there."""
    unknown = is_in(known["source"], pa.nulls(0, pa.string()))
    for folder in listing.unlisted:
        unknown |= as_mask(pc.starts_with(known["source"], folder.name + "/"))
    return unknown


def _failed_rows(unlistable: pa.Table, config: DatasetConfig) -> pa.Table:
    rows = [
        {"source": row["source"], "size": row["size"], "stamp": row["stamp"], "status": "failed", "num_segments": 0}
        | {"split": row["split"] or split_of(row["source"], config), "run": ""}
        | {"error_stage": "list", "error": row["error"]}
        for row in unlistable.to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=empty_manifest().schema)


def kept_shards(dataset: Dataset | None, changes: Changes) -> dict[str, list[Shard]]:
    """The shards of each split that the new run leaves as they are."""
    lost = {f"runs/{shard}" for shard in changes.lost_shards}
    splits = dataset.splits.items() if dataset else ()
    return {name: [shard for shard in split.shards if shard.path not in lost] for name, split in splits}

"""What becomes of files that are new or changed: decoded, duplicates, or new names of records that are there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.config import DatasetConfig, pattern_split, split_of
from pipelines.dataset.names import DUPLICATE, DUPLICATE_OF, FAILED, WRITTEN
from pipelines.plan.claims import OWNERS, Settled, settle
from pipelines.plan.columns import Mask, as_mask, equals, is_in, put, where, with_column
from pipelines.plan.contents import may_be_equal, with_digests
from pipelines.plan.looking import KNOWN, RENEWED, Seen
from pipelines.plan.policy import Policy

COPIES = pa.schema([("of", pa.string()), ("source", pa.string()), ("size", pa.int64()), ("stamp", pa.string())])


@dataclass(frozen=True)
class Placed:
    """Masks over a listing, and the tables that Changes has.

    table: the listing with a column `split`, null where it is that of the name. build: its rows to decode. heirs:
    manifest rows under new names, with the old one as `was`. copies and duplicates: as Changes has them. owners: OWNERS
    of all that have a content now. notes: what is to be told of splits. renewed: as Changes has it.
    """

    table: pa.Table
    build: pa.Table
    is_built: Mask
    is_copy: Mask
    is_heir: Mask
    heirs: pa.Table
    copies: pa.Table
    duplicates: pa.Table
    owners: pa.Table
    notes: tuple[str, ...]
    renewed: pa.Table


def place(seen: Seen, known: pa.Table, past: pa.Table, vacant: Mask, policy: Policy, config: DatasetConfig) -> Placed:
    """Settle which files are sources.

    known: live rows of the manifest. past: OWNERS of sources that have left. vacant: rows whose file is not there, or
    has other content.
    """
    standing = equals(known["status"], WRITTEN) & ~vacant
    is_claim = ~seen.has_error & (seen.fresh | (seen.again & seen.was(FAILED)))
    was_copy = seen.same & seen.was(DUPLICATE)
    copies_at, renewed = np.flatnonzero(was_copy), seen.renewed
    table = put(seen.table, "digest", copies_at, seen.old["content"].take(pa.array(copies_at)))
    if policy.by_content:
        stands = seen.same & seen.is_known
        stands[stands] = standing[seen.known_at[stands]]
        bare = stands & as_mask(pc.is_null(seen.old["content"]))
        table = _read(table, known, past, is_claim, was_copy, bare)
        rows = np.flatnonzero(bare & as_mask(pc.is_valid(table["digest"])))
        for name in ("digest", "content"):
            known = put(known, name, seen.known_at[rows], table["digest"].take(pa.array(rows)))
        renewed = pa.concat_tables([renewed, known.select(RENEWED.names).take(pa.array(seen.known_at[rows]))])
    claims = np.flatnonzero((is_claim | was_copy) & as_mask(pc.is_valid(table["digest"])))
    owners = known.select(OWNERS)
    settled = settle(
        table.select(["source", "digest"]).take(pa.array(claims)),
        where(owners, standing),
        where(owners, vacant),
        past.select(OWNERS),
        policy.keep_duplicates,
    )
    is_copy, is_heir = np.zeros(len(table), bool), np.zeros(len(table), bool)
    is_copy[claims], is_heir[claims] = settled.is_copy, settled.is_heir
    is_built = (is_claim | was_copy | (seen.again & seen.was(WRITTEN))) & ~is_copy & ~is_heir
    nobody = pa.nulls(len(table), pa.string())
    of_name = pc.if_else(pa.array(seen.is_known), seen.old["split"], nobody)
    table = put(with_column(table, "split", nobody), "split", claims, settled.split)
    notes = _notes(where(table, (is_heir | is_built) & as_mask(pc.is_valid(table["split"]))), config)
    table = with_column(table, "split", pc.coalesce(table["split"], of_name))
    if policy.keep_duplicates:
        table = _in_one_split(table, claims, settled, config)
    heirs = _heirs(where(table, is_heir), known, settled)
    build = where(table, is_built)
    copied = where(put(with_column(table, "of", nobody), "of", claims, settled.of), is_copy)
    of_built = is_in(copied["of"], build["source"])
    contents = build.select(["source", "digest", "split"]).rename_columns(OWNERS)
    return Placed(
        table=table,
        build=build,
        is_built=is_built,
        is_copy=is_copy,
        is_heir=is_heir,
        heirs=heirs,
        copies=where(copied, of_built).select(COPIES.names).cast(COPIES),
        duplicates=duplicate_rows(where(copied, ~of_built)),
        owners=pa.concat_tables([where(owners, standing), heirs.select(OWNERS), contents]),
        notes=notes,
        renewed=renewed,
    )


def _read(table: pa.Table, known: pa.Table, past: pa.Table, is_claim: Mask, was_copy: Mask, bare: Mask) -> pa.Table:
    """The listing with the digests that may matter. bare: sources that have none in the manifest."""
    sizes = table["size"]
    has_digest = as_mask(pc.is_valid(known["content"])) & equals(known["status"], WRITTEN)
    of_known = is_in(sizes, where(known, has_digest)["size"]) | is_in(sizes, past["size"])
    of_copies = bare & is_in(sizes, where(table, was_copy)["size"])
    bare = bare & is_in(sizes, where(table, is_claim)["size"])
    return with_digests(table, (is_claim & of_known) | of_copies | may_be_equal(table, is_claim | bare))


def _in_one_split(table: pa.Table, claims: NDArray[np.intp], settled: Settled, config: DatasetConfig) -> pa.Table:
    """The listing with files of a content that is new in the split of the first of them."""
    is_new = as_mask(pc.is_null(settled.split)) & (settled.leader != np.arange(len(claims)))
    leaders = table.select(["source", "split"]).take(pa.array(claims[settled.leader[is_new]])).to_pylist()
    splits = [row["split"] or split_of(row["source"], config) for row in leaders]
    return put(table, "split", claims[is_new], pa.array(splits, pa.string()))


def _notes(rows: pa.Table, config: DatasetConfig) -> tuple[str, ...]:
    """Which of these files would be in another split by --split-pattern than the one that their content has."""
    if not config.split_pattern:
        return ()
    pairs = ((row["source"], row["split"]) for row in rows.select(["source", "split"]).to_pylist())
    asked = ((source, split, pattern_split(source, config)) for source, split in pairs)
    return tuple(
        f"{source}: its content stays in split {split}, though --split-pattern says {wanted}"
        for source, split, wanted in asked
        if wanted not in (None, split)
    )


def _heirs(rows: pa.Table, known: pa.Table, settled: Settled) -> pa.Table:
    """The rows of the records that are taken over, under the names, sizes and stamps of now."""
    was = settled.heir_of.drop_null()
    heirs = known.take(pc.index_in(was, value_set=known["source"].combine_chunks()))
    for name in ("source", "size", "stamp"):
        heirs = with_column(heirs, name, rows[name])
    return with_column(heirs, "was", was)


def duplicate_rows(copied: pa.Table) -> pa.Table:
    """Rows of the manifest for listed files with the source `of` that each is a duplicate of."""
    none = len(copied)
    columns = {field.name: pa.nulls(none, field.type) for field in KNOWN}
    columns |= {name: copied[name] for name in ("source", "size", "stamp", "split", "digest")}
    columns["content"] = copied["digest"]
    columns["status"] = pa.array([DUPLICATE] * none, pa.string())
    columns["num_segments"] = pa.array(np.zeros(none, np.int64))
    columns["error"] = pc.binary_join_element_wise(DUPLICATE_OF, copied["of"], "")
    return pa.table(columns)

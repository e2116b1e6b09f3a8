"""Which listed files are as the dataset knows them: by name, size and stamp; of equal size, by content."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.dataset.folder import MANIFEST
from pipelines.dataset.names import DUPLICATE, FAILED
from pipelines.plan.columns import Mask, as_mask, count, equals, put, with_column
from pipelines.plan.contents import with_digests
from pipelines.plan.policy import Policy, worth_another_try

_COMPARED = ["size", "stamp", "status", "split", "error_stage", "error", "warning", "content"]
KNOWN = MANIFEST.append(pa.field("run", pa.string())).append(pa.field("content", pa.string()))
"""A row of the manifest, the run that wrote it, and what to compare with the digest of a listed file."""
RENEWED = pa.schema([(name, pa.string()) for name in ("run", "source", "stamp", "digest")])
"""What is learned of files that are as they were, to be put into the manifest of their run."""


@dataclass(frozen=True)
class Seen:
    """A listing beside the rows that are known, each array a value a listed file.

    known_at: the row of its name, -1 for a new name. old: what that says (_COMPARED), of new names nothing that counts.
    same: it is as known. again: it is, and is to be decoded all the same. renewed: stamps of files that are the same by
    content.
    """

    table: pa.Table
    known_at: NDArray[np.intp]
    old: pa.Table
    same: Mask
    again: Mask
    renewed: pa.Table

    @property
    def is_known(self) -> Mask:
        """Whether there is a row of its name."""
        return self.known_at >= 0

    @property
    def fresh(self) -> Mask:
        """Whether it is new, or has changed."""
        return ~self.same

    @property
    def has_error(self) -> Mask:
        """Whether it could not be listed."""
        return as_mask(pc.is_valid(self.table["error"]))

    def was(self, status: str) -> Mask:
        """Whether the row of its name has this status."""
        return self.is_known & equals(self.old["status"], status)


def look(table: pa.Table, known: pa.Table, policy: Policy) -> Seen:
    """Put a listing beside the known rows."""
    position = pc.index_in(table["source"], value_set=known["source"].combine_chunks())
    known_at = pc.fill_null(position, -1).to_numpy(zero_copy_only=False).astype(np.intp)
    is_known = known_at >= 0
    if len(known):
        old = known.select(_COMPARED).take(pa.array(np.maximum(known_at, 0)))
    else:
        old = pa.table({name: pa.nulls(len(table), known.schema.field(name).type) for name in _COMPARED})
    same = is_known & _same(table, old, policy.checksum)
    touched = np.zeros(len(table), bool)
    if policy.by_content:
        may_be = is_known & ~same & as_mask(pc.equal(table["size"], old["size"])) & as_mask(pc.is_valid(old["content"]))
        may_be &= as_mask(pc.is_null(table["error"]))
        table = with_digests(table, may_be)
        touched = may_be & as_mask(pc.equal(table["digest"], old["content"]))
    same = same | touched
    again = same & as_mask(worth_another_try(table, old)) if same.any() else same
    if policy.retry_failed:
        again |= same & equals(old["status"], FAILED)
    again &= ~equals(old["status"], DUPLICATE)
    return Seen(table, known_at, old, same, again, _renewed(table, known, known_at, touched))


def _renewed(table: pa.Table, known: pa.Table, known_at: NDArray[np.intp], touched: Mask) -> pa.Table:
    """RENEWED of the touched files. A stamp keeps the digest that the old one has."""
    rows = known.select(RENEWED.names).take(pa.array(known_at[touched]))
    digest = pc.replace_substring_regex(rows["stamp"], r"^[^ ]*", "")
    stamps = pc.binary_join_element_wise(plain_stamps(table.filter(pa.array(touched))), digest, "")
    return with_column(rows, "stamp", stamps)


def with_stamps(known: pa.Table, seen: Seen) -> pa.Table:
    """The known rows with renewed stamps."""
    if len(seen.renewed) == 0:
        return known
    at = pc.index_in(seen.renewed["source"], value_set=known["source"].combine_chunks())
    return put(known, "stamp", at.to_numpy(zero_copy_only=False), seen.renewed["stamp"])


def _same(table: pa.Table, old: pa.Table, checksum: bool) -> Mask:
    """Which listed sources equal the rows beside them. Stamps are `<stamp>` or `<stamp> sha256:<digest>`."""
    same_size = pc.equal(table["size"], old["size"])
    if not checksum:
        return as_mask(pc.and_(same_size, pc.equal(plain_stamps(table), plain_stamps(old))))
    content, known = (pc.replace_substring_regex(t["stamp"], r"^.*(sha256:.*)$", r"\1") for t in (table, old))
    has_content = pc.match_substring(old["stamp"], "sha256:")
    by_stamp = pc.equal(plain_stamps(table), old["stamp"])
    if count(as_mask(pc.is_valid(old["content"]))):
        by_stamp = pc.and_(by_stamp, pc.fill_null(pc.equal(table["digest"], old["content"]), True))
    return as_mask(pc.and_(same_size, pc.if_else(has_content, pc.equal(content, known), by_stamp)))


def plain_stamps(table: pa.Table) -> pa.ChunkedArray:
    """The stamps without their digests."""
    stamps = table["stamp"]
    has_digest = pc.any(pc.match_substring(stamps, " sha256:")).as_py()
    return pc.replace_substring_regex(stamps, r" sha256:.*$", "") if has_digest else stamps

"""Who has a content: of files with one digest one is the source, with the split, and the records where there are any.

A content that stands in the dataset stays with the source that has it. One whose source has gone, or has other content
now, goes to the first by name of the files that have it, with its records. So no content is ever in two splits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.config import TRAIN
from pipelines.plan.columns import Mask

OWNERS = ["source", "content", "split"]
"""What is to be known of sources that have, or had, a content."""


@dataclass(frozen=True)
class Settled:
    """What becomes of each claim.

    of: the source that it is a duplicate of, null for a source of its own. leader: the number of the first claim to the
    same content. heir_of: the source whose records it takes over, else null. split: that of its content, null where the
    dataset has never had it.
    """

    of: pa.Array
    leader: NDArray[np.intp]
    heir_of: pa.Array
    split: pa.Array

    @property
    def is_copy(self) -> Mask:
        """Which claims are duplicates."""
        return np.asarray(pc.is_valid(self.of))

    @property
    def is_heir(self) -> Mask:
        """Which claims take records over."""
        return np.asarray(pc.is_valid(self.heir_of))


def settle(claims: pa.Table, standing: pa.Table, vacant: pa.Table, past: pa.Table, keep_duplicates: bool) -> Settled:
    """Settle claims, a table of `source` and `digest` in the order of their names.

    standing, vacant, past: OWNERS of sources that have their content, of those that have it no more but whose records
    are there, and of those that had it once. keep_duplicates: let all be sources, in one split.
    """
    digests, names = claims["digest"].combine_chunks(), claims["source"].combine_chunks()
    standing, vacant, past = (_owners(table, digests) for table in (standing, vacant, past))
    codes = digests.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    leader = np.unique(codes, return_index=True)[1][codes] if len(codes) else np.zeros(0, np.intp)
    is_first = pa.array(leader == np.arange(len(leader)))
    owner, left, once = (pc.index_in(digests, table["content"].combine_chunks()) for table in (standing, vacant, past))
    nobody = pa.nulls(len(names), pa.string())
    of = pc.coalesce(_at(standing, "source", owner), pc.if_else(is_first, nobody, names.take(pa.array(leader))))
    may_inherit = pc.and_(is_first, pc.is_null(owner))
    split = pc.coalesce(*(_at(t, "split", i) for t, i in ((standing, owner), (vacant, left), (past, once))))
    return Settled(
        of=nobody if keep_duplicates else of,
        leader=leader,
        heir_of=pc.if_else(may_inherit, _at(vacant, "source", left), nobody),
        split=split,
    )


def _at(table: pa.Table, name: str, index: pa.Array) -> pa.Array:
    return table[name].combine_chunks().take(index)


def _owners(table: pa.Table, digests: pa.Array) -> pa.Table:
    """Those whose content is claimed; of several the one in train first, for a model may have learned from it."""
    found = table.filter(pc.is_in(table["content"], value_set=digests, skip_nulls=True))
    rank = pc.not_equal(found["split"], TRAIN)
    return found.append_column("rank", rank).sort_by([("rank", "ascending"), ("source", "ascending")])

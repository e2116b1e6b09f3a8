"""Columns of Arrow tables asked and changed, with truth values in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def as_mask(values: Any) -> Mask:
    """Truth values in numpy, null for False."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    found: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return found.astype(bool)


def equals(column: Any, value: Any) -> Mask:
    """Where a column has this value."""
    return as_mask(pc.equal(column, value))


def is_in(column: Any, values: Any) -> Mask:
    """Where a column has one of these values; a null is none."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return as_mask(pc.is_in(column, value_set=values, skip_nulls=True))


def count(mask: Mask) -> int:
    """How many are true."""
    return int(np.count_nonzero(mask))


def where(table: pa.Table, mask: Mask) -> pa.Table:
    """The rows of a table where a mask is true."""
    return table.filter(pa.array(mask))


def with_column(table: pa.Table, name: str, column: Any) -> pa.Table:
    """The table with a column replaced, or one more."""
    if name not in table.column_names:
        return table.append_column(name, column)
    return table.set_column(table.schema.get_field_index(name), name, column)


def put(table: pa.Table, name: str, rows: NDArray[np.intp], values: Any) -> pa.Table:
    """The table with other values in these rows of a column, each row once."""
    mask = np.zeros(len(table), bool)
    mask[rows] = True
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    ordered = values.take(pa.array(np.argsort(rows, kind="stable")))
    return with_column(table, name, pc.replace_with_mask(table[name].combine_chunks(), pa.array(mask), ordered))

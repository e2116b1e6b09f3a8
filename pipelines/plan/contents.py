"""The digests of listed files, found with as little reading as can be: by size first, then a block, then all of it.

Only local files are read. S3 and Google Cloud Storage have said digests in their listings; files elsewhere have none.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines import store
from pipelines.building.digests import block_of, digest_of, from_sha256, sha256_of
from pipelines.errors import describe
from pipelines.plan.columns import Mask, as_mask, put, with_column
from pipelines.store.paths import local_path

T = TypeVar("T")
_AT_ONCE = 1 << 14
_SHARE = 64
ETAG = "etag:"
"""What the digest of an object on S3 begins with."""


def contents_of(rows: pa.Table) -> pa.ChunkedArray:
    """What to compare with the digests of a listing, of a manifest's rows: of an object on S3 its ETag, which is its
    stamp; else the digest."""
    if not pc.any(pc.starts_with(rows["stamp"], '"')).as_py():
        return rows["digest"]
    etag = pc.replace_substring_regex(rows["stamp"], r'^"([0-9a-f]{32}(?:-[0-9]+)?)".*$', rf"{ETAG}\1")
    return pc.if_else(pc.starts_with(etag, ETAG), etag, rows["digest"])


def with_digests(table: pa.Table, wanted: Mask) -> pa.Table:
    """A listing with the digests of the wanted files that are local; one that can't be read has none."""
    rows = np.flatnonzero(wanted & as_mask(pc.is_null(table["digest"])) & are_local(table))
    if len(rows) == 0:
        return table
    return put(table, "digest", rows, pa.array(list(_each(table, rows, lambda uri, _: digest_of(uri))), pa.string()))


def may_be_equal(table: pa.Table, among: Mask) -> Mask:
    """Which local files of these have the size, and a block in the middle, of another of them."""
    same_size = among & _repeated(table["size"], among)
    rows = np.flatnonzero(same_size & are_local(table) & as_mask(pc.is_null(table["digest"])))
    keys = pa.array(list(_each(table, rows, _key)), pa.binary())
    found = np.zeros(len(table), bool)
    found[rows[_repeated(keys, as_mask(pc.is_valid(keys)))]] = True
    return found


def are_local(table: pa.Table) -> Mask:
    """Which files of a listing can be read without asking another store."""
    roots = table["root"].combine_chunks().dictionary_encode()
    local = pa.array([local_path(root) is not None for root in roots.dictionary.to_pylist()], pa.bool_())
    return as_mask(local.take(roots.indices))


def _key(uri: str, size: int) -> bytes | None:
    block = block_of(local_path(uri) or "", size)
    return None if block is None else b"%d %b" % (size, hashlib.blake2b(block, digest_size=16).digest())


def _repeated(values: Any, among: Mask) -> Mask:
    """Which of these values occur more than once among them."""
    found = np.zeros(len(values), bool)
    codes = values.filter(pa.array(among)).dictionary_encode()
    if isinstance(codes, pa.ChunkedArray):
        codes = codes.combine_chunks()
    numbers = codes.indices.to_numpy(zero_copy_only=False)
    found[np.flatnonzero(among)] = np.bincount(numbers, minlength=1)[numbers] > 1
    return found


def _each(table: pa.Table, rows: NDArray[np.intp], read: Callable[[str, int], T]) -> Iterator[T]:
    """What is read of these files of a listing, in their order: in threads, a part at a time."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(rows), _AT_ONCE):
            part = table.select(["root", "source", "size"]).take(rows[start : start + _AT_ONCE])
            roots, sources, sizes = (column.to_pylist() for column in part.columns)
            files = list(zip(map(store.join, roots, sources), sizes, strict=True))
            shares = [files[i : i + _SHARE] for i in range(0, len(files), _SHARE)]
            for found in pool.map(lambda share: [read(*file) for file in share], shares):
                yield from found


def add_checksums(table: pa.Table) -> pa.Table:
    """A listing whose stamps read `<stamp> sha256:<digest>`; a file that can't be read gets an error instead."""
    rows = table.select(["root", "source", "stamp", "error", "digest"]).to_pylist()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        columns = zip(*pool.map(_checked, rows), strict=True) if rows else ((), (), ())
    for name, values in zip(("stamp", "error", "digest"), columns, strict=True):
        table = with_column(table, name, pa.array(values, pa.string()))
    return table


def _checked(row: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """Stamp, error and digest of a listed file after its content was read."""
    if row["error"]:
        return row["stamp"], row["error"], None
    try:
        found = sha256_of(store.join(row["root"], row["source"]))
    except OSError as error:
        return row["stamp"], describe(error), None
    return f"{row['stamp']} sha256:{found}", None, row["digest"] or from_sha256(found)

"""SHA-256 of files' contents, for `--checksum`."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
from typing import Any

import pyarrow as pa

from pipelines import store
from pipelines.decoding import describe

_CHUNK_BYTES = 1 << 20


def sha256_of(uri: str) -> str:
    """The digest of a file in hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with store.open_read(uri) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def add_checksums(table: pa.Table) -> pa.Table:
    """A listing whose stamps read `<stamp> sha256:<digest>`; a file that can't be read gets an error instead."""
    rows = table.select(["root", "source", "stamp", "error"]).to_pylist()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        stamps, errors = zip(*pool.map(_checked, rows), strict=True) if rows else ((), ())
    for name, values in (("stamp", stamps), ("error", errors)):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return table


def _checked(row: dict[str, Any]) -> tuple[str, str | None]:
    """Stamp and error of a listed file after its content was read."""
    if row["error"]:
        return row["stamp"], row["error"]
    try:
        return f"{row['stamp']} sha256:{sha256_of(store.join(row['root'], row['source']))}", None
    except OSError as error:
        return row["stamp"], describe(error)

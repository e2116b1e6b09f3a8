"""SHA-256 of files' contents, for `--checksum`."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os

import pyarrow as pa

from pipelines import store
from pipelines.errors import WorkError
from pipelines.sources import join

_CHUNK_BYTES = 1 << 20


def sha256_of(uri: str) -> str:
    """The digest of a file in hexadecimal, read in pieces. WorkError when it can't be read."""
    digest = hashlib.sha256()
    try:
        with store.open_read(uri) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise WorkError(f"INPUT {uri}: cannot be read for --checksum: {error.strerror or error}") from error
    return digest.hexdigest()


def add_checksums(table: pa.Table) -> pa.Table:
    """A listing whose stamps read `<stamp> sha256:<digest>`, for all files that can be opened."""
    rows = table.select(["root", "source", "stamp", "error"]).to_pylist()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        uris = [None if row["error"] else join(row["root"], row["source"]) for row in rows]
        digests = pool.map(lambda uri: sha256_of(uri) if uri else None, uris)
        stamps = [f"{row['stamp']} sha256:{d}" if d else row["stamp"] for row, d in zip(rows, digests, strict=True)]
    return table.set_column(table.schema.get_field_index("stamp"), "stamp", pa.array(stamps, pa.string()))

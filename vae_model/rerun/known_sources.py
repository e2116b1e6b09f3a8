"""Which sources a model has learned from: a Parquet file for each model, and what a dataset has beyond it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import store
from pipelines.dataset.folder import LATER, MANIFEST, Dataset
from pipelines.dataset.tables import read_foreign

FOLDER = "sources"
_IDENTITY = ["source", "size", "stamp"]
COLUMNS = [*_IDENTITY, "split", "num_segments", "seconds", "max_db", "loudest_db", "digest"]


def uri_of(workspace: str, model: str) -> str:
    """The file of a model's sources."""
    return store.join(workspace, FOLDER, f"{model}.parquet")


def sources_of(dataset: Dataset) -> pa.Table:
    """The sources with records in a dataset: the columns COLUMNS of its manifest."""
    rows = dataset.manifest([*COLUMNS, "status"])
    return rows.filter(pc.equal(rows["status"], "written")).select(COLUMNS)


def write(uri: str, sources: pa.Table) -> None:
    """Write what a model learns from."""
    store.make_folder(uri.rsplit("/", 1)[0])
    with store.open_atomic(uri) as file:
        pq.write_table(sources, file)


def read(uri: str) -> pa.Table:
    """What `write` wrote. WorkError when it can't be read."""
    return read_foreign(uri, COLUMNS, MANIFEST, LATER)


def unseen(sources: pa.Table, seen: pa.Table) -> pa.ChunkedArray:
    """For each of the sources whether a model that learned from `seen` does not know its content as it is now.

    By digest, so that a moved or touched file is none that is new; where there are no digests, by name, size and stamp.
    """

    def identity(table: pa.Table) -> pa.ChunkedArray:
        return pc.binary_join_element_wise(*(pc.cast(table[name], pa.string()) for name in _IDENTITY), "\n")

    named = pc.is_in(identity(sources), value_set=identity(seen).combine_chunks())
    if "digest" in sources.column_names:
        digests = seen["digest"].combine_chunks().drop_null()
        named = pc.or_(named, pc.is_in(sources["digest"], value_set=digests))
    return pc.invert(named)


def num_records(sources: pa.Table, split: str) -> int:
    """How many records of a split the sources have."""
    return int(pc.sum(sources.filter(pc.equal(sources["split"], split))["num_segments"]).as_py() or 0)

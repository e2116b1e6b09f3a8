"""Parquet files: those of the program's own work as they are, those from anybody no larger than their size allows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import store
from pipelines.config import DatasetConfig
from pipelines.dataset.records import SILENCE_DB, SILENCE_WITHIN_DB, Range, merged_range
from pipelines.errors import WorkError, describe
from pipelines.store.paths import local_path

_TABLES_AT_ONCE = 64
_ROWS_A_BYTE = 8
"""A row has a name that no other has, which costs a byte at least, however well it is compressed."""
_BYTES_A_BYTE = 256
_ALWAYS_BYTES = 1 << 26
_FEW_BYTES = 1 << 20
"""Of texts: so few are not counted but guessed, which is quicker."""
_SMALL_BYTES = 1 << 20
"""A file that is read sooner than threads are started."""


def read_tables(uris: Iterable[str]) -> Iterator[pa.Table]:
    """Read Parquet files one after the other. Small ones on another store are asked for many at a time."""
    rest = iter(uris)
    while group := list(islice(rest, _TABLES_AT_ONCE)):
        pieces = store.first_pieces(group, store.START_BYTES)
        for uri in group:
            yield read_parquet(uri, first_piece=pieces.pop(uri, None))


def read_parquet(uri: str, columns: list[str] | None = None, first_piece: bytes | None = None) -> pa.Table:
    """Read a Parquet file. first_piece: its first `store.START_BYTES`, if they have been fetched already.

    Reading ahead in threads would leave one that still holds a Python object, which aborts the interpreter at its end;
    a local file is opened by Arrow itself.
    """
    path = local_path(uri)
    if path is not None:
        with pa.OSFile(path) as native:
            return pq.read_table(native, columns=columns)
    first_bytes = store.WHOLE_BYTES if first_piece is None else store.START_BYTES
    with store.open_read(uri, first_bytes, first_piece) as file:
        return pq.read_table(file, columns=columns, use_threads=False, pre_buffer=False)


def read_foreign_tables(
    uris: Iterable[str], columns: list[str], kinds: pa.Schema, later: Collection[str] = ()
) -> Iterator[list[pa.Table]]:
    """`read_foreign` of many files, some at a time; on another store these are asked for all at once."""
    rest = iter(uris)
    while group := list(islice(rest, _TABLES_AT_ONCE)):
        pieces = store.first_pieces(group, store.START_BYTES) if len(group) > 1 else {}
        yield [read_foreign(uri, columns, kinds, later, pieces.pop(uri, None)) for uri in group]


def read_foreign(
    uri: str, columns: list[str], kinds: pa.Schema, later: Collection[str] = (), first_piece: bytes | None = None
) -> pa.Table:
    """Read columns of a Parquet file that anybody may have written. kinds: the types that they must have.

    later: columns that are null in a file without them, as older ones are. first_piece: as of `read_parquet`.

    WorkError when it is none, or would take far more memory than its size.
    """
    first_bytes = store.WHOLE_BYTES if first_piece is None else store.START_BYTES
    path = local_path(uri)
    try:
        store.require_plain_file(uri)
        if path is not None:
            with pa.OSFile(path) as native:
                size = native.size()
                return _read(native, size, columns, kinds, later, use_threads=size > _SMALL_BYTES)
        with store.open_read(uri, first_bytes, first_piece) as file:
            return _read(file, file.seek(0, 2), columns, kinds, later, use_threads=False)
    except (OSError, pa.ArrowException, ValueError, MemoryError) as error:
        reason = describe(error).removeprefix("ValueError: ")[:300]
        raise WorkError(f"{uri}: must be a readable table: {reason}") from error


def _read(
    file: IO[bytes] | Any, size: int, wanted: list[str], kinds: pa.Schema, later: Collection[str], *, use_threads: bool
) -> pa.Table:
    """The columns of an open file of `size` bytes; ValueError says what is wrong with it.

    A page of a few bytes can repeat a long text a milliard times. So the number of rows is looked at first, texts are
    decoded as numbers of the different ones, and these become texts when it is known how long all are together.
    """
    file.seek(0)
    whole = pq.ParquetFile(file, pre_buffer=False)
    rows = whole.metadata.num_rows
    there = whole.schema_arrow
    columns = [name for name in wanted if name not in later or name in there.names]
    for name in columns:
        found = there.field(name).type if name in there.names else "not there"
        if found != kinds.field(name).type:
            raise ValueError(f"its column {name} is {found}, not {kinds.field(name).type}")
    if rows > _ROWS_A_BYTE * size:
        raise ValueError(f"it says that it has {rows:,} rows, in {size:,} bytes")
    texts = [name for name in columns if pa.types.is_string(kinds.field(name).type)]
    file.seek(0)
    coded = pq.ParquetFile(file, pre_buffer=False, read_dictionary=texts).read(columns, use_threads=use_threads)
    coded.validate(full=True)  # that numbers of texts are of texts that are there, and texts are UTF-8
    total, allowed = sum(_text_bytes(coded[name]) for name in texts), _ALWAYS_BYTES + _BYTES_A_BYTE * size
    if total > allowed:
        raise ValueError(f"its texts come to {total:,} bytes, in {size:,}")
    table = coded.select(columns).cast(pa.schema([kinds.field(name) for name in columns]))
    for name in set(wanted) - set(columns):
        table = table.append_column(kinds.field(name), pa.nulls(rows, kinds.field(name).type))
    return table.select(wanted)


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of all texts of a column that is coded as numbers of the different ones, or more than those of few."""
    total = 0
    for chunk in column.chunks:
        most = chunk.dictionary.nbytes * len(chunk)
        if most <= _FEW_BYTES:
            total += most
            continue
        lengths = pc.binary_length(chunk.dictionary)
        total += pc.sum(lengths.take(chunk.indices).cast(pa.int64())).as_py() or 0
    return total


def loudest_of_rows(rows: pa.Table, config: DatasetConfig) -> pa.ChunkedArray:
    """The loudest level in dB of each row of a manifest's columns max_db and loudest_db; null where it is not known."""
    return rows["loudest_db" if config.level_channels < config.n_channels else "max_db"]


def range_of_rows(rows: pa.Table) -> Range:
    """`merged_range` of the columns min_db and max_db of a manifest, which are null together."""
    far = [pc.abs(pc.subtract(rows[name], SILENCE_DB)) for name in ("min_db", "max_db")]
    silent = pc.less(pc.max_element_wise(*far, skip_nulls=False), SILENCE_WITHIN_DB)
    parts = [rows.filter(pc.invert(silent)), rows.filter(silent)]
    return merged_range((pc.min(part["min_db"]).as_py(), pc.max(part["max_db"]).as_py()) for part in parts)

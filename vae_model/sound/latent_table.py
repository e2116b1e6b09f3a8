"""The one owner of the Parquet format of latents: a row a segment, written by `encode` and read by `decode`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines import store
from pipelines.dataset.records import LABEL_PREFIX, Record
from pipelines.errors import SettingError, WorkError
from pipelines.store.paths import local_path

_ROWS_AT_ONCE = 256
_MODEL_KEY = b"audio_vae.model"
"""Of the file's metadata: which model encoded the sounds."""
_ABOUT = [
    ("source", pa.string()),  # path relative to its input root, `/` separated
    ("segment", pa.int64()),  # its number in the source, from 0
    ("start_seconds", pa.float64()),  # where it begins in the source
    ("valid_frames", pa.int64()),  # spectrogram frames before padding begins
    ("min_db", pa.float32()),  # its least and greatest level
    ("max_db", pa.float32()),
]


def schema(names: Sequence[str], dim: int, labels: Sequence[str], model: str) -> pa.Schema:
    """A table's columns: where a segment comes from, `label/<name>` for each label, and latents of `dim` numbers.

    model: what names the model that encodes, as of `weights_digest`; it goes into the file's metadata.
    """
    columns = [*_ABOUT, *((LABEL_PREFIX + name, pa.string()) for name in labels)]
    latents = ((name, pa.list_(pa.float32(), dim)) for name in names)
    return pa.schema([*columns, *latents], {_MODEL_KEY: model.encode()})


def to_table(records: Sequence[Record], latents: Mapping[str, NDArray[np.float32]], wanted: pa.Schema) -> pa.Table:
    """The rows of records and their latents, each float32 (count, dim)."""
    columns = []
    for field in wanted:
        if field.name in latents:
            flat = pa.array(np.ascontiguousarray(latents[field.name], np.float32).ravel())
            columns.append(pa.FixedSizeListArray.from_arrays(flat, field.type.list_size))
        elif field.name.startswith(LABEL_PREFIX):
            label = field.name.removeprefix(LABEL_PREFIX)
            columns.append(pa.array([record.labels.get(label, "") for record in records], pa.string()))
        else:
            columns.append(pa.array([getattr(record, field.name) for record in records], field.type))
    return pa.Table.from_arrays(columns, schema=wanted)


@dataclass(frozen=True)
class Latents:
    """Some rows of a table: latents float32 (count, dim), and of each row the other columns that are wanted."""

    values: NDArray[np.float32]
    rows: list[dict[str, Any]]


class LatentFile:
    """The Parquet file at a path or URI with a column of latents, a list of `dim` numbers in each row.

    Other columns are up to the user. SettingError when there is no such column. num_rows: rows in the file. model: what
    names the model that encoded them, None when the file does not say.
    """

    def __init__(self, path: str, column: str, dim: int) -> None:
        self.path, self.column, self.dim = path, column, dim
        local = local_path(path)
        self._is_local = local is not None
        self._open = contextlib.ExitStack()  # of a file on another store
        try:
            self._file = pq.ParquetFile(local or self._open.enter_context(store.open_read(path)))
        except WorkError:  # of a store that does not answer
            raise
        except (OSError, pa.ArrowException) as error:
            raise SettingError(f"PARQUET {path} must be a readable Parquet file: {error}") from error
        names = self._file.schema_arrow.names
        if column not in names:
            raise SettingError(f"PARQUET {path} must have a column {column}, it has {', '.join(names)}")
        named = (self._file.schema_arrow.metadata or {}).get(_MODEL_KEY)
        self.model = None if named is None else named.decode(errors="replace")
        self.num_rows: int = self._file.metadata.num_rows

    def batches(self, others: Sequence[str]) -> Iterator[Latents]:
        """The rows in order, a few hundred at a time, with those of the other columns that the file has.

        SettingError names a row whose latent is not `dim` finite numbers.
        """
        present = [name for name in others if name in self._file.schema_arrow.names]
        wanted = [*present, self.column]
        first = 0
        for batch in self._file.iter_batches(_ROWS_AT_ONCE, columns=wanted, use_threads=self._is_local):
            values = np.empty((len(batch), self.dim), np.float32)
            for number, row in enumerate(batch.column(self.column).to_pylist()):
                values[number] = self._checked(row, first + number)
            first += len(batch)
            yield Latents(values, batch.select(present).to_pylist())

    def _checked(self, row: Any, number: int) -> NDArray[np.float64]:
        try:
            latent = np.asarray(row, np.float64)
        except (TypeError, ValueError):
            latent = np.empty(0)
        if latent.shape != (self.dim,) or not np.isfinite(latent).all():
            raise SettingError(f"PARQUET {self.path}: {self.column} of row {number} must be {self.dim} finite numbers")
        return latent

"""Where the pipeline puts what it made: records in a TFRecord file, or the course's files, an array for each source."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from pipelines.course_names import refuse_methods
from pipelines.dataset.framing import frame
from pipelines.dataset.records import Record, serialize
from pipelines.errors import SettingError, WorkError
from pipelines.store import replacing, write_json

MIN_MAX_FILE = "min_max_values"
_NOT_CALLED = {"_generate_save_path": "save_feature(feature, file_path) chooses the path and gives it back"}


class Keeps(Protocol):
    """What `PreprocessingPipeline` asks of a saver: `rollback` takes back all records since `mark`."""

    def save(self, record: Record, /) -> None: ...

    def mark(self) -> Any: ...

    def rollback(self, mark: Any, /) -> None: ...


class Saver:
    """Writes each feature as a NumPy file, and its lowest and highest value into one table: the course's files.

    feature_save_dir: folder of the features. The one of `digits/0.wav` becomes `digits/0.wav.npy` below it, float32
    (n_bins, n_frames), with several channels (n_bins, n_frames, n_channels); a second segment `digits/0.wav.1.npy`.
    min_max_values_save_dir: folder of the table, `min_max_values.json` and, as the course has it, `.pkl`. Folders are
    made if need be. min_max_values: the table so far, `{"min": …, "max": …}` in decibels by the path of the feature.

    >>> import numpy as np
    >>> saver = Saver(str(folder / "features"), str(folder / "ranges"))
    >>> path = saver.save_feature(np.zeros((256, 64), np.float32), "digits/0.wav")
    >>> np.load(folder / "features" / "digits" / "0.wav.npy").shape
    (256, 64)
    >>> saver.save_min_max_values({path: {"min": -60.0, "max": 20.0}})
    >>> sorted(file.name for file in (folder / "ranges").iterdir())
    ['min_max_values.json', 'min_max_values.pkl']
    """

    def __init__(
        self, feature_save_dir: str | os.PathLike[str], min_max_values_save_dir: str | os.PathLike[str]
    ) -> None:
        if hasattr(feature_save_dir, "write"):
            raise SettingError("feature_save_dir must be a folder; RecordSaver writes records into an open file")
        self.feature_save_dir = os.fspath(feature_save_dir)
        self.min_max_values_save_dir = os.fspath(min_max_values_save_dir)
        self.min_max_values: dict[str, dict[str, float]] = {}
        self._since_mark: list[str] = []

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        refuse_methods(cls, _NOT_CALLED)

    def save(self, record: Record) -> None:
        """Write a record's spectrogram, and note its range."""
        array = record.spectrogram[..., 0] if record.spectrogram.shape[2] == 1 else record.spectrogram
        name = record.source if record.segment == 0 else f"{record.source}.{record.segment}"
        path = self.save_feature(array, name)
        self._since_mark.append(path)
        self.min_max_values[path] = {"min": record.min_db, "max": record.max_db}

    def save_feature(self, feature: NDArray[Any], file_path: str) -> str:
        """Write one array, and return the path of its file.

        file_path: of the sound; relative, its folders are kept; of one that leads elsewhere the name alone counts.
        """
        below = os.path.normpath(file_path)
        if os.path.isabs(below) or below.startswith(os.pardir):
            below = os.path.basename(below)
        path = os.path.join(self.feature_save_dir, f"{below}.npy")
        _make_folder(os.path.dirname(path))
        with replacing(Path(path)) as partial:
            np.save(partial, feature)
        return path

    def save_min_max_values(self, min_max_values: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the table, as JSON and as a pickle: for scripts of the course's, nothing here reads one."""
        table = {
            str(path): {name: float(value) for name, value in bounds.items()} for path, bounds in min_max_values.items()
        }
        folder = Path(self.min_max_values_save_dir)
        _make_folder(str(folder))
        write_json(folder / f"{MIN_MAX_FILE}.json", table)
        with replacing(folder / f"{MIN_MAX_FILE}.pkl") as partial:
            partial.write_bytes(pickle.dumps(table))

    def mark(self) -> None:
        """Begin with a new source."""
        self._since_mark = []

    def rollback(self, mark: None) -> None:
        """Remove the features of the source that was begun last."""
        for path in self._since_mark:
            os.unlink(path)
            del self.min_max_values[path]
        self._since_mark = []


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path or ".", exist_ok=True)
    except OSError as error:
        raise WorkError(f"{path}: cannot be made: {error.strerror or error}") from error


class RecordSaver:
    """Writes records to one TFRecord file open for writing and reading, and keeps what a dataset says of it.

    num_examples, num_bytes and crc32c are those of the file so far; min_db and max_db the range of its records.

    >>> import io
    >>> from pipelines import open_dataset
    >>> saver = RecordSaver(io.BytesIO())
    >>> saver.save(next(open_dataset(dataset).records("train")))
    >>> saver.num_examples, saver.num_bytes > 2 * 256 * 64  # float16
    (1, True)
    """

    def __init__(self, file: BinaryIO, dtype: str = "float16") -> None:
        self._file = file
        self._dtype = dtype
        self.num_examples = 0
        self.num_bytes = 0
        self.crc32c = 0
        self.min_db = float("inf")
        self.max_db = float("-inf")

    def save(self, record: Record) -> None:
        """Append a record."""
        self.save_serialized(serialize(record, self._dtype))
        self.min_db = min(self.min_db, record.min_db)
        self.max_db = max(self.max_db, record.max_db)

    def save_serialized(self, serialized: bytes) -> None:
        """Append a record that is serialized already."""
        entry = frame(serialized)
        self._file.write(entry)
        self.num_examples += 1
        self.num_bytes += len(entry)
        self.crc32c = google_crc32c.extend(self.crc32c, entry)

    def mark(self) -> tuple[int, int, int, float, float]:
        """The state that `rollback` returns to."""
        return self.num_examples, self.num_bytes, self.crc32c, self.min_db, self.max_db

    def rollback(self, mark: tuple[int, int, int, float, float]) -> None:
        """Take back all records since `mark`."""
        self.num_examples, self.num_bytes, self.crc32c, self.min_db, self.max_db = mark
        self._file.seek(self.num_bytes)
        self._file.truncate()

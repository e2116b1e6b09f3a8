"""The dataset folder: open it, read its records and manifests, name its files. Needs neither TensorFlow nor Beam.

    DATASET/dataset.json                       the only entry point; replaced atomically, last
    DATASET/schema.pbtxt                       tensorflow-metadata Schema of a record
    DATASET/runs/<number>-<utc>/manifest.parquet, train-00000.tfrecord, ...

What `dataset.json` does not name does not exist: a shard in a run's folder that was replaced by a later run, a run that
was never committed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pipelines.config import DatasetConfig
from pipelines.dataset.framing import read_frames
from pipelines.dataset.names import DUPLICATE, ENTRY, MANIFEST_FILE, RUNS, SILENT, WRITTEN, run_number
from pipelines.dataset.records import Record, RecordSpec, parse
from pipelines.dataset.tables import read_foreign, read_foreign_tables
from pipelines.dataset.validation import check_manifest, checked_entry
from pipelines.errors import SettingError, Unreachable, WorkError, shortened
from pipelines.store.json_values import json_document
from pipelines.store.paths import Place

FORMAT_VERSION = 1
MANIFEST = pa.schema(
    [
        ("source", pa.string()),
        ("size", pa.int64()),
        ("stamp", pa.string()),
        ("status", pa.string()),
        ("split", pa.string()),
        ("shard", pa.string()),
        ("num_segments", pa.int64()),
        ("seconds", pa.float64()),
        ("min_db", pa.float64()),
        ("max_db", pa.float64()),
        ("error_stage", pa.string()),
        ("error", pa.string()),
        ("warning", pa.string()),
        ("inputs", pa.string()),
        ("digest", pa.string()),
        ("left_out", pa.int64()),
        ("loudest_db", pa.float64()),
    ]
)
"""A row a source. shard is a file name in the run's folder, null for a source that failed and for a duplicate.

inputs: where its records come from, a JSON list, when that is less than all inputs of the run. left_out: its segments
that are no records. loudest_db: where records hold other things beside levels, the highest of these; else null, as
max_db is that. What came later than the others (LATER) reads as if it were null where a manifest lacks it."""
LATER = ("warning", "inputs", "digest", "left_out", "loudest_db")


@dataclass(frozen=True)
class Shard:
    """A TFRecord file. path is relative to the dataset folder; crc32c is that of the whole file, an unsigned number."""

    path: str
    num_examples: int
    num_bytes: int
    crc32c: int

    @property
    def run(self) -> str:
        """The name of the run's folder that holds it."""
        return self.path.split("/")[1]

    @property
    def name(self) -> str:
        """Its file name."""
        return self.path.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Split:
    """A named part of the dataset. seconds: length of the sources in it."""

    num_examples: int
    seconds: float
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Sources:
    """Counts of sources: found = written + failed. removed: those that left, over all runs. ignored: other files."""

    found: int
    written: int
    failed: int
    removed: int
    ignored: int


@dataclass(frozen=True)
class Run:
    """A committed run that still has a part in the dataset, with what it did itself."""

    name: str
    inputs: tuple[str, ...]
    sources: Sources
    num_examples: int

    @property
    def number(self) -> int:
        """Its position in the order of runs, from 1."""
        return run_number(self.name)


@dataclass(frozen=True)
class Dataset:
    """What `dataset.json` says. min_db and max_db are the global range, over all records."""

    uri: str
    config: DatasetConfig
    min_db: float
    max_db: float
    splits: dict[str, Split]
    sources: Sources
    runs: tuple[Run, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the settings."""
        return self.config.fingerprint

    @property
    def record(self) -> RecordSpec:
        """What every record has in common."""
        return RecordSpec.of(self.config)

    @property
    def shards(self) -> list[Shard]:
        """All shards, split by split."""
        return [shard for split in self.splits.values() for shard in split.shards]

    @property
    def num_examples(self) -> int:
        """Records in all splits."""
        return sum(split.num_examples for split in self.splits.values())

    def split(self, name: str) -> Split:
        """The split of a name; SettingError when the dataset has none."""
        if name not in self.splits:
            raise SettingError(f"split={name!r} must be one of {', '.join(self.splits)} in {self.uri}")
        return self.splits[name]

    def count(self, split: str) -> int:
        """Records in a split, 0 when the dataset has no such split."""
        return self.splits[split].num_examples if split in self.splits else 0

    def shard_uris(self, split: str) -> list[str]:
        """Paths or URIs of a split's shards, in order."""
        return [store.join(self.uri, shard.path) for shard in self.split(split).shards]

    def records(self, split: str) -> Iterator[Record]:
        """Read a split's records in order, without TensorFlow. WorkError names a shard that is damaged or missing."""
        for uri in self.shard_uris(split):
            yield from read_records(uri, self.record)

    def run_uri(self, run: str) -> str:
        """The folder of a run."""
        return store.join(self.uri, RUNS, run)

    def manifest(self, columns: list[str] | None = None) -> pa.Table:
        """The row of every source in the dataset, over all runs, with a column `run` more.

        A row counts when its shard is named in `dataset.json`, or, for a source that failed, when it is the last run's.
        Those of duplicates are left out.
        """
        wanted = columns or MANIFEST.names
        read = [*wanted, *({"shard", "status"} - set(wanted))]
        tables = []
        for run, rows, live in self.rows_by_run(read):
            rows = rows.filter(pc.and_(live, pc.not_equal(rows["status"], DUPLICATE))).select(wanted)
            tables.append(rows.append_column("run", pa.array([run.name] * len(rows), pa.string()).dictionary_encode()))
        return pa.concat_tables(tables).unify_dictionaries()

    def rows_by_run(self, columns: list[str]) -> Iterator[tuple[Run, pa.Table, pa.ChunkedArray]]:
        """The manifest of each run, and which of its rows are true of the dataset now.

        Those of sources that failed, and of duplicates, move on from run to run. columns: shard and status among them.
        """
        named: dict[str, list[str]] = {run.name: [] for run in self.runs}
        for shard in self.shards:
            named[shard.run].append(shard.name)
        for run, rows in zip(self.runs, self._manifests(columns), strict=True):
            live = pc.is_in(rows["shard"], value_set=pa.array(named[run.name], pa.string()), skip_nulls=True)
            if run is self.runs[-1]:
                live = pc.or_(live, pc.not_equal(rows["status"], WRITTEN))
            yield run, rows, live

    def without_records(self) -> pa.Table:
        """The rows of sources that failed, of silent ones and of duplicates."""
        rows = self.run_manifest(self.runs[-1].name)
        return rows.filter(pc.not_equal(rows["status"], WRITTEN))

    @property
    def num_duplicates(self) -> int:
        """Files beside the sources that have the content of one of them, and no records."""
        return self._count(DUPLICATE)

    @property
    def num_silent(self) -> int:
        """Sources all of whose segments are left out."""
        return self._count(SILENT)

    def _count(self, status: str) -> int:
        """Rows of the last run with a status of what has no records: they move on from run to run."""
        found = self.run_manifest(self.runs[-1].name, ["status"])["status"]
        return int(pc.sum(pc.equal(found, status)).as_py() or 0)

    def _manifests(self, columns: list[str]) -> Iterator[pa.Table]:
        """The manifest of each run, looked at many together: that takes longer than to read a small one."""
        uris = [store.join(self.run_uri(run.name), MANIFEST_FILE) for run in self.runs]
        position = 0
        for tables in read_foreign_tables(uris, columns, MANIFEST, LATER):
            try:
                check_manifest(pa.concat_tables(tables), "")
            except WorkError:
                for uri, table in zip(uris[position:], tables, strict=False):
                    check_manifest(table, uri)  # which of them, and where in it
                raise
            yield from tables
            position += len(tables)

    def run_manifest(self, run: str, columns: list[str] | None = None) -> pa.Table:
        """The manifest of one run as it was written. WorkError names the file and what is wrong in it."""
        uri = store.join(self.run_uri(run), MANIFEST_FILE)
        wanted = columns or MANIFEST.names
        table = read_foreign(uri, list(dict.fromkeys([*wanted, "status"])), MANIFEST, LATER)
        check_manifest(table, uri)
        return table.select(wanted)

    def to_dict(self) -> dict[str, Any]:
        """The content of `dataset.json`."""
        return {
            "format_version": FORMAT_VERSION,
            "config": self.config.to_dict(),
            "fingerprint": self.fingerprint,
            "record": {"dtype": self.record.dtype, "shape": list(self.record.shape)},
            "global_range": {"min_db": self.min_db, "max_db": self.max_db},
            "splits": {name: dataclasses.asdict(split) for name, split in self.splits.items()},
            "sources": dataclasses.asdict(self.sources),
            "runs": [dataclasses.asdict(run) for run in self.runs],
        }

    def to_json(self) -> bytes:
        """`dataset.json` as it is written."""
        return (json.dumps(self.to_dict(), indent=1) + "\n").encode()

    @property
    def digest(self) -> str:
        """SHA-256 of `dataset.json`: names this state of the dataset."""
        return hashlib.sha256(self.to_json()).hexdigest()


def read_records(uri: str, spec: RecordSpec) -> Iterator[Record]:
    """Read the records of one shard. WorkError names it, and the record that is not as it must be."""
    try:
        store.require_plain_file(uri)
        with store.open_read(uri) as file:
            for number, serialized in enumerate(read_frames(file, uri), start=1):
                try:
                    record = parse(serialized, spec)
                except WorkError as error:
                    raise WorkError(f"{uri}: record {number}: {error}") from error
                yield record
    except OSError as error:
        raise WorkError(f"{uri}: must be a readable shard: {error.strerror or error}") from error


def is_dataset(uri: str) -> bool:
    """Whether a dataset was committed here."""
    return store.exists(store.join(uri, ENTRY))


def open_dataset(place: Dataset | Place) -> Dataset:
    """Open the dataset folder at a path or URI; a Dataset is given back as it is.

    SettingError when it is none or of another format version, or when anything that its `dataset.json` says is not as
    it must be.

    >>> opened = open_dataset(dataset)
    >>> opened.num_examples, opened.record.shape, opened.config.audio.sample_rate
    (12, (256, 64, 1), 16000)
    >>> record = next(opened.records("train"))
    >>> record.source, record.spectrogram.shape
    ('tone_00.wav', (256, 64, 1))
    """
    if isinstance(place, Dataset):
        return place
    uri = os.fspath(place)
    entry = store.join(uri, ENTRY)
    try:
        store.require_plain_file(entry)
        values = json_document(store.read_bytes(entry))
    except FileNotFoundError as error:
        raise SettingError(f"DATASET {uri}: must be a dataset folder, it has no {ENTRY}") from error
    except Unreachable:
        raise  # it may be there
    except (OSError, ValueError) as error:
        raise SettingError(f"DATASET {uri}: its {ENTRY} must be readable: {error}") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise SettingError(f"DATASET {uri}: format_version={shortened(version)} must be {FORMAT_VERSION}")
    return _from_dict(uri, values, checked_entry(uri, values))


def _from_dict(uri: str, values: dict[str, Any], config: DatasetConfig) -> Dataset:
    splits = {
        name: Split(split["num_examples"], split["seconds"], tuple(Shard(**shard) for shard in split["shards"]))
        for name, split in values["splits"].items()
    }
    runs = tuple(
        Run(run["name"], tuple(map(store.shown, run["inputs"])), Sources(**run["sources"]), run["num_examples"])
        for run in values["runs"]
    )
    bounds, sources = values["global_range"], Sources(**values["sources"])
    return Dataset(uri.rstrip("/"), config, bounds["min_db"], bounds["max_db"], splits, sources, runs)

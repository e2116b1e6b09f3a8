"""What is in a dataset, in figures."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pipelines.config import DatasetConfig
from pipelines.dataset.folder import Dataset, Sources, open_dataset
from pipelines.dataset.records import RecordSpec
from pipelines.dataset.tables import loudest_of_rows
from pipelines.store.paths import Place

_LEVEL_STEP_DB = 10


@dataclass(frozen=True)
class SplitFacts:
    """A split in figures. hours: of the sources in it."""

    num_examples: int
    hours: float
    num_shards: int
    num_bytes: int


@dataclass(frozen=True)
class Level:
    """How many sources have their loudest cell between two levels in dB, the lower one included."""

    from_db: int
    to_db: int
    sources: int


@dataclass(frozen=True)
class RunFacts:
    """A run that still has a part in the dataset, and its records."""

    name: str
    num_examples: int


@dataclass(frozen=True)
class DatasetFacts:
    """A dataset in figures. num_bytes: of its shards. levels: a histogram, from the quietest sources to the loudest.

    duplicates: files that have the content of a source, and no records. silent: sources without a segment that is kept.
    left_out: segments that are no records, of those and of others.
    """

    dataset: str
    fingerprint: str
    config: DatasetConfig
    record: RecordSpec
    num_examples: int
    hours: float
    num_bytes: int
    min_db: float
    max_db: float
    splits: dict[str, SplitFacts]
    sources: Sources
    duplicates: int
    silent: int
    left_out: int
    failures_by_stage: dict[str, int]
    levels: tuple[Level, ...]
    runs: tuple[RunFacts, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        values["config"] = self.config.to_dict()
        values["record"] = {"dtype": self.record.dtype, "shape": list(self.record.shape)}
        values["global_range"] = {"min_db": values.pop("min_db"), "max_db": values.pop("max_db")}
        values["splits"] = {name: dataclasses.asdict(split) for name, split in self.splits.items()}
        values["sources"] = dataclasses.asdict(self.sources)
        values["levels"] = [dataclasses.asdict(level) for level in self.levels]
        values["runs"] = [dataclasses.asdict(run) for run in self.runs]
        order = ("dataset", "fingerprint", "config", "record", "num_examples", "hours", "num_bytes", "global_range")
        return {name: values.pop(name) for name in order} | values


def describe_dataset(dataset: Dataset | Place) -> DatasetFacts:
    """Counts, hours, range, failures by stage, size and levels of a dataset: `audio-vae info`.

    dataset: an open one, or the path or URI of one. Only `dataset.json` and the manifests are read.

    >>> facts = describe_dataset(dataset)
    >>> facts.num_examples, facts.record.shape, sorted(facts.splits)
    (12, (256, 64, 1), ['train', 'validation'])
    >>> facts.sources.failed, facts.failures_by_stage
    (0, {})
    """
    found = open_dataset(dataset)
    rows = found.manifest(["status", "seconds", "max_db", "loudest_db", "error_stage", "left_out"])
    failed = rows.filter(pc.equal(rows["status"], "failed"))
    splits = {
        name: SplitFacts(
            num_examples=split.num_examples,
            hours=round(split.seconds / 3600, 4),
            num_shards=len(split.shards),
            num_bytes=sum(shard.num_bytes for shard in split.shards),
        )
        for name, split in found.splits.items()
    }
    return DatasetFacts(
        dataset=store.shown(found.uri),
        fingerprint=found.fingerprint,
        config=found.config,
        record=found.record,
        num_examples=found.num_examples,
        hours=round(sum(split.seconds for split in found.splits.values()) / 3600, 4),
        num_bytes=sum(shard.num_bytes for shard in found.shards),
        min_db=found.min_db,
        max_db=found.max_db,
        splits=splits,
        sources=found.sources,
        duplicates=found.num_duplicates,
        silent=found.num_silent,
        left_out=pc.sum(rows["left_out"]).as_py() or 0,
        failures_by_stage=_counts(failed["error_stage"]),
        levels=tuple(_levels(loudest_of_rows(rows, found.config))),
        runs=tuple(RunFacts(run.name, run.num_examples) for run in found.runs),
    )


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}


def _levels(loudest_db: pa.ChunkedArray) -> list[Level]:
    """How many sources have their loudest cell in each range of 10 dB."""
    values = loudest_db.drop_null().to_numpy()
    if len(values) == 0:
        return []
    first = math.floor(values.min() / _LEVEL_STEP_DB)
    bins = np.floor(values / _LEVEL_STEP_DB).astype(int) - first
    return [
        Level((first + i) * _LEVEL_STEP_DB, (first + i + 1) * _LEVEL_STEP_DB, int(count))
        for i, count in enumerate(np.bincount(bins))
    ]

"""What is in a dataset, as plain values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pipelines.dataset.folder import Dataset

_LEVEL_STEP_DB = 10


def describe(dataset: Dataset) -> dict[str, Any]:
    """Counts, hours, range, failures by stage, size and a histogram of levels, as JSON values."""
    rows = dataset.manifest(["status", "seconds", "max_db", "error_stage"])
    failed = rows.filter(pc.equal(rows["status"], "failed"))
    splits = {
        name: {
            "num_examples": split.num_examples,
            "hours": round(split.seconds / 3600, 4),
            "num_shards": len(split.shards),
            "num_bytes": sum(shard.num_bytes for shard in split.shards),
        }
        for name, split in dataset.splits.items()
    }
    return {
        "dataset": store.shown(dataset.uri),
        "fingerprint": dataset.fingerprint,
        "config": dataset.config.to_dict(),
        "record": {"dtype": dataset.record.dtype, "shape": list(dataset.record.shape)},
        "num_examples": dataset.num_examples,
        "hours": round(sum(split.seconds for split in dataset.splits.values()) / 3600, 4),
        "num_bytes": sum(shard.num_bytes for shard in dataset.shards),
        "global_range": {"min_db": dataset.min_db, "max_db": dataset.max_db},
        "splits": splits,
        "sources": dataset.to_dict()["sources"],
        "failures_by_stage": _counts(failed["error_stage"]),
        "levels": _levels(rows["max_db"]),
        "runs": [{"name": run.name, "num_examples": run.num_examples} for run in dataset.runs],
    }


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}


def _levels(max_db: pa.ChunkedArray) -> list[dict[str, float]]:
    """How many sources have their loudest cell in each range of 10 dB: from_db (included) to to_db."""
    values = max_db.drop_null().to_numpy()
    if len(values) == 0:
        return []
    first = math.floor(values.min() / _LEVEL_STEP_DB)
    bins = np.floor(values / _LEVEL_STEP_DB).astype(int) - first
    return [
        {"from_db": (first + i) * _LEVEL_STEP_DB, "to_db": (first + i + 1) * _LEVEL_STEP_DB, "sources": int(count)}
        for i, count in enumerate(np.bincount(bins))
    ]

"""What a manifest costs as it grows: bytes a row in Parquet and in Arrow, and time and memory of planning a rerun.

    python benchmarks/manifest_scale.py --rows 1000000

The manifest is synthetic: names of 27 characters of which 12 are random, sizes, lengths and levels at random, 4,000
sources a shard. The rerun lists all of it and one new source for every thousand known.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.audio.sources import LISTING, Listing
from pipelines.config import DatasetConfig
from pipelines.dataset.folder import MANIFEST, Dataset, Run, Shard, Sources, Split, open_dataset
from pipelines.dataset.names import MANIFEST_FILE, RUNS
from pipelines.plan.changes import compare
from pipelines.plan.policy import Policy

_RUN = "000001-20260101T000000Z"
_SOURCES_A_SHARD = 4000
_ROWS_AT_ONCE = 1 << 17


def rows(start: int, count: int) -> pa.Table:
    """Rows of the manifest from number `start` on."""
    rng = np.random.default_rng(start)
    numbers = range(start, start + count)
    low = rng.normal(-45, 5, count).astype(np.float32).astype(float)
    columns: dict[str, Any] = {
        "source": [
            f"{n // 1000:06d}/{name.hex()}_{n % 1000:03d}.wav"
            for n, name in zip(numbers, _names(rng, count), strict=True)
        ],
        "size": rng.integers(20_000, 400_000, count),
        "stamp": [str(1_767_225_600_000_000_000 + int(n)) for n in rng.integers(0, 10**15, count)],
        "status": ["written"] * count,
        "split": ["train"] * count,
        "shard": [f"train-{n // _SOURCES_A_SHARD:05d}.tfrecord" for n in numbers],
        "num_segments": rng.integers(1, 12, count),
        "seconds": np.round(rng.uniform(0.5, 8, count), 6),
        "min_db": low,
        "max_db": low + rng.uniform(60, 80, count).astype(np.float32),
        "digest": [rng.bytes(16).hex() for _ in numbers],
    }
    nothing = {name: pa.nulls(count, pa.string()) for name in ("error_stage", "error", "warning", "inputs")}
    return pa.table(columns | nothing, schema=MANIFEST)


def _names(rng: np.random.Generator, count: int) -> list[bytes]:
    data = rng.bytes(6 * count)
    return [data[6 * i : 6 * i + 6] for i in range(count)]


def write_dataset(folder: Path, count: int) -> dict[str, float]:
    """A dataset of so many sources without shards; bytes a row of its manifest and a shard of its entry."""
    path = folder / RUNS / _RUN / MANIFEST_FILE
    path.parent.mkdir(parents=True)
    with pq.ParquetWriter(str(path), MANIFEST, compression="zstd") as writer:
        for start in range(0, count, _ROWS_AT_ONCE):
            writer.write_table(rows(start, min(_ROWS_AT_ONCE, count - start)), row_group_size=_ROWS_AT_ONCE)
    num_shards = -(-count // _SOURCES_A_SHARD)
    shards = [
        Shard(f"{RUNS}/{_RUN}/train-{i:05d}.tfrecord", 24_000, 800_000_000, 4_294_967_295) for i in range(num_shards)
    ]
    sources = Sources(count, count, 0, 0, 0)
    run = Run(_RUN, ("/in",), sources, 6 * count)
    split = Split(6 * count, 4.25 * count, tuple(shards))
    entry = Dataset(str(folder), DatasetConfig(), -80.0, 40.0, {"train": split}, sources, (run,)).to_json()
    (folder / "dataset.json").write_bytes(entry)
    return {"parquet_bytes_a_row": path.stat().st_size / count, "entry_bytes_a_shard": len(entry) / num_shards}


def write_listing(folder: Path, count: int) -> None:
    """What a walk over the inputs finds: all known sources and the new ones."""
    known = open_dataset(str(folder)).manifest(["source", "size", "stamp"])
    new = [f"new/{i:09d}.wav" for i in range(count // 1000)]
    extra = pa.table({"source": new, "size": pa.array([44] * len(new), pa.int64()), "stamp": ["1"] * len(new)})
    table = pa.concat_tables([known.select(["source", "size", "stamp"]), extra])
    columns = {"root": pa.array(["/in"] * len(table))}
    columns |= {name: pa.nulls(len(table), pa.string()) for name in ("error", "digest")}
    columns |= {name: table[name] for name in table.column_names}
    pq.write_table(pa.table({name: columns[name] for name in LISTING.names}).sort_by("source"), folder / "listing")


def measure(folder: Path) -> dict[str, float]:
    """Compare the listing with the dataset in this process."""
    table = pq.read_table(folder / "listing", schema=LISTING)
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    dataset = open_dataset(str(folder))
    changes = compare(Listing(table, {}, ("/in",)), dataset, Policy(), dataset.config)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert (changes.new, changes.removed, changes.unchanged) == (len(table) // 1001, 0, len(table) - changes.new)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "arrow_bytes_a_row": dataset.manifest().nbytes / (len(table) - changes.new),
        "listing_bytes_a_row": table.nbytes / len(table),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_mb": after.ru_maxrss / 1024,
    }


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description="Measure what a manifest costs.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    with tempfile.TemporaryDirectory(prefix="audio-vae-") as name:
        folder = Path(name)
        values: dict[str, Any] = {"rows": options.rows, "cores": os.cpu_count(), "python": platform.python_version()}
        values |= write_dataset(folder, options.rows)
        write_listing(folder, options.rows)
        command = [sys.executable, __file__, "--measure", name]  # a process of its own has a peak of its own
        values |= json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(json.dumps({key: round(v, 2) if isinstance(v, float) else v for key, v in values.items()}, indent=1))


if __name__ == "__main__":
    main()

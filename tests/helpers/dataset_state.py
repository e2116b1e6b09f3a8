"""What is in a dataset folder, as bytes, so that two of them can be compared."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile

from pipelines import store
from pipelines.dataset.checking import check_bytes, check_dataset
from pipelines.dataset.folder import open_dataset
from pipelines.dataset.framing import read_frames
from pipelines.dataset.records import parse

SMALL = ["--sample-rate", "8000", "--frame-size", "64", "--hop-length", "32", "--segment-seconds", "0.1"]
"""Options of tiny records: 32 bins x 26 frames for a tenth of a second."""


def write_small(
    path: Path, frequency_hz: float, seconds: float = 0.25, level: float = 0.4, subtype: str | None = None
) -> Path:
    """A decaying sine at another rate than the records'; its levels depend on frequency and level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * 11025)) / 11025
    soundfile.write(path, level * np.exp(-4 * time) * np.sin(2 * np.pi * frequency_hz * time), 11025, subtype)
    return path


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Modification time and digest of every file below a folder, and the names of the folders."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mtime_ns if path.is_file() else 0,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
    }


def contents(dataset: Path) -> dict[str, bytes]:
    """Everything that `dataset.json` names, and itself, without the moments that are part of the runs' names."""
    entry = (dataset / "dataset.json").read_text()
    plain = re.sub(r"(\d{6})-\d{8}T\d{6}Z", r"\1", entry)
    found = {"dataset.json": plain.encode(), "schema.pbtxt": (dataset / "schema.pbtxt").read_bytes()}
    for run in open_dataset(str(dataset)).runs:
        found[f"{run.number}/manifest.parquet"] = (dataset / "runs" / run.name / "manifest.parquet").read_bytes()
    for shard in open_dataset(str(dataset)).shards:
        found[f"{int(shard.run[:6])}/{shard.name}"] = (dataset / shard.path).read_bytes()
    return found


def orphans(dataset: Path) -> set[str]:
    """Files and folders of a dataset that its runs did not leave there on purpose."""
    named = {"dataset.json", "schema.pbtxt", "runs"}
    for run in open_dataset(str(dataset)).runs:
        named |= {f"runs/{run.name}", f"runs/{run.name}/manifest.parquet"}
    named |= {shard.path for shard in open_dataset(str(dataset)).shards}
    return {str(path.relative_to(dataset)) for path in dataset.rglob("*")} - named


def serialized_records(dataset: Path) -> dict[tuple[str, int], bytes]:
    """The bytes of each record by source and segment."""
    opened = open_dataset(str(dataset))
    found = {}
    for shard in opened.shards:
        with store.open_read(str(dataset / shard.path)) as file:
            for data in read_frames(file, shard.path):
                record = parse(data, opened.record)
                assert (record.source, record.segment) not in found
                found[record.source, record.segment] = data
    return found


def split_of_each(dataset: Path) -> dict[str, str]:
    """The split of each written source by its row in the manifests."""
    rows = open_dataset(str(dataset)).manifest(["source", "split", "status"]).to_pylist()
    return {row["source"]: row["split"] for row in rows if row["status"] == "written"}


def problems(dataset: Path) -> list[str]:
    """What `audio-vae verify` finds without decoding the records' arrays with TensorFlow's tools."""
    opened = open_dataset(str(dataset))
    found = check_dataset(opened)
    for shard in opened.shards:
        found += [f"{shard.path}: {problem}" for problem in check_bytes(shard, str(dataset / shard.path))]
    return found


def manifest_rows(dataset: Path, run: int = -1) -> list[dict]:
    """The rows that one run wrote."""
    name = json.loads((dataset / "dataset.json").read_text())["runs"][run]["name"]
    return pq.read_table(dataset / "runs" / name / "manifest.parquet").to_pylist()

"""Checks shards and records against the manifest and the format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pipelines.dataset.folder import Dataset, Shard, open_dataset
from pipelines.dataset.framing import read_frames
from pipelines.dataset.names import SCHEMA_FILE
from pipelines.dataset.records import SILENCE_DB, Range, is_silent, merged_range, parse, schema_pbtxt
from pipelines.dataset.tables import range_of_rows
from pipelines.errors import NotThere, StoreError, WorkError
from pipelines.signals import import_whole

_TOLERANCE_DB = 1e-3


def check_bytes(shard: Shard, uri: str) -> list[str]:
    """Length and checksums of the shard in a file, of the whole and of each record in it; empty when all fit."""
    import google_crc32c

    try:
        store.require_plain_file(uri)
        with store.open_read(uri) as file:
            length, crc = 0, 0
            while chunk := file.read(1 << 20):
                length += len(chunk)
                crc = google_crc32c.extend(crc, chunk)
        if length != shard.num_bytes:
            return [f"has {length} bytes, dataset.json says {shard.num_bytes}"]
        with store.open_read(uri) as file:
            count = sum(1 for _ in read_frames(file, shard.path))
    except FileNotFoundError:
        return ["is missing"]
    except OSError as error:
        return [f"cannot be read: {error.strerror or error}"]
    except WorkError as error:
        return [str(error).removeprefix(f"{shard.path}: ")]
    problems = [] if crc == shard.crc32c else [f"has CRC32C {crc}, dataset.json says {shard.crc32c}"]
    if count != shard.num_examples:
        problems.append(f"has {count} records, dataset.json says {shard.num_examples}")
    return problems


def damage_in(dataset: Dataset) -> WorkError | None:
    """The first shard or record of a dataset that is not as it must be, found by reading all of them."""
    try:
        for split in dataset.splits:
            for _ in dataset.records(split):
                pass
    except WorkError as error:
        return error
    return None


def check_values(uri: str, dataset: Dataset) -> list[str]:
    """The records of a shard that `parse` refuses, each by its number, and those numbered wrongly in their source."""
    problems: list[str] = []
    segments: dict[str, list[int]] = {}
    with store.open_read(uri) as file:
        for number, serialized in enumerate(read_frames(file, uri), start=1):
            try:
                record = parse(serialized, dataset.record)
            except WorkError as error:
                problems.append(f"record {number}: {error}")
            else:
                segments.setdefault(record.source, []).append(record.segment)
    if not problems:
        may_lack = dataset.config.audio.leaves_out
        problems = [
            f"{source}: its segments must be numbered from 0 {'on' if may_lack else f'to {len(found) - 1}'}, one each"
            for source, found in segments.items()
            if len(set(found)) < len(found) or (max(found) >= len(found) and not may_lack)
        ]
    return problems


def check_records(batches: Iterable[pa.RecordBatch], rows: list[dict[str, Any]], dataset: Dataset) -> list[str]:
    """Shape, values and range of each record, and count and range of each source against its manifest row."""
    import numpy as np

    spec = dataset.record
    found: dict[str, _Found] = {}
    problems = []
    for batch in batches:
        columns = {name: pc.list_flatten(batch.column(name)) for name in ("source", "segment", "min_db", "max_db")}
        arrays = pc.list_flatten(batch.column("spectrogram"))
        for i, values in enumerate(zip(*(column.to_pylist() for column in columns.values()), strict=True)):
            source, segment, low, high = values[0].decode(), *values[1:]
            data = np.frombuffer(arrays[i].as_buffer(), dtype=np.dtype(spec.dtype).newbyteorder("<"))
            name = f"{source} segment {segment}"
            if data.size != np.prod(spec.shape):
                problems.append(f"{name}: has {data.size} values, {spec.shape} are wanted")
            elif spec.dtype != "uint8" and not (np.isfinite(data).all() and data.min() >= 0 and data.max() <= 1):
                problems.append(f"{name}: has values outside [0, 1]")
            if not (np.isfinite([low, high]).all() and low <= high):
                problems.append(f"{name}: has the range {low} to {high} dB")
            before = found.get(source, _Found())
            known = merged_range([before.range_db, (low, high)])
            found[source] = _Found(before.count + 1, known, before.is_partly_silent or is_silent(low, high))
    return problems + _compare(found, rows)


@dataclass(frozen=True)
class _Found:
    """The records of a source: how many, their range, and whether there is silence among them."""

    count: int = 0
    range_db: Range = (None, None)
    is_partly_silent: bool = False

    def spans(self, low: float, high: float) -> bool:
        """Whether a manifest may say so; those of earlier versions count silence as they count anything else."""
        own_low, own_high = self.range_db
        if own_low is None or own_high is None:
            return False
        lows = [own_low, min(own_low, SILENCE_DB)] if self.is_partly_silent else [own_low]
        return abs(own_high - high) <= _TOLERANCE_DB and any(abs(each - low) <= _TOLERANCE_DB for each in lows)


def _compare(found: dict[str, _Found], rows: list[dict[str, Any]]) -> list[str]:
    problems = [
        f"{source}: has records but no row in the manifest" for source in found.keys() - {r["source"] for r in rows}
    ]
    for row in rows:
        own = found.get(row["source"], _Found())
        if own.count != row["num_segments"]:
            problems.append(f"{row['source']}: has {own.count} records, the manifest says {row['num_segments']}")
        elif not own.spans(row["min_db"], row["max_db"]):
            said = f"{row['min_db']:.3f} to {row['max_db']:.3f}"
            low, high = own.range_db
            problems.append(f"{row['source']}: has {low:.3f} to {high:.3f} dB, the manifest says {said} dB")
    return problems


def check_dataset(dataset: Dataset) -> list[str]:
    """What `dataset.json`, the manifests and the schema say of each other, without reading a shard."""
    problems = []
    try:
        rows = dataset.manifest(["source", "status", "num_segments", "min_db", "max_db"])
    except WorkError as error:
        return [str(error)]
    status = rows["status"].to_pylist()
    counts = status.count("written"), status.count("failed")
    if counts != (dataset.sources.written, dataset.sources.failed) or sum(counts) != dataset.sources.found:
        problems.append(f"the manifests have {counts[0]} written and {counts[1]} failed, not {dataset.sources}")
    if pc.count_distinct(rows["source"]).as_py() != len(rows):
        problems.append("a source has more than one row in the manifests")
    low, high = range_of_rows(rows)
    of_earlier_versions = pc.min(rows["min_db"]).as_py(), high  # silence counted in them
    if (dataset.min_db, dataset.max_db) not in ((low, high), of_earlier_versions):
        problems.append(
            f"the manifests span {low} to {high} dB, dataset.json says {dataset.min_db} to {dataset.max_db}"
        )
    if (pc.sum(rows["num_segments"]).as_py() or 0) != dataset.num_examples:
        problems.append(f"the manifests have {pc.sum(rows['num_segments'])} records, the shards {dataset.num_examples}")
    uri = store.join(dataset.uri, SCHEMA_FILE)
    if not store.exists(uri) or store.read_bytes(uri) != schema_pbtxt(dataset.record).encode():
        problems.append(f"{SCHEMA_FILE} is missing or not the schema of this dataset's records")
    return problems


def import_decoder() -> None:
    """Import what decodes records, TensorFlow among it: seconds. Before threads check shards and do it all at once."""
    import_whole("tensorflow_metadata.proto.v0.schema_pb2", "tfx_bsl.public.tfxio")


def _record_batches(path: str, dataset: Dataset) -> Iterator[pa.RecordBatch]:
    """The records of a shard in a local file, decoded by tfx-bsl."""
    import_decoder()
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tfx_bsl.public import tfxio

    schema = text_format.Parse(schema_pbtxt(dataset.record), schema_pb2.Schema())
    literal = re.sub(r"[*?\[\\]", r"\\\g<0>", path)  # tfx-bsl takes patterns, and would read what else they fit
    reader = tfxio.TFExampleRecord([literal], schema=schema, telemetry_descriptors=["audio-vae", "verify"])
    yield from reader.RecordBatches(tfxio.RecordBatchesOptions(batch_size=64, num_epochs=1, shuffle=False))


def check_shard(path: str, dataset_uri: str) -> list[str]:
    """All problems of one shard, each with its path; records are decoded only when every checksum fits."""
    dataset = open_dataset(dataset_uri)
    shard = next(shard for shard in dataset.shards if shard.path == path)
    try:
        with store.local_copy(store.join(dataset.uri, path)) as local:
            problems = check_bytes(shard, local) or check_values(local, dataset)
            if not problems:
                rows = dataset.run_manifest(shard.run)
                mine = rows.filter(pc.equal(rows["shard"], shard.name)).to_pylist()
                problems = check_records(_record_batches(local, dataset), mine, dataset)
    except StoreError as error:
        problems = ["is missing" if isinstance(error, NotThere) else f"cannot be read: {error.strerror}"]
    except WorkError as error:
        problems = [str(error)]
    return [f"{path}: {problem}" for problem in problems]

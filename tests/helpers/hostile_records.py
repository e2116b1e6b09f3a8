"""Records and shards as nobody's program writes them, in datasets whose checksums are right."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import MANIFEST, open_dataset
from pipelines.dataset.framing import _masked_crc, frame, read_frames
from pipelines.dataset.records import _Example, schema_pbtxt
from tests.helpers.dataset_writer import RUN, noises, write_dataset

CONFIG = DatasetConfig(
    AudioConfig(8000, segment_seconds=0.05), SpectrogramConfig(64, 32), label_pattern="(?P<digit>[0-9])", split=()
)
SHARD = f"runs/{RUN}/train-00000.tfrecord"
Change = Callable[[Any], None]


def write_whole(folder: Path) -> Path:
    """A dataset of four sources of three records each in two shards, with its manifest and schema."""
    write_dataset(folder, {"train": noises(4)}, CONFIG)
    dataset = open_dataset(str(folder))
    rows = []
    for shard in dataset.shards:
        with (folder / shard.path).open("rb") as file:
            examples = [_Example.FromString(data).features.feature for data in read_frames(file, shard.path)]
        for source in sorted({example["source"].bytes_list.value[0] for example in examples}):
            own = [example for example in examples if example["source"].bytes_list.value[0] == source]
            rows.append(
                {"source": source.decode(), "size": 1, "stamp": "1", "status": "written", "split": "train"}
                | {"shard": shard.name, "num_segments": len(own), "seconds": 0.125}
                | {"min_db": min(example["min_db"].float_list.value[0] for example in own)}
                | {"max_db": max(example["max_db"].float_list.value[0] for example in own)}
            )
    pq.write_table(pa.Table.from_pylist(rows, schema=MANIFEST), folder / "runs" / RUN / "manifest.parquet")
    (folder / "schema.pbtxt").write_text(schema_pbtxt(dataset.record))
    return folder


def change_record(folder: Path, change: Change, number: int = 1) -> None:
    """Change the features of a record of the first shard, and whatever names its length and checksums."""
    with (folder / SHARD).open("rb") as file:
        records = list(read_frames(file, SHARD))
    example = _Example.FromString(records[number])
    change(example.features.feature)
    records[number] = example.SerializeToString(deterministic=True)
    replace_shard(folder, b"".join(map(frame, records)))


def replace_shard(folder: Path, data: bytes) -> None:
    """Put other bytes into the first shard, and say so in `dataset.json`."""
    (folder / SHARD).write_bytes(data)
    values = json.loads((folder / "dataset.json").read_text())
    values["splits"]["train"]["shards"][0] |= {"num_bytes": len(data), "crc32c": google_crc32c.value(data)}
    (folder / "dataset.json").write_text(json.dumps(values))


def with_length(data: bytes, length: int) -> bytes:
    """A shard whose first record says that it is so long, with a right checksum of that."""
    header = struct.pack("<Q", length)
    return header + struct.pack("<I", _masked_crc(header)) + data[12:]


def bytes_of(name: str, value: bytes) -> Change:
    def change(feature: Any) -> None:
        feature[name].bytes_list.value[:] = [value]

    return change


def longer(name: str, more: int) -> Change:
    def change(feature: Any) -> None:
        feature[name].bytes_list.value[:] = [feature[name].bytes_list.value[0] + bytes(more)]

    return change


def number_of(name: str, value: float, kind: str) -> Change:
    def change(feature: Any) -> None:
        getattr(feature[name], kind).value[:] = [value]

    return change


def without(name: str) -> Change:
    def change(feature: Any) -> None:
        del feature[name]

    return change


def array_of(value: float) -> Change:
    """One value of the spectrogram, float16."""

    def change(feature: Any) -> None:
        data = feature["spectrogram"].bytes_list.value[0]
        feature["spectrogram"].bytes_list.value[:] = [struct.pack("<e", value) + data[2:]]

    return change


def floats(name: str, value: float) -> Change:
    return number_of(name, value, "float_list")


def integers(name: str, value: int) -> Change:
    return number_of(name, value, "int64_list")


ODD_RECORDS: dict[str, tuple[Change, str]] = {
    "odd number of bytes": (longer("spectrogram", 1), r"spectrogram has \d+ bytes"),
    "bytes of two records": (longer("spectrogram", 32 * 13 * 2), r"spectrogram has \d+ bytes"),
    "no spectrogram": (without("spectrogram"), "spectrogram must be there"),
    "NaN": (array_of(float("nan")), r"must have values in \[0, 1\]"),
    "beyond 1": (array_of(2.0), r"must have values in \[0, 1\]"),
    "source no UTF-8": (bytes_of("source", b"\xff\xfe.wav"), r"source=b'\\xff\\xfe\.wav' must be UTF-8"),
    "long source": (bytes_of("source", b"a" * 70_000), "source of 70,000 bytes must have at most"),
    "no source": (without("source"), "source must be there"),
    "source a number": (integers("source", 7), "source must be there, with one value in its bytes_list"),
    "label no UTF-8": (bytes_of("label/digit", b"\xc3("), r"label/digit=b'\\xc3\(' must be UTF-8"),
    "label of 30 MB": (bytes_of("label/digit", b"a" * 30_000_000), "label/digit of 30,000,000 bytes"),
    "no label": (without("label/digit"), "label/digit must be there"),
    "two values": (lambda feature: feature["segment"].int64_list.value.append(1), "segment must be there, with one"),
    "segment 2**63 - 1": (integers("segment", 2**63 - 1), "segment=9223372036854775807 must be from 0"),
    "segment below 0": (integers("segment", -1), "segment=-1 must be from 0"),
    "valid_frames -5": (integers("valid_frames", -5), "valid_frames=-5 must be from 0 to 13"),
    "valid_frames beyond": (integers("valid_frames", 14), "valid_frames=14 must be from 0 to 13"),
    "start NaN": (floats("start_seconds", float("nan")), "start_seconds=nan must be a finite number"),
    "start below 0": (floats("start_seconds", -1.0), "start_seconds=-1.0 must be a finite number"),
    "min_db -inf": (floats("min_db", float("-inf")), "range=-inf to .* dB must be within ±1000 dB"),
    "min_db -3e38": (floats("min_db", -3e38), "dB must be within ±1000 dB"),
    "max_db 3e38": (floats("max_db", 3e38), "dB must be within ±1000 dB"),
    "max_db NaN": (floats("max_db", float("nan")), "to nan dB must be within ±1000 dB"),
    "range upside down": (floats("max_db", -999.0), "min_db at most max_db"),
}
"""What is changed in a record, and what is said of it."""
LENGTHS = (2**30, 2**36, 2**40, 2**60, 2**64 - 1, 0)

"""What `dataset.json` and a manifest must be before anything that they say is used: names, kinds, bounds.

A dataset may come from anybody. What passes here names nothing outside its folder, and no number in it is larger than
what its files can hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.config import DatasetConfig
from pipelines.dataset.names import (
    DUPLICATE,
    ENTRY,
    FAILED,
    RUNS,
    SHARD_NAME,
    SILENT,
    SPLIT_NAME,
    WRITTEN,
    is_split,
    run_number,
    split_of_shard,
)
from pipelines.dataset.records import MAX_DECIBELS, RecordSpec
from pipelines.errors import SettingError, WorkError, shortened
from pipelines.store.json_values import LARGEST, Value, json_document

if TYPE_CHECKING:
    import pyarrow as pa

_SOURCES = ("found", "written", "failed", "removed", "ignored")
_FRAMING = 16
"""Bytes of a TFRecord entry beside its data."""


def checked_entry(uri: str, document: object) -> DatasetConfig:
    """The settings in the content of a `dataset.json`, all of which has been looked at. SettingError names what is not
    as it must be, its rule and its value."""
    entry = Value(f"DATASET {uri}: its {ENTRY}", document)
    names = ("format_version", "config", "record", "global_range", "splits", "sources", "runs")
    values = entry.object(names, optional=("fingerprint",))
    config = _config(values["config"])
    spec = RecordSpec.of(config)
    record = values["record"]
    record.require(
        record.value == {"dtype": spec.dtype, "shape": list(spec.shape)}, f"{spec.dtype} of {spec.shape}, as its config"
    )
    check_range(values["global_range"])
    runs = _runs(values["runs"])
    paths: set[str] = set()
    for name, split in values["splits"].object().items():
        split.require(is_split(name), "named in lower-case letters, digits and _")
        _check_split(name, split, runs, spec, paths)
    _check_sources(values["sources"])
    return config


def _config(value: Value) -> DatasetConfig:
    settings = value.object()
    for name in ("audio", "spectrogram", "split"):
        if name in settings:
            settings[name].object()
    for pair in settings["split_pattern"].list() if "split_pattern" in settings else ():
        pair.require(isinstance(pair.value, list) and len(pair.value) == 2, "a split and a regular expression")
        for text in pair.list():
            text.text()
    try:
        return DatasetConfig.from_dict(value.value)
    except SettingError as error:
        raise SettingError(f"{value.file}: config: {error}") from error


def check_range(value: Value) -> None:
    """SettingError when `min_db` and `max_db` of an object are no range of decibels that a spectrogram can have."""
    bounds = value.object(("min_db", "max_db"))
    low, high = (bounds[name].number(-MAX_DECIBELS, MAX_DECIBELS) for name in ("min_db", "max_db"))
    value.require(low <= high, "a range whose min_db is at most its max_db")


def _runs(value: Value) -> set[str]:
    """The names of the runs, one at least, in the order of their numbers."""
    runs, last = value.list(), 0
    value.require(bool(runs), "one run at least")
    for run in runs:
        values = run.object(("name", "inputs", "sources", "num_examples"))
        name = values["name"]
        number = run_number(name.text())
        name.require(number > last, f"a run's, <number>-<utc> with a number above {last}")
        last = number
        for uri in values["inputs"].list():
            uri.text()
        values["num_examples"].integer()
        _check_sources(values["sources"])
    return {run.value["name"] for run in runs}


def _check_sources(value: Value) -> None:
    for count in value.object(_SOURCES).values():
        count.integer()


def _check_split(name: str, value: Value, runs: set[str], spec: RecordSpec, paths: set[str]) -> None:
    """Shards of its own name in runs that exist, none twice, and no more records than their bytes hold."""
    values = value.object(("num_examples", "seconds", "shards"))
    values["seconds"].number(least=0)
    total = 0
    for shard in values["shards"].list():
        parts = shard.object(("path", "num_examples", "num_bytes", "crc32c"))
        path = parts["path"]
        _, run, file, *_ = [*path.text().split("/"), "", "", ""]
        is_own = path.value == f"{RUNS}/{run}/{file}" and run in runs
        path.require(is_own and split_of_shard(file) == name, f"{RUNS}/<one of its runs>/{name}-<number>.tfrecord")
        path.require(path.value not in paths, "another path than those of the other shards")
        paths.add(path.value)
        size = parts["num_bytes"].integer()
        most = size // (spec.array_bytes + _FRAMING)
        total += parts["num_examples"].integer(most=most)
        parts["crc32c"].integer(most=2**32 - 1)
    values["num_examples"].require(values["num_examples"].integer() == total, f"the sum over its shards, {total}")


def check_manifest(rows: pa.Table, uri: str) -> None:
    """WorkError naming a row of a manifest's columns, the rule and the value, when one is not as it must be."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def refuse_unless(good: pa.ChunkedArray, name: str, rule: str) -> None:
        bad = pc.index(pc.fill_null(good, False), False).as_py()
        if bad >= 0:
            raise WorkError(f"{uri}: row {bad + 1}: {name}={shortened(rows[name][bad].as_py())} must be {rule}")

    known = pa.array([WRITTEN, FAILED, DUPLICATE, SILENT])
    refuse_unless(pc.is_in(rows["status"], value_set=known), "status", "written, failed, silent or duplicate")
    failed = pc.not_equal(rows["status"], "written")
    there = set(rows.column_names)
    for name in {"source", "stamp"} & there:
        refuse_unless(pc.is_valid(rows[name]), name, "text")
    for name, pattern, rule in _NAMES:
        if name in there:
            good = pc.match_substring_regex(rows[name], f"^(?:{pattern})$")
            refuse_unless(pc.if_else(pc.is_null(rows[name]), failed, good), name, rule)
    if {"split", "shard"} <= there:
        split = pc.replace_substring_regex(rows["shard"], r"-[0-9]+\.tfrecord$", "")
        own = pc.fill_null(pc.equal(split, rows["split"]), failed)
        refuse_unless(own, "shard", "of the row's split")
    if "inputs" in there:
        for text in pc.unique(rows["inputs"]).to_pylist():
            if text is not None and not _is_list_of_texts(text):
                raise WorkError(f"{uri}: inputs={shortened(text)} must be a JSON list of texts")
    for name, low, high in _BOUNDS:
        if name in there:
            good = pc.and_(pc.greater_equal(rows[name], low), pc.less_equal(rows[name], high))
            rule = f"from {low:g} to {high:g}"
            may_lack = pc.or_(failed, name == "loudest_db")
            refuse_unless(pc.if_else(pc.is_null(rows[name]), may_lack, good), name, rule)


def _is_list_of_texts(text: str) -> bool:
    try:
        values = json_document(text.encode())
    except ValueError:
        return False
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


_NAMES = (
    ("split", SPLIT_NAME, "the name of a split"),
    ("shard", SHARD_NAME, "<split>-<number>.tfrecord"),
)
_BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("size", 0, LARGEST),
    ("num_segments", 0, 2**40),
    ("seconds", 0.0, 1e12),
    ("min_db", -MAX_DECIBELS, MAX_DECIBELS),
    ("max_db", -MAX_DECIBELS, MAX_DECIBELS),
    ("loudest_db", -MAX_DECIBELS, MAX_DECIBELS),
)

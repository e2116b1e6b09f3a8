"""Small files that ask for a great deal: each is refused at once, in a short line."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.dataset.folder import MANIFEST, open_dataset
from pipelines.errors import SettingError, WorkError
from pipelines.settings_file import read_settings
from pipelines.store import read_json
from tests.helpers.hostile_records import write_whole
from vae_model import cli
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.settings_of_file import file_settings
from vae_model.model_folder.value_range import ValueRange

LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whole(tmp_path_factory.mktemp("data") / "ds")


@pytest.fixture
def dataset(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "ds"))


@pytest.fixture
def _little_memory() -> Iterator[None]:
    """One GiB more than the process has now."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The line of a command that does not do it."""
    capsys.readouterr()
    assert cli.main([str(argument) for argument in arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert len(error) < 2_000
    return error


def rows_of(dataset: Path, count: int) -> pa.Table:
    """The first row of the manifest, so many times."""
    (path,) = dataset.glob("runs/*/manifest.parquet")
    first = pq.read_table(path).slice(0, 1).to_pylist()[0]
    numbers = pa.nulls(count, pa.int32()).fill_null(0)
    kinds = zip(MANIFEST.names, MANIFEST.types, strict=True)
    return pa.table(
        {name: pa.DictionaryArray.from_arrays(numbers, pa.array([first.get(name)], kind)) for name, kind in kinds}
    )


def write_manifest(dataset: Path, table: pa.Table) -> Path:
    """The table in place of the manifest, in the types that it must have; returns its path."""
    (path,) = dataset.glob("runs/*/manifest.parquet")
    with pq.ParquetWriter(path, MANIFEST, compression="zstd", use_dictionary=True) as writer:
        writer.write_table(table.cast(MANIFEST))
    return path


@pytest.mark.usefixtures("_little_memory")
def test_a_manifest_of_millions_of_equal_rows(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_manifest(dataset, rows_of(dataset, 2_000_000))
    assert path.stat().st_size < 200_000
    assert "says that it has 2,000,000 rows, in" in refused(capsys, "info", dataset)


@pytest.mark.usefixtures("_little_memory")
def test_a_manifest_that_repeats_a_long_text(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = rows_of(dataset, 1).cast(MANIFEST)
    number = MANIFEST.get_field_index("error")
    long = pa.DictionaryArray.from_arrays(pa.nulls(20_000, pa.int32()).fill_null(0), pa.array(["e" * 1_000_000]))
    columns = {name: table[name].take(pa.nulls(20_000, pa.int32()).fill_null(0)) for name in MANIFEST.names}
    columns[MANIFEST.names[number]] = long
    (path,) = dataset.glob("runs/*/manifest.parquet")
    kinds = [pa.field("error", pa.dictionary(pa.int32(), pa.string())) if f.name == "error" else f for f in MANIFEST]
    with pq.ParquetWriter(path, pa.schema(kinds), compression="zstd", store_schema=False) as writer:
        writer.write_table(pa.table(columns).cast(pa.schema(kinds)))
    assert path.stat().st_size < 20_000
    with pytest.raises(WorkError, match=r"its texts come to 20,00\d,\d+,\d+ bytes, in"):
        open_dataset(str(dataset)).manifest()


def test_anchors_that_repeat_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "laughs.yaml"
    for text in (
        LAUGHS,
        f"{LAUGHS}\nepochs: *a11",
        LAUGHS.replace("a11:", "conv_filters:"),
        "a: &a [*a, *a]",
        "a: &a {b: *a}",
        "a: " + "[" * 20_000,
        "x: " + "y" * 300_000,
        "? " * 5_000,
    ):
        path.write_text(text)
        with pytest.raises(SettingError, match=r"laughs\.yaml") as found:
            read_settings(path)
        assert len(str(found.value)) < 1_000
        assert "laughs.yaml" in refused(capsys, "rerun", path)
    path.write_text("a: &a [1, 2]\nb: *a\n")
    assert read_settings(path) == {"a": [1, 2], "b": [1, 2]}


def test_a_value_of_a_setting_is_shown_shortened(tmp_path: Path) -> None:
    for text in ("epochs: [[[[1, 2]]]]", f"epochs: {'9' * 4_000}", f"preset: {'p' * 100_000}", f"{'p' * 9_000}: 1"):
        (tmp_path / "train.yaml").write_text(text)
        with pytest.raises(SettingError) as found:
            file_settings(read_settings(tmp_path / "train.yaml"), "train.yaml")
        assert len(str(found.value)) < 1_500


@pytest.mark.parametrize(
    ("place", "value", "rule"),
    [
        (("runs",), [], "runs=[] must be one run at least"),
        (("splits", "train", "shards", 0, "path"), None, "shards[0].path=None must be text"),
        (("config", "audio", "sample_rate"), 10**400, "sample_rate=an integer of 1,329 bits must be"),
        (("config", "audio", "segment_seconds"), 1e308, "segment_seconds=1e+308 must be"),
        (("config", "spectrogram", "frame_size"), 2**30, "must be of at most 2 GiB"),
        (("config", "label_pattern"), "(" * 5_000, "must be a regular expression"),
        (("config", "label_pattern"), ["(?P<a>.)"], "must be a regular expression"),
        (("splits", "train", "num_examples"), 10**12, "num_examples=1000000000000 must be the sum over its shards"),
        (("splits", "train", "shards", 0, "num_examples"), 10**12, "must be an integer from 0 to"),
        (("splits", "train", "shards", 0, "num_bytes"), -1, "num_bytes=-1 must be an integer from 0"),
        (("splits", "train", "seconds"), float("nan"), "seconds=nan must be a finite number"),
        (("global_range", "min_db"), float("-inf"), "global_range.min_db=-inf must be a finite number"),
        (("global_range", "max_db"), 3e38, "global_range.max_db=3e+38 must be a finite number from -1000 to 1000"),
        (("global_range", "min_db"), 900, "must be a range whose min_db is at most its max_db"),
        (("record", "shape"), [10**9, 10**9, 1], "record="),
        (("sources",), None, "sources=None must be an object"),
        (("format_version",), [[[[]]]], "format_version="),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_dataset_is_refused_by_the_value(
    dataset: Path, place: tuple[Any, ...], value: Any, rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = json.loads((dataset / "dataset.json").read_text())
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (dataset / "dataset.json").write_text(json.dumps(values))
    for command in (["info", dataset], ["verify", dataset], ["prune", dataset], ["browse", dataset]):
        assert rule in refused(capsys, *command)


EMPTY = b'{"format_version": 1}'


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5_000, b'"\\ud800"', b"\xff", b"", b"null", b"[]", EMPTY],
    ids=["deep", "deep objects", "long number", "surrogate", "no UTF-8", "empty", "null", "list", "nothing else"],
)
def test_a_document_that_is_none(dataset: Path, data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / "dataset.json").write_bytes(data)
    assert "DATASET" in refused(capsys, "info", dataset)
    (dataset / "bundle.json").write_bytes(data)
    with pytest.raises(SettingError, match=r"bundle\.json"):
        Bundle.load(dataset)
    (dataset / "any.json").write_bytes(data)
    if data != EMPTY:
        with pytest.raises(SettingError, match=r"any\.json must"):
            read_json(dataset / "any.json")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("model", "latent_space_dim"), 10**400),
        (("model", "conv_filters"), [4] * 4_000),
        (("train", "batch_size"), "many"),
        (("value_range", "min_db"), float("-inf")),
        (("value_range", "max_db"), 3e38),
        (("value_range", "per_record"), 1),
        (("labels",), "abc"),
        (("labels",), [7]),
        (("dataset", "num_examples"), {"train": -1}),
        (("dataset", "label_pattern"), []),
        (("versions", "keras"), None),
        (("metrics",), []),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_bundle_is_refused_by_the_value(dataset: Path, place: tuple[str, ...], value: Any) -> None:
    opened = open_dataset(str(dataset))
    bundle = Bundle.of(opened, ModelConfig(input_shape=opened.record.shape), TrainConfig(), ValueRange(-80.0, 20.0))
    bundle.save(dataset)
    assert Bundle.load(dataset) == bundle
    values = json.loads((dataset / "bundle.json").read_text())
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (dataset / "bundle.json").write_text(json.dumps(values))
    with pytest.raises(SettingError, match=rf"bundle\.json: .*{place[-1]}"):
        Bundle.load(dataset)

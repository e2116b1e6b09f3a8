"""A dataset folder from anybody: nothing outside it is removed or written, and in it only what a run writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import open_dataset
from pipelines.errors import SettingError, WorkError
from pipelines.runs.folder import clear_leftovers, open_base
from tests.helpers.dataset_state import snapshot, write_small
from tests.helpers.dataset_writer import RUN, noises, write_dataset
from vae_model import cli

OLD, NEXT = "000000-20190101T000000Z", "000002-20260101T000000Z"
CONFIG = DatasetConfig(AudioConfig(8000, segment_seconds=0.1), SpectrogramConfig(64, 32))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two splits in one run, and a run that is no longer named."""
    folder = tmp_path / "ds"
    write_dataset(folder, {"train": noises(4), "validation": noises(2)}, CONFIG)
    shutil.copytree(folder / "runs" / RUN, folder / "runs" / "000000-20190101T000000Z")
    return folder


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of somebody's, with names that a run uses too."""
    folder = tmp_path / "victim"
    (folder / "plan").mkdir(parents=True)
    for name in (".ssh", "letters.txt", "train-00007.tfrecord", "plan/tasks.jsonl", "000009-20260101T000000Z"):
        (folder / name).write_text("mine")
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The line of a command that does not do it."""
    capsys.readouterr()
    assert cli.main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def change(dataset: Path, *place: Any, to: Any) -> None:
    """Set a value of `dataset.json`."""
    values = json.loads((dataset / "dataset.json").read_text())
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = to
    (dataset / "dataset.json").write_text(json.dumps(values))


@pytest.mark.parametrize("linked", ["runs", f"runs/{RUN}", f"runs/{OLD}", f"runs/{NEXT}"])
def test_runs_that_are_links_are_refused(
    dataset: Path, victim: Path, tmp_path: Path, linked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = dataset / linked
    if place.exists():
        shutil.rmtree(place)
    place.symlink_to(Path("../" * linked.count("/")) / "../victim", target_is_directory=True)
    write_small(tmp_path / "in" / "a.wav", 440)
    before = snapshot(victim)
    config = tmp_path / "rerun.yaml"
    config.write_text(f"workspace: w\ninputs: [in]\ndataset: {dataset}\n")
    for command in (
        ["prune", dataset],
        ["prune", dataset, "--dry-run"],
        ["preprocess", tmp_path / "in", "--output", dataset],
        ["rerun", config],
    ):
        assert "must be a folder of its own, not a link to elsewhere" in refused(capsys, *command)
    with pytest.raises(SettingError, match="not a link"):
        clear_leftovers(str(dataset), None)
    assert snapshot(victim) == before


def test_prune_removes_only_what_a_run_writes(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = dataset / "runs/000000-20190101T000000Z", dataset / "runs" / RUN
    for foreign in ("runs/notes.txt", "runs/my-run/train-00000.tfrecord", f"runs/{RUN}/readme.md", "keep.tmp-orary"):
        (dataset / foreign).parent.mkdir(exist_ok=True)
        (dataset / foreign).write_text("mine")
    (old / "plan").mkdir()
    (old / "plan" / "tasks.jsonl").write_text("")
    (old / "plan" / "thesis.doc").write_text("mine")
    (new / "train-00009.tfrecord").write_text("replaced")
    (new / ".building-a1b2c3d4").write_text("")
    assert cli.main(["prune", str(dataset), "--json"]) == 0
    removed = json.loads(capsys.readouterr().out)["removed"]
    assert removed == [
        f"runs/{OLD}",
        f"runs/{RUN}/.building-a1b2c3d4",
        f"runs/{RUN}/train-00009.tfrecord",
    ]
    assert [str(path.relative_to(old)) for path in sorted(old.rglob("*"))] == ["plan", "plan/thesis.doc"]
    assert (dataset / "runs/notes.txt").exists()
    assert (dataset / "runs/my-run/train-00000.tfrecord").exists()
    assert (new / "readme.md").exists()
    (old / "plan" / "thesis.doc").unlink()
    assert cli.main(["prune", str(dataset)]) == 0
    assert not old.exists()


def test_an_ordinary_run_clears_only_its_own_kind_of_leftovers(dataset: Path) -> None:
    new = dataset / "runs" / RUN
    (dataset / "runs/000002-20260101T000000Z/plan").mkdir(parents=True)
    (dataset / "dataset.json.tmp-12-0a1b2c3d").write_text("")
    foreign = [dataset / "my.tmp-notes", new / ".ssh", new / "plan.txt", dataset / "runs/000003"]
    for path in foreign:
        path.write_text("mine")
    (new / ".building-x").write_text("")
    base = open_base(str(dataset))
    cleared = {Path(uri).name for uri in clear_leftovers(str(dataset), base)}
    assert cleared == {"000002-20260101T000000Z", "dataset.json.tmp-12-0a1b2c3d", ".building-x"}
    assert all(path.exists() for path in foreign)


@pytest.mark.parametrize(
    "name",
    [
        "../..",
        "..",
        "",
        ".",
        RUN + "/..",
        RUN + "\n",
        "../../" + RUN,
        "1-2",
        "9" * 5000 + RUN[1:],
        None,
        7,
        [],
    ],
)
def test_a_run_of_another_name_is_refused(dataset: Path, name: Any) -> None:
    change(dataset, "runs", 0, "name", to=name)
    with pytest.raises(SettingError, match=r"runs\[0\]\.name=.* must be (a run's|text)"):
        open_dataset(str(dataset))


@pytest.mark.parametrize(
    "path",
    [
        "../victim/train-00000.tfrecord",
        f"runs/{RUN}/../../../victim/train-00000.tfrecord",
        f"runs/{RUN}/sub/train-00000.tfrecord",
        f"/runs/{RUN}/train-00000.tfrecord",
        f"runs//{RUN}/train-00000.tfrecord",
        f"runs/{RUN}/train-00000.tfrecord/",
        f"runs/{RUN}/train-00000.tfrecord\n",
        f"runs/{RUN}/validation-00000.tfrecord",
        f"runs/{RUN}/train-.tfrecord",
        f"runs/{RUN}/.ssh",
        f"runs/{RUN}",
        "runs/000000-20190101T000000Z/train-00000.tfrecord",
        "",
        None,
        10**400,
    ],
)
def test_a_shard_anywhere_else_is_refused(dataset: Path, path: Any) -> None:
    change(dataset, "splits", "train", "shards", 0, "path", to=path)
    with pytest.raises(SettingError, match=r"splits\.train\.shards\[0\]\.path=.* must be (runs/|text)"):
        open_dataset(str(dataset))


def test_a_split_of_another_name_is_refused(dataset: Path) -> None:
    values = json.loads((dataset / "dataset.json").read_text())
    values["splits"]["../../../victim/train"] = values["splits"].pop("validation")
    (dataset / "dataset.json").write_text(json.dumps(values))
    with pytest.raises(SettingError, match="must be named in lower-case letters"):
        open_dataset(str(dataset))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("split", "../../../victim/train"),
        ("split", "validation"),
        ("split", None),
        ("shard", "../../../victim/train-00000.tfrecord"),
        ("shard", ".ssh"),
        ("shard", None),
        ("status", "done"),
        ("source", None),
        ("num_segments", -1),
        ("seconds", float("nan")),
        ("min_db", float("-inf")),
        ("max_db", 3e38),
    ],
)
def test_a_row_of_a_manifest_is_refused_by_its_number(
    tone_dataset: Path, tmp_path: Path, column: str, value: Any
) -> None:
    dataset = tmp_path / "ds"
    shutil.copytree(tone_dataset, dataset)
    (path,) = dataset.glob("runs/*/manifest.parquet")
    table = pq.read_table(path)
    values = table[column].to_pylist()
    at = table["split"].to_pylist().index("train")
    values[at] = value
    number, field = table.schema.get_field_index(column), table.schema.field(column)
    pq.write_table(table.set_column(number, field, pa.array(values, field.type)), path)
    where = rf"manifest\.parquet: row {at + 1}: (shard|{column})=.* must be"
    with pytest.raises(WorkError, match=where):
        open_dataset(str(dataset)).manifest()
    write_small(tmp_path / "in" / "a.wav", 440)
    assert cli.main(["preprocess", str(tmp_path / "in"), "--output", str(dataset)]) == 1
    assert not (tmp_path / "victim").exists()

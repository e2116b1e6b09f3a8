"""Records and shards from anybody, read without TensorFlow: each fault is named with file, record and rule."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from pipelines.dataset.checking import check_dataset, check_shard
from pipelines.dataset.folder import open_dataset
from pipelines.dataset.framing import check_lengths
from pipelines.errors import WorkError
from tests.helpers.hostile_records import (
    LENGTHS,
    ODD_RECORDS,
    SHARD,
    change_record,
    integers,
    replace_shard,
    with_length,
    write_whole,
)
from vae_model import cli


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whole(tmp_path_factory.mktemp("data") / "ds")


@pytest.fixture
def dataset(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "ds"))


def verified(dataset: Path) -> list[str]:
    """What `audio-vae verify` finds."""
    opened = open_dataset(str(dataset))
    problems = check_dataset(opened)
    for shard in opened.shards:
        problems += check_shard(shard.path, str(dataset))
    return problems


def test_nothing_is_found_in_a_sound_dataset(sound: Path) -> None:
    assert verified(sound) == []


@pytest.mark.parametrize("kind", ODD_RECORDS)
def test_a_record_that_is_not_as_it_must_be_is_named(dataset: Path, kind: str) -> None:
    change, rule = ODD_RECORDS[kind]
    change_record(dataset, change)
    with pytest.raises(WorkError, match=rule) as found:
        list(open_dataset(str(dataset)).records("train"))
    assert str(found.value).startswith(f"{dataset / SHARD}: record 2: ")
    assert len(str(found.value)) < 1_000
    (problem,) = verified(dataset)
    assert problem.startswith(f"{SHARD}: record 2: ")
    assert re.search(rule, problem)


def test_verify_finds_segments_that_are_numbered_wrongly(dataset: Path) -> None:
    change_record(dataset, integers("segment", 7))
    assert verified(dataset) == [f"{SHARD}: 0.wav: its segments must be numbered from 0 to 2, one each"]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_the_file_does_not_have_is_refused_before_it_is_asked_for(dataset: Path, length: int) -> None:
    replace_shard(dataset, with_length((dataset / SHARD).read_bytes(), length))
    shard = open_dataset(str(dataset)).shards[0]
    with pytest.raises(WorkError, match=r"does not fit into its \d+ bytes|records, dataset\.json says"):
        check_lengths(str(dataset / SHARD), shard.num_bytes, shard.num_examples, SHARD)
    with pytest.raises(WorkError, match=re.escape(SHARD)):
        list(open_dataset(str(dataset)).records("train"))
    assert len(verified(dataset)) == 1


@pytest.mark.parametrize("cut", [1, 4, 11, 12, 13, 100])
def test_a_shard_cut_short_or_continued_is_refused(dataset: Path, cut: int) -> None:
    shard = open_dataset(str(dataset)).shards[0]
    data = (dataset / SHARD).read_bytes()
    for other in (data[:-cut], data + bytes(cut), data[:cut], b""):
        (dataset / SHARD).write_bytes(other)
        with pytest.raises(WorkError, match=rf"has {len(other)} bytes, dataset\.json says"):
            check_lengths(str(dataset / SHARD), shard.num_bytes, shard.num_examples, SHARD)
        with pytest.raises(WorkError, match=r"(fit|records)"):
            check_lengths(str(dataset / SHARD), len(other), shard.num_examples, SHARD)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / SHARD).unlink()
    os.mkfifo(dataset / SHARD)
    with pytest.raises(WorkError, match="must be a readable shard: is no file"):
        list(open_dataset(str(dataset)).records("train"))
    assert verified(dataset) == [f"{SHARD}: cannot be read: is no file"]
    (manifest,) = dataset.glob("runs/*/manifest.parquet")
    manifest.unlink()
    os.mkfifo(manifest)
    assert cli.main(["info", str(dataset)]) == 1
    (dataset / "dataset.json").unlink()
    os.mkfifo(dataset / "dataset.json")
    assert cli.main(["info", str(dataset)]) == 2
    assert capsys.readouterr().err.count("is no file") == 2


def test_a_schema_of_another_kind_is_a_problem_and_no_more(dataset: Path) -> None:
    (dataset / "schema.pbtxt").write_bytes(b"\xff{{{")
    assert verified(dataset) == ["schema.pbtxt is missing or not the schema of this dataset's records"]

"""What was held out stays held out: links, copies, moved, renamed, swapped and touched files, by content."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.building import digests
from tests.helpers.console import audio_vae_json, run_in_process
from tests.helpers.dataset_state import contents, manifest_rows, problems, serialized_records, write_small
from tests.helpers.equal_files import SPLITS, copy, duplicates, move_all, preprocess, rows, splits
from tests.helpers.slow import slow


def link_a_folder(folder: Path) -> None:
    (folder / "latest").symlink_to("2026")


def link_each_file(folder: Path) -> None:
    (folder / "links").mkdir()
    for path in (folder / "2026").iterdir():
        (folder / "links" / path.name).symlink_to(path)


def link_hard(folder: Path) -> None:
    (folder / "hard").mkdir()
    for path in (folder / "2026").iterdir():
        (folder / "hard" / path.name).hardlink_to(path)


def copy_before(folder: Path) -> None:
    """Copies whose names come before the ones that stand in the dataset."""
    shutil.copytree(folder / "2026", folder / "1999")


def link_in_a_circle(folder: Path) -> None:
    """Back to a folder above, which is not entered again, and in a folder beside, which holds a link back."""
    (folder / "2026" / "up").symlink_to("..")
    (folder / "round").mkdir()
    (folder / "round" / "back").symlink_to("../2026")


KINDS = [link_a_folder, *map(slow, (link_each_file, link_hard, copy, copy_before, link_in_a_circle))]


@pytest.mark.parametrize("double", KINDS)
def test_what_is_there_twice_is_one_source(double: Callable[[Path], None], folder: Path, tmp_path: Path) -> None:
    double(folder)
    first = preprocess(folder, tmp_path / "dataset", *SPLITS)
    assert (first["num_examples"], first["sources"]["written"], first["sources"]["failed"]) == (30, 10, 0)
    assert first["duplicates"] == len(duplicates(tmp_path / "dataset")) >= 10
    found = rows(tmp_path / "dataset")
    for name, told in duplicates(tmp_path / "dataset").items():
        kept = told.removeprefix("duplicate of ")
        assert kept < name  # the first by name is kept
        assert found[kept]["status"] == "written"
        assert (found[name]["split"], found[name]["digest"]) == (found[kept]["split"], found[kept]["digest"])
        assert (found[name]["shard"], found[name]["num_segments"]) == (None, 0)
    assert len(splits(tmp_path / "dataset")) == 10
    assert problems(tmp_path / "dataset") == []
    assert preprocess(folder, tmp_path / "dataset")["status"] == "unchanged"


@pytest.mark.parametrize("double", KINDS)
def test_what_is_doubled_later_changes_nothing(double: Callable[[Path], None], folder: Path, dataset: Path) -> None:
    """A copy of a file that stands in the dataset is a duplicate, whatever its name."""
    before, records = splits(dataset), serialized_records(dataset)
    double(folder)
    second = preprocess(folder, dataset)
    assert (second["this_run"]["found"], second["this_run"]["removed"], second["moved"]) == (0, 0, 0)
    assert second["duplicates"] == len(duplicates(dataset)) >= 10
    assert splits(dataset) == before
    assert serialized_records(dataset) == records
    assert preprocess(folder, dataset)["status"] == "unchanged"


@pytest.mark.slow
def test_a_copy_below_another_input(folder: Path, dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder / "2026", other / "elsewhere")
    write_small(other / "new.wav", 2000)
    added = preprocess(other, dataset)
    assert (added["this_run"]["written"], added["sources"]["written"], added["duplicates"]) == (1, 11, 10)
    assert set(duplicates(dataset).values()) == {f"duplicate of 2026/tone_{i}.wav" for i in range(10)}
    assert preprocess([folder, other], dataset)["status"] == "unchanged"
    # Its inputs are not those of this run: what is known of the duplicates stays.
    write_small(folder / "more.wav", 2100)
    assert preprocess(folder, dataset)["duplicates"] == 10
    assert preprocess([folder, other], dataset)["status"] == "unchanged"


@pytest.mark.slow
def test_people_and_programs_are_told(folder: Path, dataset: Path) -> None:
    copy(folder)
    done = run_in_process("preprocess", folder, "--output", dataset)
    assert "0 sources written, 0 failed, 0 removed, 10 duplicates; 30 records" in done.stderr
    assert audio_vae_json("info", dataset)["duplicates"] == 10
    assert "duplicates 10 files with the content of a source" in run_in_process("info", dataset).stdout
    write_small(folder / "new.wav", 3000)
    (folder / "2026").rename(folder / "2027")
    plan = preprocess(folder, dataset, "--dry-run")
    assert (plan["new"], plan["changed"], plan["moved"], plan["duplicates"]) == (1, 0, 10, 0)


@pytest.mark.slow
def test_copies_are_written_where_they_are_wanted(folder: Path, tmp_path: Path) -> None:
    """All copies of a content are in one split, so that even then none that was held out is learned from."""
    copy(folder)
    first = preprocess(folder, tmp_path / "dataset", "--keep-duplicates", *SPLITS)
    assert (first["sources"]["written"], first["duplicates"], first["num_examples"]) == (20, 0, 60)
    shutil.copytree(folder / "2026", folder / "again")
    assert preprocess(folder, tmp_path / "dataset", "--keep-duplicates")["sources"]["written"] == 30
    split = {name: row["split"] for name, row in rows(tmp_path / "dataset").items()}
    for number in range(10):
        assert len({split[f"{where}/tone_{number}.wav"] for where in ("2026", "again", "copies")}) == 1
    assert set(split.values()) == {"train", "validation", "test"}


@pytest.mark.slow
def test_copies_become_sources_when_they_are_wanted_later(folder: Path, dataset: Path) -> None:
    copy(folder)
    preprocess(folder, dataset)
    assert preprocess(folder, dataset, "--keep-duplicates")["sources"]["written"] == 20
    assert duplicates(dataset) == {}


def test_a_duplicate_takes_the_place_of_the_one_that_leaves(folder: Path, dataset: Path) -> None:
    copy(folder)
    preprocess(folder, dataset)
    before = splits(dataset)
    for number in range(5):
        (folder / "2026" / f"tone_{number}.wav").unlink()
    (folder / "copies" / "tone_9.wav").unlink()
    second = preprocess(folder, dataset)
    assert second["this_run"] == {"found": 0, "written": 0, "failed": 0, "removed": 0, "ignored": 0}
    assert (second["moved"], second["duplicates"]) == (5, 4)
    assert splits(dataset) == before
    assert set(duplicates(dataset)) == {f"copies/tone_{i}.wav" for i in range(5, 9)}
    assert problems(dataset) == []
    # Another copy of what has moved is one of its new name.
    shutil.copy(folder / "copies" / "tone_0.wav", folder / "zero.wav")
    preprocess(folder, dataset)
    assert duplicates(dataset)["zero.wav"] == "duplicate of copies/tone_0.wav"


@pytest.mark.slow
def test_of_a_file_that_fails_each_copy_fails(folder: Path, tmp_path: Path) -> None:
    for name in ("bad.wav", "worse.wav"):
        (folder / name).write_text("text")
    first = preprocess(folder, tmp_path / "dataset", *SPLITS)
    assert (first["sources"]["failed"], first["duplicates"]) == (2, 0)
    (folder / "worst.wav").write_text("text")
    assert preprocess(folder, tmp_path / "dataset")["sources"]["failed"] == 3
    many = run_in_process("preprocess", folder, "--output", tmp_path / "none", "--max-failures", "2", *SPLITS)
    assert "3 of 13 sources failed, --max-failures=2 allows fewer" in many.stderr


@pytest.mark.parametrize("seconds", [3600, slow(-3600)])
def test_other_stamps_alone_are_renewed_quietly(seconds: int, folder: Path, dataset: Path) -> None:
    """Summer time on FAT, a copy without times: nothing is decoded, no run is made, and the next one need not look."""
    (folder / "bad.wav").write_text("text")
    copy(folder)
    preprocess(folder, dataset)
    entry, before = (dataset / "dataset.json").read_bytes(), rows(dataset)
    for path in folder.rglob("*.wav"):
        os.utime(path, ns=(0, path.stat().st_mtime_ns + seconds * 10**9))
    done = run_in_process("preprocess", folder, "--output", dataset)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "nothing new among 21 sources; 1 failed source so far" in done.stderr
    assert (dataset / "dataset.json").read_bytes() == entry
    now = rows(dataset)
    assert now == {n: row | {"stamp": str(int(row["stamp"]) + seconds * 10**9)} for n, row in before.items()}
    assert problems(dataset) == []


@pytest.mark.slow
def test_renewed_stamps_are_not_read_again(folder: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in folder.rglob("*.wav"):
        os.utime(path, ns=(0, 10**18))
    assert audio_vae_json("preprocess", folder, "--output", dataset, "--dry-run")["unchanged"] == 10
    assert {row["stamp"] for row in rows(dataset).values()} != {str(10**18)}  # a dry run writes nothing
    preprocess(folder, dataset)
    assert {row["stamp"] for row in rows(dataset).values()} == {str(10**18)}
    before = contents(dataset)
    for path in folder.rglob("*.wav"):  # whoever reads them sees other content
        path.write_bytes(bytes(path.stat().st_size))
        os.utime(path, ns=(0, 10**18))
    assert preprocess(folder, dataset)["status"] == "unchanged"
    assert contents(dataset) == before


@pytest.mark.slow
def test_some_touched_some_changed_some_new(folder: Path, dataset: Path) -> None:
    for number in range(4):
        os.utime(folder / "2026" / f"tone_{number}.wav", ns=(0, 10**18))
    same_size = folder / "2026" / "tone_4.wav"
    size = same_size.stat().st_size
    write_small(same_size, 5000, seconds=0.245)
    assert same_size.stat().st_size == size
    write_small(folder / "new.wav", 6000)
    grown = preprocess(folder, dataset)
    assert (grown["this_run"]["written"], grown["this_run"]["removed"]) == (2, 0)
    assert [rows(dataset)[f"2026/tone_{number}.wav"]["stamp"] for number in range(4)] == [str(10**18)] * 4
    assert preprocess(folder, dataset)["status"] == "unchanged"


def without_digests(dataset: Path) -> None:
    """The manifests as earlier versions wrote them."""
    for path in dataset.glob("runs/*/manifest.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["digest"]), path)


@pytest.mark.slow
def test_datasets_of_earlier_versions(folder: Path, dataset: Path) -> None:
    """Digests come when they are needed: a copy is found, and what moved or was touched is a file as any other."""
    without_digests(dataset)
    assert preprocess(folder, dataset)["status"] == "unchanged"
    shutil.copy(folder / "2026" / "tone_3.wav", folder / "copy.wav")
    write_small(folder / "other.wav", 4444, seconds=0.255)  # of the size of another
    grown = preprocess(folder, dataset)
    assert (grown["this_run"]["written"], duplicates(dataset)) == (1, {"copy.wav": "duplicate of 2026/tone_3.wav"})
    (folder / "2026" / "tone_0.wav").rename(folder / "moved.wav")
    assert preprocess(folder, dataset)["this_run"]["written"] == 1
    os.utime(folder / "2026" / "tone_1.wav", ns=(0, 10**18))
    assert preprocess(folder, dataset)["this_run"]["written"] == 1
    assert problems(dataset) == []


@pytest.mark.slow
def test_checksums_and_digests_are_of_one_mind(folder: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    preprocess(folder, dataset, "--checksum", *SPLITS)
    before = splits(dataset)
    for row in rows(dataset).values():
        assert row["stamp"].split("sha256:")[1][:32] == row["digest"]
    move_all(folder)
    assert preprocess(folder, dataset)["this_run"]["found"] == 0
    assert splits(dataset) == before
    # Content that changed behind its stamp is noticed by a digest too, of a run without --checksum.
    preprocess(folder, tmp_path / "plain", *SPLITS)
    path = folder / "2026" / "sub" / "tone_0.wav"
    status = path.stat()
    path.write_bytes(write_small(tmp_path / "x.wav", 5000, seconds=0.205).read_bytes())
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(0, status.st_mtime_ns))
    assert preprocess(folder, tmp_path / "plain", "--checksum")["this_run"]["written"] == 1


def test_digests_are_the_beginnings_of_sha256(folder: Path, dataset: Path) -> None:
    for name, row in rows(dataset).items():
        assert row["digest"] == digests.sha256_of(str(folder / name))[:32]
    assert {row["digest"] for row in manifest_rows(dataset)} == set(splits(dataset))


@pytest.mark.slow
def test_files_of_one_size_are_compared_by_all_of_their_content(folder: Path, tmp_path: Path) -> None:
    """Their middles are the same: silence. One of them differs in its last byte from the first."""
    data = bytearray((write_small(tmp_path / "x.wav", 440, seconds=3)).read_bytes())
    data[2000:-2000] = bytes(len(data) - 4000)
    for name in ("a.wav", "b.wav", "c.wav"):
        (folder / name).write_bytes(data)
    data[-2] ^= 1
    (folder / "c.wav").write_bytes(data)
    preprocess(folder, tmp_path / "dataset", *SPLITS)
    assert duplicates(tmp_path / "dataset") == {"b.wav": "duplicate of a.wav"}


@pytest.mark.slow
def test_a_run_that_only_tells_of_duplicates_is_one(folder: Path, dataset: Path) -> None:
    shutil.copy(folder / "2026" / "tone_3.wav", folder / "copy.wav")
    preprocess(folder, dataset)
    (folder / "copy.wav").unlink()
    gone = preprocess(folder, dataset)
    assert (gone["this_run"]["removed"], gone["duplicates"], gone["sources"]["removed"]) == (0, 0, 0)
    entry = json.loads((dataset / "dataset.json").read_text())
    assert (entry["sources"]["found"], len(entry["runs"])) == (10, 2)

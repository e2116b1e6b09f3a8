"""What was held out stays held out: links, copies, moved, renamed, swapped and touched files, by content."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.building import digests
from pipelines.dataset.folder import MANIFEST, open_dataset
from pipelines.dataset.records import parse
from tests.helpers.console import audio_vae_json, run_in_process
from tests.helpers.dataset_state import SMALL, contents, manifest_rows, problems, serialized_records, write_small
from tests.helpers.slow import slow

SPLITS = ["--split", "validation=0.3,test=0.3", *SMALL]
Row = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten sounds in a folder of a folder, so that all splits have some."""
    for number in range(10):
        write_small(tmp_path / "in" / "2026" / f"tone_{number}.wav", 300 + 70 * number, seconds=0.205 + 0.01 * number)
    return tmp_path / "in"


@pytest.fixture
def dataset(folder: Path, tmp_path: Path) -> Path:
    """Their dataset."""
    preprocess(folder, tmp_path / "dataset", *SPLITS)
    return tmp_path / "dataset"


def preprocess(folder: Path | list[Path], dataset: Path, *options: object) -> dict[str, Any]:
    folders = folder if isinstance(folder, list) else [folder]
    return audio_vae_json("preprocess", *folders, "--output", dataset, *options)


def rows(dataset: Path) -> dict[str, Row]:
    """The row of every file that the dataset knows, by name."""
    opened = open_dataset(str(dataset))
    found: dict[str, Row] = {}
    for _, table, live in opened.rows_by_run(MANIFEST.names):
        for row in table.filter(live).to_pylist():
            assert row["source"] not in found
            found[row["source"]] = row
    return found


def splits(dataset: Path) -> dict[str, str]:
    """The split of each content that has records, by digest: each is in one."""
    written = [row for row in rows(dataset).values() if row["status"] == "written"]
    found = {row["digest"]: row["split"] for row in written}
    assert len(found) == len(written)
    return found


def duplicates(dataset: Path) -> dict[str, str]:
    """Each duplicate with what its row says of it."""
    return {name: row["error"] for name, row in rows(dataset).items() if row["status"] == "duplicate"}


def names_by_digest(dataset: Path) -> dict[str, str]:
    return {row["digest"]: name for name, row in rows(dataset).items() if row["status"] == "written"}


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


def copy(folder: Path) -> None:
    shutil.copytree(folder / "2026", folder / "copies")


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


def move_all(folder: Path) -> None:
    (folder / "2026" / "sub").mkdir()
    for path in (folder / "2026").glob("*.wav"):
        path.rename(folder / "2026" / "sub" / path.name)


def rename_all(folder: Path) -> None:
    for number, path in enumerate(sorted((folder / "2026").iterdir())):
        path.rename(folder / "2026" / f"take {9 - number}.wav")


def rename_the_folder(folder: Path) -> None:
    (folder / "2026").rename(folder / "1999")


def move_and_touch(folder: Path) -> None:
    """As a copy without times does, when the old ones are removed."""
    for path in (folder / "2026").iterdir():
        os.utime(path, ns=(0, 10**18))
    move_all(folder)


def rotate(folder: Path) -> None:
    """Each file has the name that the next one had."""
    paths = sorted((folder / "2026").iterdir())
    for path in paths:
        path.rename(path.with_suffix(".was"))
    for path, following in zip(paths, [*paths[1:], paths[0]], strict=True):
        path.with_suffix(".was").rename(following)


@pytest.mark.parametrize("move", [move_all, *map(slow, (rename_all, rename_the_folder, move_and_touch, rotate))])
def test_a_moved_file_keeps_its_split_and_its_records(
    move: Callable[[Path], None], folder: Path, dataset: Path, tmp_path: Path
) -> None:
    before = splits(dataset)
    move(folder)
    moved = preprocess(folder, dataset)
    assert moved["this_run"] == {"found": 0, "written": 0, "failed": 0, "removed": 0, "ignored": 0}
    assert (moved["moved"], moved["sources"]["written"], moved["num_examples"]) == (10, 10, 30)
    assert splits(dataset) == before
    assert problems(dataset) == []
    # The records are those that would be decoded under the new names.
    preprocess(folder, tmp_path / "fresh", *SPLITS)
    assert serialized_records(dataset) == serialized_records(tmp_path / "fresh")
    assert names_by_digest(dataset) == names_by_digest(tmp_path / "fresh")
    assert preprocess(folder, dataset)["status"] == "unchanged"


def test_two_files_swap_their_names(folder: Path, dataset: Path) -> None:
    before, names = splits(dataset), names_by_digest(dataset)
    one, other = folder / "2026" / "tone_1.wav", folder / "2026" / "tone_5.wav"
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)
    assert (preprocess(folder, dataset)["this_run"]["found"], splits(dataset)) == (0, before)
    swapped = {"2026/tone_1.wav": "2026/tone_5.wav", "2026/tone_5.wav": "2026/tone_1.wav"}
    assert names_by_digest(dataset) == {digest: swapped.get(name, name) for digest, name in names.items()}
    assert problems(dataset) == []


@pytest.mark.slow
def test_a_file_that_is_moved_and_then_edited_keeps_its_split(folder: Path, dataset: Path) -> None:
    """Moved in one run and edited in the next, it is still what it was; both at once it is a new file."""
    split = {name: row["split"] for name, row in rows(dataset).items()}
    rename_all(folder)
    preprocess(folder, dataset)
    for number in range(10):
        write_small(folder / "2026" / f"take {9 - number}.wav", 310 + 70 * number, seconds=0.2)
    edited = preprocess(folder, dataset)
    assert (edited["this_run"]["written"], edited["this_run"]["removed"], edited["moved"]) == (10, 0, 0)
    now = {name: row["split"] for name, row in rows(dataset).items()}
    assert now == {f"2026/take {9 - number}.wav": split[f"2026/tone_{number}.wav"] for number in range(10)}


@pytest.mark.slow
def test_the_edited_file_and_its_old_copy(folder: Path, dataset: Path) -> None:
    """The content goes to the copy, with its records; what is new under the old name is decoded."""
    copy(folder)
    preprocess(folder, dataset)
    before = splits(dataset)
    write_small(folder / "2026" / "tone_0.wav", 5000)
    edited = preprocess(folder, dataset)
    assert (edited["this_run"]["written"], edited["moved"], edited["duplicates"]) == (1, 1, 9)
    now = splits(dataset)
    assert {digest: now[digest] for digest in before} == before
    assert problems(dataset) == []


@pytest.mark.slow
def test_one_file_written_over_by_another(folder: Path, dataset: Path) -> None:
    before = splits(dataset)
    (folder / "2026" / "tone_1.wav").replace(folder / "2026" / "tone_2.wav")
    shutil.copy(folder / "2026" / "tone_3.wav", folder / "2026" / "tone_4.wav")
    written = preprocess(folder, dataset)
    assert (written["moved"], written["duplicates"], written["sources"]["written"]) == (1, 1, 8)
    now = splits(dataset)
    assert {digest: before[digest] for digest in now} == now
    assert problems(dataset) == []
    assert preprocess(folder, dataset)["status"] == "unchanged"


@pytest.mark.slow
def test_what_went_and_comes_back_elsewhere_keeps_its_split(folder: Path, dataset: Path, tmp_path: Path) -> None:
    before = splits(dataset)
    aside = tmp_path / "aside"
    aside.mkdir()
    for number in range(6):
        (folder / "2026" / f"tone_{number}.wav").rename(aside / f"{number}.wav")
    assert preprocess(folder, dataset)["this_run"]["removed"] == 6
    aside.rename(folder / "back")
    assert preprocess(folder, dataset)["this_run"]["written"] == 6
    assert splits(dataset) == before


@pytest.mark.parametrize("options", [slow([]), slow(["--keep-removed"])])
def test_moved_with_keep_removed(options: list[str], folder: Path, dataset: Path) -> None:
    before = splits(dataset)
    move_all(folder)
    (folder / "2026" / "sub" / "tone_0.wav").unlink()
    moved = preprocess(folder, dataset, *options)
    assert (moved["moved"], moved["this_run"]["removed"]) == (9, 0 if options else 1)
    now = splits(dataset)
    assert now == {digest: before[digest] for digest in now}
    assert len(now) == 10 if options else 9


@pytest.mark.slow
def test_labels_are_those_of_the_new_name(folder: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    preprocess(folder, dataset, *SPLITS, "--label-pattern", r"(?P<year>\d{4})/.*_(?P<number>\d)")
    before = splits(dataset)
    rename_the_folder(folder)
    assert preprocess(folder, dataset)["this_run"]["found"] == 0
    spec = open_dataset(str(dataset)).record
    labels = {source: parse(data, spec).labels for (source, _), data in serialized_records(dataset).items()}
    assert labels == {f"1999/tone_{i}.wav": {"year": "1999", "number": str(i)} for i in range(10)}
    assert splits(dataset) == before


@pytest.mark.slow
def test_a_pattern_does_not_make_a_held_out_file_one_to_learn_from(folder: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    patterns = ["--split", "none", "--split-pattern", "test=^held/", "--split-pattern", "train=^2026/"]
    (folder / "held").mkdir()
    (folder / "2026" / "tone_0.wav").rename(folder / "held" / "tone_0.wav")
    preprocess(folder, dataset, *SMALL, *patterns)
    before = splits(dataset)
    (folder / "held" / "tone_0.wav").rename(folder / "2026" / "tone_0.wav")
    (folder / "2026" / "tone_1.wav").rename(folder / "held" / "tone_1.wav")
    done = run_in_process("preprocess", folder, "--output", dataset)
    stays = "its content stays in split"
    assert f"warning: 2026/tone_0.wav: {stays} test, though --split-pattern says train" in done.stderr
    assert f"warning: held/tone_1.wav: {stays} train, though --split-pattern says test" in done.stderr
    assert splits(dataset) == before


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

"""A moved or renamed file keeps its split and its records."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.dataset.folder import open_dataset
from pipelines.dataset.records import parse
from tests.helpers.console import run_in_process
from tests.helpers.dataset_state import SMALL, problems, serialized_records, write_small
from tests.helpers.equal_files import SPLITS, copy, move_all, names_by_digest, preprocess, rows, splits
from tests.helpers.slow import slow


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

"""Folders as strangers have them: what is in the way is ignored, what failed for others' faults is tried again."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.audio import sources
from pipelines.audio.sources import list_sources
from pipelines.audio.wanted import Wanted
from pipelines.dataset.folder import open_dataset
from pipelines.errors import SettingError
from pipelines.plan.policy import worth_another_try
from tests.helpers.console import ran
from tests.helpers.dataset_state import SMALL, manifest_rows, problems, snapshot, write_small
from tests.helpers.strange_sounds import by_pyav, encoded, sine


def names(folder: Path, **patterns: tuple[str, ...]) -> list[str]:
    return list_sources([str(folder)], Wanted(**patterns)).table["source"].to_pylist()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One sound, and what systems, programs and people leave beside it."""
    top = tmp_path / "in"
    for name in (
        *("a.wav", ".hidden.wav", "._a.wav", ".Trash-1000/b.wav", ".git/c.wav", "@eaDir/a.wav", "x/@eaDir/d.wav"),
        *("lost+found/e.wav", "$RECYCLE.BIN/f.wav", "__MACOSX/._a.wav", "notes.txt", "cover.jpg", "takes/g.wav"),
        *("takes/old/h.flac", "LICENSE"),
    ):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return top


def test_what_systems_leave_is_ignored_and_counted(folder: Path) -> None:
    listing = list_sources([str(folder)])
    assert listing.table["source"].to_pylist() == ["a.wav", "takes/g.wav", "takes/old/h.flac"]
    assert listing.ignored_by == {
        "hidden": 4,
        "in folders of the system's": 5,
        ".txt": 1,
        ".jpg": 1,
        "without a suffix": 1,
    }
    assert list_sources([str(folder / ".hidden.wav")]).table["source"].to_pylist() == [".hidden.wav"]
    assert list_sources([str(folder / ".git")]).table["source"].to_pylist() == ["c.wav"]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ({"include": ("*.flac",)}, ["takes/old/h.flac"]),
        ({"include": ("takes/*",)}, ["takes/g.wav", "takes/old/h.flac"]),
        ({"include": ("a.*", "g.*")}, ["a.wav", "takes/g.wav"]),
        ({"exclude": ("old",)}, ["a.wav", "takes/g.wav"]),
        ({"exclude": ("takes",)}, ["a.wav"]),
        ({"exclude": ("takes/old",)}, ["a.wav", "takes/g.wav"]),
        ({"exclude": ("takes/old/",)}, ["a.wav", "takes/g.wav"]),
        ({"exclude": ("*.WAV",)}, ["a.wav", "takes/g.wav", "takes/old/h.flac"]),
        ({"include": ("*.wav",), "exclude": ("[a-f].*",)}, ["takes/g.wav"]),
    ],
)
def test_patterns_say_which_files_are_wanted(folder: Path, patterns: dict, found: list[str]) -> None:
    assert names(folder, **patterns) == found


def test_the_same_is_ignored_on_other_stores(folder: Path) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    for path in folder.rglob("*"):
        if path.is_file():
            store.pipe(f"/systems/{path.relative_to(folder)}", b"")
    listing = list_sources(["memory://systems"], Wanted(exclude=("old",)))
    assert listing.table["source"].to_pylist() == ["a.wav", "takes/g.wav"]
    assert listing.ignored_by["excluded"] == 1


def test_when_nothing_is_found_it_is_said_what_was_there(folder: Path) -> None:
    with pytest.raises(SettingError) as caught:
        sources.find_audio([str(folder / "lost+found" / "..") + "/x"])
    assert str(caught.value).endswith("a folder that holds one; ignored: 1 in folders of the system's")
    status, _, errors = ran("preprocess", folder, "--output", folder.parent / "d", "--include", "*.mp3")
    assert status == 2
    assert "must hold at least one audio file; ignored: 3 of other kinds (.jpg, .txt, without a suffix), " in errors
    assert "4 hidden, 5 in folders of the system's, 3 not included" in errors


def test_folders_nested_deeper_than_python_recurses(tmp_path: Path) -> None:
    top = tmp_path / "deep"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    depth = 1500
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    with open(os.open("deep.wav", os.O_CREAT | os.O_WRONLY, dir_fd=here), "wb") as file:
        file.write(encoded(sine(0.1), "WAV"))
    os.close(here)
    try:
        (name,) = names(top)
        assert name == "d/" * depth + "deep.wav"
    finally:
        remove_deep(top)


def remove_deep(top: Path) -> None:
    """As `shutil.rmtree` and pytest's own clearing recurse."""
    folders = [os.open(top, os.O_RDONLY)]
    while "d" in os.listdir(folders[-1]):
        folders.append(os.open("d", os.O_RDONLY, dir_fd=folders[-1]))
    os.unlink("deep.wav", dir_fd=folders[-1])
    while len(folders) > 1:
        os.close(folders.pop())
        os.rmdir("d", dir_fd=folders[-1])
    os.close(folders[0])


@pytest.fixture
def closed_folder(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets a folder of this name not be listed; tests may run as root, which may list all."""

    def close(name: str) -> None:
        scandir = os.scandir

        def refuse(path: str | int) -> Iterator[os.DirEntry[str]]:
            if isinstance(path, str) and os.path.basename(path) == name:
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)

    return close


def test_a_folder_that_cant_be_listed_keeps_what_is_known_of_it(
    tmp_path: Path, closed_folder: Callable[[str], None]
) -> None:
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    for number, name in enumerate(("a.wav", "closed/b.wav", "closed/inner/c.wav", "closed2/d.wav")):
        write_small(folder / name, 440 + 10 * number)
    run = ("preprocess", folder, "--output", dataset, "--split", "none", *SMALL)
    assert ran(*run)[0] == 0
    closed_folder("closed")
    (folder / "closed2" / "d.wav").unlink()
    status, _, errors = ran(*run)
    assert status == 0
    assert "warning: closed: cannot be listed: Permission denied; what is known of it stays" in errors
    assert "1 removed" in errors
    assert {row["source"] for row in manifest_rows(dataset)} | {"a.wav"} == {
        *("a.wav", "closed/b.wav", "closed/inner/c.wav"),
    }
    assert open_dataset(str(dataset)).sources.written == 3


# Tried again, or not --------------------------------------------------------------------------------------------------


def test_what_needed_pyav_is_decoded_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    folder, dataset, blocked = tmp_path / "in", tmp_path / "dataset", tmp_path / "blocked"
    write_small(folder / "a.wav", 440)
    (folder / "b.m4a").write_bytes(by_pyav(sine(0.3, 48000), "mp4", "aac"))
    (folder / "c.flac").write_bytes(2 * encoded(sine(1), "FLAC"))
    (folder / "d.flac").write_bytes(b"fLaC" + bytes(1000))
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text("import sys\nsys.modules['av'] = None\n")
    run = ("preprocess", folder, "--output", dataset, "--split", "none", *SMALL)
    with monkeypatch.context() as without:
        without.setenv("PYTHONPATH", str(blocked))
        without.setitem(sys.modules, "av", None)
        status, _, errors = ran(*run)
        assert status == 0
        assert "warning: c.flac: was not read to its end" in errors
        assert "failed: b.m4a: open: .m4a needs PyAV: pip install 'audio-vae[formats]'" in errors
        state = snapshot(dataset)
        status, _, errors = ran(*run)
        assert "is up to date: nothing new among 4 sources; 2 failed sources so far" in errors
        assert snapshot(dataset) == state
    status, _, errors = ran(*run)
    assert status == 0
    rows = {row["source"]: row for row in manifest_rows(dataset)}
    assert rows["b.m4a"]["status"] == "written"
    assert (rows["c.flac"]["seconds"], rows["c.flac"]["warning"]) == (2.0, None)
    assert errors.rstrip().endswith("dB; 1 failed source so far")
    state = snapshot(dataset)
    assert "nothing new among 4 sources; 1 failed source so far" in ran(*run)[2]
    assert snapshot(dataset) == state
    assert problems(dataset) == []


@pytest.mark.parametrize(
    ("stage", "error", "again"),
    [
        ("read", "Input/output error", True),
        ("read", "the system could not read it", True),
        ("decode", "no progress for 60 s (--decode-timeout-seconds)", True),
        ("open", "Format not recognised", False),
        ("decode", "the decoder crashed (SIGSEGV)", False),
        ("list", "is a folder", False),
        (None, None, False),
    ],
)
def test_whose_fault_it_is_decides(tmp_path: Path, stage: str | None, error: str | None, again: bool) -> None:
    table = pa.table({"root": [str(tmp_path)], "source": ["a.wav"]})
    old = pa.table({"error_stage": pa.array([stage], pa.string()), "error": pa.array([error], pa.string())})
    old = old.append_column("warning", pa.nulls(1, pa.string()))
    assert worth_another_try(table, old).to_pylist() == [again]


def test_what_is_not_permitted_waits_until_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"root": [str(tmp_path)] * 2, "source": ["a.wav", "b.wav"]})
    old = pa.table({"error_stage": ["read", "read"], "error": ["Permission denied", "Permission denied"]})
    old = old.append_column("warning", pa.nulls(2, pa.string()))
    monkeypatch.setattr(os, "access", lambda path, mode: path.endswith("b.wav"))
    assert worth_another_try(table, old).to_pylist() == [False, True]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_a_file_that_may_be_read_again_is(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    write_small(folder / "a.wav", 440)
    write_small(folder / "b.wav", 550).chmod(0)
    run = ("preprocess", folder, "--output", dataset, "--split", "none", *SMALL)
    assert "failed: b.wav: read: Permission denied" in ran(*run)[2]
    assert "nothing new" in ran(*run)[2]
    (folder / "b.wav").chmod(0o644)
    assert ran(*run)[0] == 0
    assert {row["status"] for row in manifest_rows(dataset)} == {"written"}

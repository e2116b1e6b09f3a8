"""What is kept of a session for its download: all of it in order, and never more than its share."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from vae_model.playing.sessions import Sessions


def made(tmp_path: Path, name: str, content: bytes) -> str:
    """A file that was made."""
    path = tmp_path / "made" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return str(path)


def in_zip(path: str | None) -> dict[str, bytes]:
    assert path is not None
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    return tmp_path / "app"


def test_each_session_has_its_own_sounds_in_their_order(folder: Path, tmp_path: Path) -> None:
    sessions = Sessions(str(folder))
    for name, content in (("b.wav", b"1"), ("a.wav", b"2"), ("b.wav", b"3"), ("a.wav", b"2")):
        sessions.keep("one", made(tmp_path, name, content))
    sessions.keep("two", made(tmp_path, "c.wav", b"4"))
    assert list(in_zip(sessions.zip("one")).items()) == [("b.wav", b"1"), ("b 2.wav", b"3"), ("a.wav", b"2")]
    assert in_zip(sessions.zip("two")) == {"c.wav": b"4"}
    assert sessions.zip("three") is None
    sessions.forget("one")
    sessions.forget("three")
    assert sessions.zip("one") is None
    assert len(list(folder.iterdir())) == 1


def test_the_last_sounds_are_kept_by_number_and_size(folder: Path, tmp_path: Path) -> None:
    sessions = Sessions(str(folder), max_sounds=3, max_bytes=100)
    for number in range(5):
        sessions.keep("one", made(tmp_path, f"{number}.wav", bytes(10)))
    assert list(in_zip(sessions.zip("one"))) == ["2.wav", "3.wav", "4.wav"]
    sessions.keep("one", made(tmp_path, "large.wav", bytes(85)))
    assert list(in_zip(sessions.zip("one"))) == ["4.wav", "large.wav"]
    sessions.keep("one", made(tmp_path, "larger.wav", bytes(200)))
    assert list(in_zip(sessions.zip("one"))) == ["larger.wav"], "the last one is there however large it is"
    kept = sum(path.stat().st_size for path in folder.rglob("*.wav"))
    assert kept == 200


def test_of_many_sessions_the_last_used_are_kept(folder: Path, tmp_path: Path) -> None:
    sessions = Sessions(str(folder), max_sessions=2)
    for session in ("one", "two", "one", "three"):
        sessions.keep(session, made(tmp_path, f"{session}.wav", b"1"))
    assert sessions.zip("two") is None
    assert list(in_zip(sessions.zip("one"))) == ["one.wav"]
    assert len(list(folder.iterdir())) == 2

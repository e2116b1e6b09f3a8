"""Files that are no audio under names of containers that FFmpeg reads: a failure of their own in every command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from pipelines.errors import SourceError
from tests.helpers.small_models import RATE, write_model
from tests.helpers.sounds import tone
from vae_model.commands import encode, interpolate, reconstruct

NO_AUDIO = {
    "empty.aac": b"",
    "page.m4a": b"<!doctype html><html><body>Not found</body></html>",
    "pointer.wma": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n",
    "zeros.webm": bytes(1000),
    "list.mka": b"ffconcat version 1.0\nfile a.wav\n",
}


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A sound, and files that are none."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    soundfile.write(folder / "a.wav", tone(440, 0.3, RATE), RATE)
    for name, content in NO_AUDIO.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("model"))


def test_reconstruct_goes_on(model: str, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reconstruct.main([model, str(sounds), "--output", str(tmp_path / "out"), "--json"]) == 1
    values = json.loads(capsys.readouterr().out)
    assert [Path(one["source"]).name for one in values["failed"]] == sorted(NO_AUDIO)
    assert [Path(one["source"]).name for one in values["written"]] == ["a.wav"]


def test_encode_goes_on(model: str, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(tmp_path / "latents.parquet")
    assert encode.main([model, str(sounds), "--output", output, "--workers", "1", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["sources"] == {"found": 6, "written": 1, "failed": 5}
    assert all(f"failed: {name}: " in captured.err for name in NO_AUDIO)


@pytest.mark.parametrize("name", NO_AUDIO)
def test_interpolate_names_it(model: str, sounds: Path, tmp_path: Path, name: str) -> None:
    words = [model, str(sounds / "a.wav"), str(sounds / name), "--steps", "2", "--output", str(tmp_path / "way")]
    with pytest.raises(SourceError, match=name):
        interpolate.main(words)
    assert not (tmp_path / "way").exists() or not list((tmp_path / "way").iterdir())

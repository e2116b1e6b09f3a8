"""What commands write to a store: the same bytes as locally, all of it or nothing, and errors that name the place."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import tensorflow as tf
from fsspec.implementations.memory import MemoryFileSystem

from pipelines.errors import SettingError, WorkError
from tests.helpers.small_models import DIM, RATE, write_model
from tests.helpers.sounds import tone
from vae_model.commands import browse, decode, export, generate, interpolate, reconstruct
from vae_model.model_folder.outputs import output_file, output_folder

URI = "memory://outputs"


@pytest.fixture
def fs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """fsspec's memory, and temporary files in tmp_path / "temporary"."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    memory = fsspec.filesystem("memory")
    yield memory
    if memory.exists("/outputs"):
        memory.rm("/outputs", recursive=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The MODEL folder of a VAE."""
    return write_model(tmp_path_factory.mktemp("vae"))


def test_sounds_on_a_store_are_the_local_ones(
    model: str, fs: MemoryFileSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", tone(300, 0.6, RATE), RATE)
    fs.put(str(tmp_path / "a.wav"), "/outputs/in/a.wav")
    fs.put(str(tmp_path / "b.wav"), "/outputs/in/b.wav")
    pq.write_table(pa.table({"mu": [[0.1] * DIM, [1.0] * DIM]}), tmp_path / "l.parquet")
    fs.put(str(tmp_path / "l.parquet"), "/outputs/in/l.parquet")
    written = []
    for inputs, output in ((str(tmp_path), str(tmp_path / "out")), (f"{URI}/in", f"{URI}/out/")):
        sounds = [f"{inputs}/a.wav", f"{inputs}/b.wav"]
        commands: list[tuple[Any, list[str]]] = [
            (reconstruct, sounds),
            (generate, ["--count", "2", "--seed", "1"]),
            (interpolate, [*sounds, "--steps", "2"]),
            (decode, [f"{inputs}/l.parquet"]),
        ]
        for command, arguments in commands:
            assert command.main([model, *arguments, "--output", output, "--json"]) == 0
            written += json.loads(capsys.readouterr().out)["written"]
    paths = [entry["path"] for entry in written]
    assert paths[8:] == [path.replace(str(tmp_path), URI) for path in paths[:8]]
    for path in paths[8:]:
        assert fs.cat(path) == (tmp_path / "out" / Path(path).name).read_bytes()
    assert len(fs.ls("/outputs/out")) == 9  # with sources.json
    assert list((tmp_path / "temporary").glob("audio-vae-*")) == []
    with pytest.raises(SettingError, match=f"--output {URI}/in must be another folder than that of AUDIO {URI}/in/a"):
        reconstruct.main([model, f"{URI}/in/a.wav", "--output", f"{URI}/in"])


@pytest.mark.slow
def test_page_and_export_on_a_store(
    model: str, tone_dataset: Path, fs: MemoryFileSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert browse.main([str(tone_dataset), "--output", f"{URI}/page.html", "--count", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["page"] == f"{URI}/page.html"
    assert said["num_bytes"] == len(fs.cat("/outputs/page.html"))
    assert export.main([model, "--output", f"{URI}/export"]) == 0
    fs.get("/outputs/export", str(tmp_path / "export"), recursive=True)
    assert "encode" in tf.saved_model.load(str(tmp_path / "export")).signatures
    with pytest.raises(SettingError, match=f"--output {URI}/export must be a new or empty folder"):
        export.main([model, "--output", f"{URI}/export"])
    assert list((tmp_path / "temporary").glob("audio-vae-*")) == []


class ReadOnlyFileSystem(MemoryFileSystem):
    """Files in memory, none of which may be written."""

    protocol = "readonly"
    store: ClassVar[dict[str, Any]] = {}

    def _open(self, path: str, mode: str = "rb", *arguments: Any, **options: Any) -> Any:
        if mode != "rb":
            raise PermissionError(13, "Access Denied")
        return super()._open(path, mode, *arguments, **options)


def test_what_cannot_be_uploaded_is_kept(fs: MemoryFileSystem, tmp_path: Path) -> None:
    fsspec.register_implementation("readonly", ReadOnlyFileSystem, clobber=True)
    refused = r"^readonly://b/x\.wav: cannot be written: Access Denied; .* is kept in"
    with pytest.raises(WorkError, match=refused) as said, output_folder("readonly://b") as output:
        (output.path / "x.wav").write_bytes(b"sound")
    assert (Path(str(said.value).rsplit(" ", 1)[1]) / "x.wav").read_bytes() == b"sound"


def test_nothing_is_uploaded_after_an_error(fs: MemoryFileSystem, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), output_file(f"{URI}/page.html") as path:
        path.write_text(str(1 / 0))
    assert not fs.exists("/outputs")
    assert list((tmp_path / "temporary").glob("audio-vae-*")) == []


@pytest.mark.parametrize("name", ["http://127.0.0.1/out", "https://host/out"])
def test_place_that_cannot_be_written_is_named(name: str) -> None:
    for place in (output_folder, output_file):
        with pytest.raises(SettingError, match=f"--output {name} must be"), place(name):
            raise AssertionError("not reached")


def test_folder_is_no_file_and_a_file_no_folder(fs: MemoryFileSystem) -> None:
    fs.pipe("/outputs/file", b"")
    with pytest.raises(SettingError, match=f"{URI}/file must be a folder, it is a file"), output_folder(f"{URI}/file"):
        raise AssertionError("not reached")
    with pytest.raises(SettingError, match=f"{URI}/page/ must be a file"), output_file(f"{URI}/page/"):
        raise AssertionError("not reached")

"""Training into a MODEL folder on a store: the same model, never half of one, and what becomes of failures."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import keras
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipelines.errors import SettingError, WorkError
from tests.helpers.dataset_writer import noises, write_dataset
from tests.helpers.resuming import CONFIG, OPTIONS, assert_same_run, state_of
from vae_model.commands import train
from vae_model.model_folder.bundle import Bundle
from vae_model.sound.generator import SoundGenerator
from vae_model.training.run_state import RunState
from vae_model.training.trainer import train_model


class WatchedFileSystem(MemoryFileSystem):
    """Files in memory. Writes whose path `refuses` says are not permitted; each but the lease is kept in `written`.

    Before any of them all models must be whole: `state.json` names checkpoints that are there, and so on.
    """

    protocol = "watched"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    written: ClassVar[list[str]] = []
    refuses: ClassVar[Callable[[str], bool]] = staticmethod(lambda path: False)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("watched://", "memory://", 1))

    def _open(self, path: str, mode: str = "rb", *arguments: Any, **options: Any) -> Any:
        if mode != "rb":
            for state in [name for name in self.store if name.endswith("/state.json")]:
                assert_whole(self, state.removesuffix("/checkpoints/state.json"))
            if self.refuses(path):
                raise PermissionError(13, "Access Denied")
            if not path.endswith("/lease.json"):
                self.written.append(path.split("/model/", 1)[1])
        return super()._open(path, mode, *arguments, **options)


def assert_whole(fs: MemoryFileSystem, folder: str) -> None:
    state = json.loads(fs.cat(f"{folder}/checkpoints/state.json"))
    for name in filter(None, (state["last"], state["best"])):
        assert fs.exists(f"{folder}/checkpoints/{name}")
    assert fs.exists(f"{folder}/model.keras") or not fs.exists(f"{folder}/bundle.json")


@pytest.fixture
def fs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[WatchedFileSystem]]:
    """An empty store, and temporary files in tmp_path / "temporary"."""
    fsspec.register_implementation("watched", WatchedFileSystem, clobber=True)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield WatchedFileSystem
    WatchedFileSystem.store.clear()
    WatchedFileSystem.pseudo_dirs[:] = [""]
    WatchedFileSystem.written.clear()
    WatchedFileSystem.refuses = staticmethod(lambda path: False)


URI = "watched://bucket/model"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """44 records of 32 x 16 x 1 to train on, six steps an epoch; 16 to validate with."""
    folder = tmp_path_factory.mktemp("data") / "dataset"
    return write_dataset(folder, {"train": noises(44), "validation": noises(16)}, CONFIG)


@pytest.fixture(scope="module")
def undisturbed(dataset: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The local model folder of a run of three epochs."""
    folder = tmp_path_factory.mktemp("undisturbed") / "model"
    assert train.main([dataset, "--output", str(folder), *OPTIONS]) == 0
    return folder


def names(folder: Path) -> set[str]:
    """Relative paths of the files in a folder; those of TensorBoard without the time in them."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name.split(".tfevents")[0] for name in found}


def copy_of(folder: Path) -> Path:
    """What the store holds, brought to a local folder."""
    WatchedFileSystem().get("/bucket/model", str(folder), recursive=True)
    return folder


def temporary(tmp_path: Path) -> list[Path]:
    """What outputs left in the folder of temporary files."""
    return list((tmp_path / "temporary").glob("audio-vae-output-*"))


class At(keras.callbacks.Callback):
    """Does something when a training step of this number, from 1, is done."""

    def __init__(self, number: int, action: Callable[[], None]) -> None:
        super().__init__()
        self.left = number
        self.action = action

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.left -= 1
        if not self.left:
            self.action()


def run(dataset: str, resume: bool, at: int, action: Callable[[], None]) -> None:
    """Train as OPTIONS say, and do something after a step."""
    arguments = train.parser("tiny").parse_args([dataset, "--output", URI, *OPTIONS])
    settings = train.given_settings(arguments)
    train_model(dataset, URI, preset=arguments.preset, resume=resume, callbacks=[At(at, action)], **settings)


@pytest.mark.slow
def test_model_on_a_store_is_the_local_one(
    dataset: str, undisturbed: Path, fs: type[WatchedFileSystem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([dataset, "--output", URI, *OPTIONS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == URI
    assert temporary(tmp_path) == []
    assert names(copy_of(tmp_path / "copy")) == names(undisturbed)
    assert_same_run(tmp_path / "copy", undisturbed)
    assert fs.written[0] == "config.yaml", "what can't be written must show at once"
    final = [name for name in fs.written if name in ("model.keras", "bundle.json")]
    assert final == ["model.keras", "bundle.json"]
    assert fs.written.count("checkpoints/state.json") == 3
    with pytest.raises(SettingError, match=f"--output {URI} must be a new or empty folder; --resume goes on"):
        train.main([dataset, "--output", URI])
    with pytest.raises(SettingError, match=f"--output {URI}/bundle.json must be a folder, it is a file"):
        train.main([dataset, "--output", f"{URI}/bundle.json"])


@pytest.mark.slow
def test_run_on_a_store_that_is_interrupted_goes_on_elsewhere(
    dataset: str, undisturbed: Path, fs: type[WatchedFileSystem], tmp_path: Path
) -> None:
    with pytest.raises(WorkError, match=f"--output {URI} --resume"):
        run(dataset, False, 9, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert temporary(tmp_path) == []
    assert Bundle.load(URI).metrics["epochs"] == 1, "the best so far can be used"
    assert RunState.load(URI) is not None
    assert train.main([dataset, "--output", URI, "--resume"]) == 0
    assert_same_run(copy_of(tmp_path / "copy"), undisturbed)
    state = state_of(tmp_path / "copy")
    there = {path.name for path in (tmp_path / "copy" / "checkpoints").iterdir()}
    assert there == {"state.json", state["last"], state["best"]}, "checkpoints that nothing names are gone"
    before = len(fs.written)
    assert train.main([dataset, "--output", URI, "--resume"]) == 0
    assert fs.written[before:] == [], "nothing to do"


@pytest.mark.slow
def test_run_on_a_store_that_is_killed_goes_on_from_its_last_checkpoint(
    dataset: str, undisturbed: Path, fs: type[WatchedFileSystem], tmp_path: Path
) -> None:
    def end() -> None:
        raise SystemExit("killed")

    with pytest.raises(SystemExit):
        run(dataset, False, 2, end)
    assert fs.written == ["config.yaml"]
    with pytest.raises(SystemExit):
        run(dataset, True, 9, end)
    with pytest.raises(SettingError, match=f"MODEL {URI} must be the folder .* training has not finished"):
        Bundle.load(URI)
    assert temporary(tmp_path) == []
    WatchedFileSystem().pipe("/bucket/model/checkpoints/epoch-00002.keras", b"half uploaded")
    assert train.main([dataset, "--output", URI, "--resume"]) == 0
    assert_same_run(copy_of(tmp_path / "copy"), undisturbed)


def test_place_that_refuses_writes_is_named_before_training(
    dataset: str, fs: type[WatchedFileSystem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fs.refuses = staticmethod(lambda path: True)
    with pytest.raises(WorkError, match=f"^{URI}/.*: cannot be written: .*"):
        train.main([dataset, "--output", URI, *OPTIONS])
    assert "1/3" not in capsys.readouterr().err
    assert temporary(tmp_path) == []


@pytest.mark.slow
def test_checkpoint_that_cannot_be_uploaded_is_said_and_the_next_one_is(
    dataset: str, undisturbed: Path, fs: type[WatchedFileSystem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fs.refuses = staticmethod(lambda path: path.endswith("epoch-00001.keras"))
    assert train.main([dataset, "--output", URI, *OPTIONS]) == 0
    said = capsys.readouterr().err
    assert f"{URI}/checkpoints/epoch-00001.keras: cannot be written: Access Denied" in said
    assert "the next checkpoint is tried" in said
    assert_same_run(copy_of(tmp_path / "copy"), undisturbed)
    assert temporary(tmp_path) == []


@pytest.mark.slow
def test_failed_upload_leaves_the_old_model_whole_and_keeps_the_new_one(
    dataset: str, undisturbed: Path, fs: type[WatchedFileSystem], tmp_path: Path
) -> None:
    assert train.main([dataset, "--output", URI, *OPTIONS, "--epochs", "1"]) == 0
    before = copy_of(tmp_path / "before")
    fs.refuses = staticmethod(lambda path: path.endswith("/model.keras"))
    with pytest.raises(WorkError, match=rf"^{URI}/model\.keras: cannot be written: Access Denied; all .* is kept in"):
        train.main([dataset, "--output", URI, "--resume", "--epochs", "3"])
    for name in ("model.keras", "bundle.json"):
        assert WatchedFileSystem().cat(f"/bucket/model/{name}") == (before / name).read_bytes()
    assert SoundGenerator.load(URI).bundle.metrics["epochs"] == 1
    (kept,) = temporary(tmp_path)
    assert_same_run(kept, undisturbed)
    fs.refuses = staticmethod(lambda path: False)
    assert train.main([dataset, "--output", URI, "--resume"]) == 0, "the model is made of the checkpoint that is there"
    assert_same_run(copy_of(tmp_path / "copy"), undisturbed)
    assert Bundle.load(URI).metrics["epochs"] == 3


@pytest.mark.slow
def test_model_of_fewer_epochs_than_the_checkpoint_is_made_anew(
    dataset: str, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    assert train.main([dataset, "--output", str(folder), *OPTIONS, "--epochs", "1"]) == 0
    for name in ("checkpoints", "history.csv"):  # as if the run that went on had been killed before it wrote its model
        shutil.rmtree(folder / name) if name == "checkpoints" else (folder / name).unlink()
    shutil.copytree(undisturbed / "checkpoints", folder / "checkpoints")
    shutil.copy(undisturbed / "history.csv", folder)
    assert train.main([dataset, "--output", str(folder), "--resume"]) == 0
    assert_same_run(folder, undisturbed)
    assert Bundle.load(folder).metrics["epochs"] == 3

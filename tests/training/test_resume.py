"""A run that is stopped anywhere and resumed ends bit by bit as one that nobody disturbed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import SettingError
from tests.helpers.dataset_writer import noises, write_dataset
from tests.helpers.resuming import CONFIG, OPTIONS, assert_same_run, rows, state_of, stopped
from tests.helpers.servers import over_http
from vae_model.commands import train
from vae_model.model_folder.bundle import Bundle
from vae_model.training.checkpoints import noise_streams
from vae_model.vae.saving import load_model


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """44 records of 32 x 16 x 1 to train on, six steps an epoch, the last a half one; 16 to validate with."""
    folder = tmp_path_factory.mktemp("data") / "dataset"
    return write_dataset(folder, {"train": noises(44), "validation": noises(16)}, CONFIG, num_shards=3)


@pytest.fixture(scope="module")
def undisturbed(dataset: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of a run of three epochs."""
    folder = tmp_path_factory.mktemp("undisturbed") / "model"
    assert train.main([dataset, "--output", str(folder), *OPTIONS]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hook", "at", "number", "options", "step"),
    [
        ("on_train_batch_end", 9, signal.SIGTERM, (), 3),
        ("on_train_batch_end", 12, signal.SIGINT, ("--cache-mb", "0"), 6),
        ("on_test_batch_end", 3, signal.SIGTERM, (), 6),
        ("on_train_batch_end", 10, signal.SIGKILL, ("--checkpoint-seconds", "1e-9"), 3),
        ("on_epoch_end", 2, signal.SIGKILL, (), 0),
    ],
    ids=["within an epoch", "after its last step", "validating", "killed", "killed between checkpoints"],
)
def test_stopped_and_resumed_is_as_undisturbed(
    dataset: str,
    undisturbed: Path,
    tmp_path: Path,
    hook: str,
    at: int,
    number: signal.Signals,
    options: tuple[str, ...],
    step: int,
) -> None:
    folder = tmp_path / "model"
    status = stopped(dataset, folder, hook, at, number, *options)
    assert status == (-number if number == signal.SIGKILL else 1)
    assert (state_of(folder)["epoch"], state_of(folder)["step"]) == (1, step)
    assert train.main([dataset, "--output", str(folder), "--resume"]) == 0
    assert_same_run(folder, undisturbed)


@pytest.mark.slow
def test_signal_in_the_first_epoch_is_saved_too(dataset: str, undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    assert stopped(dataset, folder, "on_train_batch_end", 2, signal.SIGTERM) == 1
    assert (state_of(folder)["epoch"], state_of(folder)["step"]) == (0, 2)
    assert not (folder / "model.keras").exists()
    with pytest.raises(SettingError, match="training has not finished"):
        Bundle.load(folder)
    fewer = write_dataset(tmp_path / "fewer", {"train": noises(9)}, CONFIG)
    with pytest.raises(SettingError, match="must hold 44 records in its split train, not 9"):
        train.main([fewer, "--output", str(folder), "--resume"])
    assert train.main([dataset, "--output", str(folder), "--resume"]) == 0
    assert_same_run(folder, undisturbed)


@pytest.mark.slow
def test_another_seed_is_another_run(dataset: str, undisturbed: Path, tmp_path: Path) -> None:
    assert train.main([dataset, "--output", str(tmp_path / "m"), *OPTIONS, "--seed", "8", "--epochs", "1"]) == 0
    assert rows(tmp_path / "m")[0]["loss"] != rows(undisturbed)[0]["loss"]


def test_validation_draws_from_a_stream_of_its_own(undisturbed: Path) -> None:
    model = load_model(undisturbed / "checkpoints" / str(state_of(undisturbed)["last"]))
    (stream,) = noise_streams(model)
    assert stream.numpy()[1] == 3 * 6, "one draw a training step, none for validation"


def test_state_of_an_earlier_version_is_refused(dataset: str, undisturbed: Path, tmp_path: Path) -> None:
    state = state_of(undisturbed)
    del state["step"]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "state.json").write_text(json.dumps(state))
    with pytest.raises(SettingError, match="earlier version"):
        train.main([dataset, "--output", str(tmp_path), "--resume"])


@pytest.fixture
def served(dataset: str) -> Iterator[str]:
    """The dataset over HTTP on this machine."""
    with over_http(Path(dataset)) as url:
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["0", "64"])
def test_remote_dataset_trains_alike_and_leaves_no_copies(
    served: str, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    (tmp_path / "copies").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "copies"))
    folder = tmp_path / "model"
    assert stopped(served, folder, "on_train_batch_end", 9, signal.SIGTERM, "--cache-mb", cache) == 1
    assert list((tmp_path / "copies").iterdir()) == []
    assert stopped(served, folder, "on_train_batch_end", 1000, signal.SIGTERM, "--resume", "--cache-mb", cache) == 0
    assert list((tmp_path / "copies").iterdir()) == []
    assert_same_run(folder, undisturbed)

"""However a rerun ends, the next one goes on where it stood and comes to what an undisturbed one comes to."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import WorkError
from pipelines.store.holding import hold_workspace
from tests.helpers.console import audio_vae
from tests.helpers.places import ROOT
from tests.helpers.reruns import run, statuses, write_config, write_sounds
from vae_model.commands import rerun
from vae_model.rerun import state

EPOCHS = 8


def start(config: Path) -> subprocess.Popen[str]:
    """A rerun in a process of its own."""
    command = [sys.executable, "-m", "vae_model.cli", "rerun", str(config), "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=dict(os.environ, PYTHONPATH=str(ROOT)), **pipes)


def end_in_training(config: Path, number: int) -> tuple[int, str, str]:
    """Start a rerun and send it a signal when the first epoch of its training is done."""
    with start(config) as process:
        until = time.monotonic() + 120
        while not list((config.parent / "work").glob("models/*/checkpoints/state.json")):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What evaluating the first model gives when nothing interrupts its training."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_sounds(folder / "sounds", 0, 40)
    rerun.main([str(write_config(folder, train={"epochs": EPOCHS}))])
    model = state.load(str(folder / "work")).in_use
    assert model is not None
    return model.evaluation


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_that_is_stopped_goes_on(
    number: signal.Signals, undisturbed: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sounds(tmp_path / "sounds", 0, 40)
    config = write_config(tmp_path, train={"epochs": EPOCHS})
    status, out, err = end_in_training(config, number)
    if number == signal.SIGTERM:
        assert status == 1
        said = json.loads(out)
        assert said["status"] == "interrupted"
        assert "all is saved, go on with: audio-vae rerun" in said["error"]
        assert err.rstrip().endswith(said["error"])
    begun = state.load(str(tmp_path / "work")).newest
    assert begun is not None
    assert begun.status == "training"

    # New audio has come meanwhile: first the training comes to its end on what it began with, then it is taken in.
    write_sounds(tmp_path / "sounds", 40, 2)
    values = run(capsys, config)
    assert statuses(values) == ["skipped", "done", "done", "done", "skipped"]
    assert "is to be trained to its end" in values["stages"]["preprocess"]["reason"]
    assert values["stages"]["train"]["reason"] == f"model {begun.name} was interrupted"
    assert values["stages"]["train"]["epochs"] == EPOCHS
    assert values["promoted"] == begun.name
    model = state.load(str(tmp_path / "work")).in_use
    assert model is not None
    assert model.evaluation["rmse_db"] == undisturbed["rmse_db"]
    assert run(capsys, config)["stages"]["preprocess"]["this_run"]["written"] == 2


@pytest.mark.slow
def test_a_training_that_a_full_disk_ended_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sounds(tmp_path / "sounds", 0, 10)
    config = write_config(tmp_path, train={"epochs": 1})

    def limit_files() -> None:  # a checkpoint is larger, all else is smaller
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    done = audio_vae("rerun", config, preexec_fn=limit_files)
    assert done.returncode == 1
    assert "cannot be written: File too large" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    begun = state.load(str(tmp_path / "work")).newest
    assert begun is not None
    values = run(capsys, config)
    assert values["stages"]["train"]["reason"] == f"model {begun.name} was interrupted"
    assert values["promoted"] == begun.name


@pytest.mark.slow
def test_a_promotion_that_was_cut_off_is_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The state says what is promoted; link and folders follow it, if need be the next time."""
    write_sounds(tmp_path / "sounds", 0, 20)
    config = write_config(tmp_path, train={"epochs": 1})
    first = run(capsys, config)["promoted"]
    write_sounds(tmp_path / "sounds", 20, 10)
    for stage in ("preprocess", "train", "evaluate"):
        run(capsys, config, "--stage", stage)
    # It ended before the state was written: the whole promotion is still to be done.
    models = tmp_path / "work" / "models"
    values = run(capsys, config)
    assert statuses(values) == ["skipped", "skipped", "skipped", "done", "skipped"]
    second = values["stages"]["promote"]["candidate"]
    assert second != first
    # It ended after that: the link is the old one, or was being made, and what was to go is still there.
    (models / "current").unlink()
    (models / "current").symlink_to(first)
    (models / "000099-20200101T000000Z").mkdir()
    values = run(capsys, config)
    assert values["status"] == "unchanged"
    assert os.readlink(models / "current") == values["promoted"]
    assert {path.name for path in models.iterdir()} == {first, second, "current"}


def test_two_at_once_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sounds(tmp_path / "sounds", 0, 5)
    config = write_config(tmp_path)
    with hold_workspace(str(tmp_path / "work")):
        with pytest.raises(WorkError, match=r"workspace .*work: another rerun is at work in it"):
            rerun.main([str(config)])
        assert list((tmp_path / "work").iterdir()) == []


def test_models_without_their_state_are_left_alone(tmp_path: Path) -> None:
    write_sounds(tmp_path / "sounds", 0, 5)
    config = write_config(tmp_path)
    kept = tmp_path / "work" / "models" / "000007-20200101T000000Z" / "model.keras"
    kept.parent.mkdir(parents=True)
    kept.write_text("weights")
    with pytest.raises(WorkError, match=r"state\.json must be there, as .*models holds models"):
        rerun.main([str(config)])
    assert kept.read_text() == "weights"

"""A rerun whose state, models and report lie on a store."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from pipelines.errors import Conflict, WorkError
from pipelines.store.holding import hold_workspace
from tests.helpers.reruns import run, statuses, write_config, write_sounds
from vae_model.commands import rerun
from vae_model.rerun import state
from vae_model.sound.generator import SoundGenerator

WORK = "memory://rerun-work"


@pytest.fixture(autouse=True)
def _empty_store() -> Iterator[None]:
    """Nothing of the store stays."""
    yield
    fs = fsspec.filesystem("memory")
    if fs.exists("/rerun-work"):
        fs.rm("/rerun-work", recursive=True)


@pytest.mark.slow
def test_a_workspace_on_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The dataset is local, as it is written by processes that share no memory."""
    fs = fsspec.filesystem("memory")
    write_sounds(tmp_path / "sounds", 0, 20)
    config = write_config(tmp_path, workspace=WORK, dataset="dataset", report=True, promote={"keep_models": 1})
    first = run(capsys, config)
    assert statuses(first) == ["done"] * 5
    assert first["model"] == f"{WORK}/models/{first['promoted']}"
    state = json.loads(fs.cat("/rerun-work/state.json"))
    assert state["promoted"] == first["promoted"]
    assert SoundGenerator.load(first["model"]).bundle.metrics["epochs"] == 2
    assert b"</html>" in fs.cat("/rerun-work/report.html")
    assert run(capsys, config)["status"] == "unchanged"

    write_sounds(tmp_path / "sounds", 20, 10)
    second = run(capsys, config)
    assert second["stages"]["train"]["from"] == first["promoted"]
    names = {model["name"] for model in json.loads(fs.cat("/rerun-work/state.json"))["models"]}
    assert {path.split("/")[3] for path in fs.find("/rerun-work/models")} == names
    assert not fs.exists("/rerun-work/lease.json")


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    write_sounds(tmp_path / "sounds", 0, 5)
    config = write_config(tmp_path, workspace=WORK, dataset="dataset")
    holder = rf"another rerun is at work in it, process {os.getpid()} of .*, until 20"
    with hold_workspace(WORK), pytest.raises(WorkError, match=holder):
        rerun.main([str(config)])
    assert not (tmp_path / "dataset").exists()
    with hold_workspace(WORK):
        pass


@pytest.mark.parametrize("left", ['{"holder": "a killed one", "until": "2026-01-01T00:00:00+00:00"}', "{", "[]"])
def test_what_a_killed_one_left_is_in_the_way_for_a_while_alone(left: str) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe("/rerun-work/lease.json", left.encode())
    with hold_workspace(WORK):
        assert str(os.getpid()) in fs.cat("/rerun-work/lease.json").decode()


def test_a_lease_is_renewed_while_its_holder_lives() -> None:
    fs = fsspec.filesystem("memory")
    with hold_workspace(WORK, lease_seconds=1.0):
        first = fs.cat("/rerun-work/lease.json")
        end = time.monotonic() + 60
        while fs.cat("/rerun-work/lease.json") == first:
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.mark.parametrize("local", [True, False])
def test_a_state_that_somebody_else_wrote_is_not_replaced(local: bool, tmp_path: Path) -> None:
    workspace = str(tmp_path) if local else WORK
    begun = state.save(workspace, state.State(), None)
    state.save(workspace, state.State(stages={}, models=()), begun)
    other = state.StageEntry("done", "", "", "")
    state.save(workspace, state.State(stages={"train": other}), begun)
    with pytest.raises(Conflict):
        state.save(workspace, state.State(), begun)
    assert state.load(workspace).stages == {"train": other}

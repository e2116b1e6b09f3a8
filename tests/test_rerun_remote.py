"""A rerun whose state, models and report lie on a store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from test_rerun import run, statuses, write_config, write_sounds

from vae_model.sound import SoundGenerator

WORK = "memory://rerun-work"


@pytest.fixture(autouse=True)
def _empty_store() -> Iterator[None]:
    """Nothing of the store stays."""
    yield
    fs = fsspec.filesystem("memory")
    if fs.exists("/rerun-work"):
        fs.rm("/rerun-work", recursive=True)


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

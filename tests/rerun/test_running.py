"""A rerun from Python: what a notebook gets that calls the function behind `audio-vae rerun`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import WorkError
from tests.helpers.reruns import write_config, write_sounds
from vae_model.rerun.config import read_config
from vae_model.rerun.running import RerunResult, pending, run


def test_stages_by_name_give_a_typed_result(tmp_path: Path) -> None:
    write_sounds(tmp_path / "sounds", 0, 6)
    config = read_config(str(write_config(tmp_path)))
    assert (pending(config).new, pending(config).nothing) == (6, False)
    ended: list[RerunResult] = []
    result = run(config, ["preprocess"], ended=ended.append)
    assert ended == [result]
    assert (result.status, result.error, result.promoted, result.model) == ("done", None, None, None)
    assert (result.workspace, result.dataset) == (config.workspace, config.dataset)
    assert result.stages["preprocess"]["sources"]["written"] == 6
    assert list(result.to_dict()) == ["at", "status", "error", "workspace", "dataset", "promoted", "model", "stages"]
    assert pending(config).nothing
    assert run(config, ["preprocess"]).status == "unchanged"


def test_a_stage_that_fails_is_told_before_its_error_goes_on(tmp_path: Path) -> None:
    write_sounds(tmp_path / "sounds", 0, 6)
    config = read_config(str(write_config(tmp_path)))
    ended: list[RerunResult] = []
    with pytest.raises(WorkError, match="comes after evaluate, which has not been done"):
        run(config, ["preprocess", "promote"], ended=ended.append)
    (result,) = ended
    assert (result.status, list(result.stages)) == ("failed", ["preprocess", "promote"])
    assert result.error is not None
    assert result.error.startswith("--stage promote comes after evaluate")
    with pytest.raises(WorkError, match="has changed while this run began"):
        run(config, ["preprocess"], expected_listing="another", ended=ended.append)
    assert ended[-1].stages["preprocess"]["status"] == "failed"

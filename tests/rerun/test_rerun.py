"""`audio-vae rerun`: what is new is taken in, trained on, compared and promoted; what isn't costs nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pipelines.errors import WorkError
from tests.helpers.console import audio_vae, run_in_process
from tests.helpers.reruns import THREE_LAYERS, files, run, statuses, without, write_config, write_sounds
from vae_model.commands import rerun
from vae_model.model_folder.bundle import Bundle
from vae_model.vae.autoencoder import Autoencoder


@pytest.mark.slow
def test_a_model_grows_with_the_audio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sounds, work = tmp_path / "sounds", tmp_path / "work"
    write_sounds(sounds, 0, 20)
    config = write_config(tmp_path, train=THREE_LAYERS, report=True)

    # The first time there is no model: one is trained from scratch and promoted.
    first = run(capsys, config)
    assert first["status"] == "done"
    assert statuses(first) == ["done"] * 5
    assert first["stages"]["preprocess"]["sources"]["written"] == 20
    assert first["stages"]["train"]["from"] is None
    assert first["stages"]["train"]["epochs"] == 2
    assert first["stages"]["evaluate"]["candidate"]["num_examples"] == 4
    assert first["stages"]["promote"]["reason"].startswith("promoted: the first model")
    old = first["promoted"]
    assert os.readlink(work / "models" / "current") == old
    assert Path(first["model"]) == work / "models" / old
    assert Autoencoder.load(work / "models" / "current").config.latent_space_dim == 4
    assert "</html>" in (work / "report.html").read_text(encoding="utf-8")

    # Nothing is new: no file changes, and neither TensorFlow nor Beam is imported.
    before = files(work)
    environment = without(tmp_path / "without", "tensorflow", "keras", "apache_beam")
    again = audio_vae("rerun", config, "--json", environment=environment)
    assert again.returncode == 0, again.stderr
    values = json.loads(again.stdout)
    assert values["status"] == "unchanged"
    assert statuses(values) == ["skipped"] * 5
    assert values["promoted"] == old
    assert files(work) == before

    # A few quiet sounds: too few to train, but they are measured, and what is different about them is said.
    write_sounds(sounds, 20, 6, level=0.1)
    few = run(capsys, config)
    assert statuses(few) == ["done", "skipped", "done", "skipped", "done"]
    assert few["stages"]["train"]["reason"].startswith("4 new training records, 8 wanted")
    assert few["promoted"] == old
    assert few["stages"]["evaluate"]["promoted"]["num_examples"] == 6
    level = few["stages"]["evaluate"]["drift"]["level_db"]
    assert (level["num_old"], level["num_new"]) == (20, 6)
    assert level["new_mean"] - level["old_mean"] == pytest.approx(-20, abs=2)  # a tenth of the amplitude
    assert level["notable"]
    assert not few["stages"]["evaluate"]["drift"]["seconds"]["notable"]
    assert few["stages"]["evaluate"]["drift"]["error_db"]["num_new"] == 2

    # More: a model is trained from the last one, keeps its range, and is promoted.
    write_sounds(sounds, 26, 8, level=0.1)
    more = run(capsys, config)
    assert more["stages"]["train"]["reason"].startswith("11 new training records, 8 wanted")
    assert more["stages"]["train"]["from"] == old
    assert more["stages"]["train"]["epochs"] == 1
    compared = more["stages"]["evaluate"]
    assert compared["promoted"]["model"] == old
    assert compared["candidate"]["num_examples"] == compared["promoted"]["num_examples"] == 7
    assert compared["candidate"]["rmse_db"] < compared["promoted"]["rmse_db"]
    assert more["stages"]["promote"]["promoted"] is True
    new = more["promoted"]
    assert new != old
    assert os.readlink(work / "models" / "current") == new
    assert Bundle.load(work / "models" / new).value_range == Bundle.load(work / "models" / old).value_range

    # A training that ruins the model: what it makes is not promoted, and not tried again.
    write_sounds(sounds, 34, 10)
    config = write_config(tmp_path, train=THREE_LAYERS, retrain={"learning_rate": 0.3}, promote={"keep_models": 1})
    bad = run(capsys, config)
    assert bad["status"] == "done"
    assert bad["stages"]["promote"]["promoted"] is False
    assert bad["stages"]["promote"]["reason"].startswith("not promoted: rmse_db ")
    assert bad["promoted"] == new
    assert os.readlink(work / "models" / "current") == new
    rejected = bad["stages"]["train"]["model"]
    kept = {new, rejected}  # the newest one, and the promoted one
    assert {path.name for path in (work / "models").iterdir()} == kept | {"current"}
    assert {path.stem for path in (work / "sources").iterdir()} == kept
    assert run(capsys, config)["status"] == "unchanged"


@pytest.mark.slow
def test_stages_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a scheduler runs them that has a task for each; a stage before its time says what comes first."""
    write_sounds(tmp_path / "sounds", 0, 20)
    config = write_config(tmp_path)
    with pytest.raises(WorkError, match=r"--stage train comes after preprocess, which has not been done: audio-vae"):
        rerun.main([str(config), "--stage", "train", "--json"])
    values = json.loads(capsys.readouterr().out)
    assert values["status"] == "failed"
    assert "comes after preprocess" in values["error"]
    for stage in ("preprocess", "train", "evaluate", "promote", "report"):
        values = run(capsys, config, "--stage", stage)
        assert list(values["stages"]) == [stage]
        assert (values["promoted"] is not None) == (stage in ("promote", "report"))
    assert run(capsys, config)["status"] == "unchanged"
    write_sounds(tmp_path / "sounds", 20, 5)
    run(capsys, config, "--stage", "preprocess")
    with pytest.raises(WorkError, match="comes after train, which has not seen the dataset as it is now"):
        rerun.main([str(config), "--stage", "evaluate"])


def test_what_ends_the_first_stage(tmp_path: Path) -> None:
    """With the exit status of `preprocess`, one line, and nothing made."""
    write_sounds(tmp_path / "sounds", 0, 3)
    (tmp_path / "sounds" / "bad.wav").write_text("no sound")
    for changes, status, message in (
        ({"preprocess": {"max_failures": 0}}, 3, "1 of 4 sources failed"),
        ({"beam": ["--runer=FlinkRunner"]}, 2, "rerun.yaml: beam: --runer=FlinkRunner must be an option of Beam's"),
        ({"inputs": ["nowhere"]}, 2, "nowhere: must exist"),
        ({"workspace": "rerun.yaml"}, 1, "rerun.yaml: cannot be made: File exists"),
    ):
        config = write_config(tmp_path, **changes)
        done = run_in_process("rerun", config, "--json")
        assert done.returncode == status, done.stderr
        assert message in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert done.stdout == "" or json.loads(done.stdout)["status"] == "failed"
        assert not (tmp_path / "work" / "dataset").exists()

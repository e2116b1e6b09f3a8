"""What a scheduler needs of `audio-vae rerun`: whether audio is new, and that the Airflow DAG has every stage."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.console import run_in_process
from tests.helpers.places import ROOT
from tests.helpers.reruns import files, run, write_config, write_sounds
from vae_model.commands import rerun
from vae_model.rerun.stages import STAGES


def counts(values: dict[str, Any]) -> tuple[int, int, int, int]:
    return values["new"], values["changed"], values["removed"], values["unchanged"]


def test_pending_counts_what_is_new_and_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    config = write_config(tmp_path)
    empty = run(capsys, config, "--pending")  # audio is still to come
    assert (empty["status"], counts(empty)) == ("unchanged", (0, 0, 0, 0))

    write_sounds(sounds, 0, 6)
    before = files(tmp_path)
    first = run(capsys, config, "--pending")
    assert (first["status"], counts(first)) == ("pending", (6, 0, 0, 0))
    assert run(capsys, config, "--pending")["listing"] == first["listing"]
    assert files(tmp_path) == before
    assert not (tmp_path / "work").exists()

    run(capsys, config, "--stage", "preprocess")
    taken_in = run(capsys, config, "--pending")
    assert (taken_in["status"], counts(taken_in)) == ("unchanged", (0, 0, 0, 6))

    write_sounds(sounds, 6, 3)
    (sounds / "noise_000.wav").unlink()
    (sounds / "noise_001.wav").write_bytes((sounds / "noise_002.wav").read_bytes())
    second = run(capsys, config, "--pending")
    assert (second["status"], counts(second)) == ("pending", (3, 1, 1, 4))
    assert second["listing"] != taken_in["listing"]
    assert rerun.main([str(config), "--pending"]) == 0
    shown = capsys.readouterr()
    assert shown.err.strip().endswith("3 new, 1 changed, 1 removed sources")
    assert not shown.out


def test_pending_says_which_input_is_missing(tmp_path: Path) -> None:
    done = run_in_process("rerun", write_config(tmp_path), "--pending", "--json")
    assert done.returncode == 2
    assert str(tmp_path / "sounds") in done.stderr
    assert not done.stdout


def test_the_airflow_dag_has_a_task_for_each_stage() -> None:
    tree = ast.parse((ROOT / "deploy" / "airflow" / "dags" / "audio_vae_rerun.py").read_text(encoding="utf-8"))
    values = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TIMEOUTS"
    ]
    assert isinstance(values[0], ast.Dict)
    assert [ast.literal_eval(key) for key in values[0].keys if key] == list(STAGES)

"""The examples of composing transforms, as their readers run them."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.beam.launch import LOCAL_RUNNER
from pipelines.dataset.folder import open_dataset
from tests.helpers.beam_servers import job_service
from tests.helpers.console import audio_vae_json
from tests.helpers.dataset_state import contents, orphans, write_small
from tests.helpers.places import ROOT
from tests.helpers.slow import slow
from tests.helpers.snippets import WAYS, Run
from tests.helpers.sounds import write_tones


@pytest.mark.parametrize("module", ["transforms", "write_dataset", "preprocess_audio"])
def test_the_examples_of_the_docstrings_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tones(tmp_path / "sounds", count=1, sample_rate=8000)
    (tmp_path / "sounds" / "tone_00.wav").rename(tmp_path / "sounds" / "a.wav")
    monkeypatch.chdir(tmp_path)
    tried = doctest.testmod(importlib.import_module(f"pipelines.beam.{module}"))
    assert (tried.failed, tried.attempted >= 3) == (0, True)


@WAYS
def test_the_example_of_the_architecture_page_runs(run: Run, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- snippet: preprocess_audio -->\n```python\n(.*?)```", page, re.DOTALL)
    write_small(tmp_path / "recordings" / "one.wav", 300)
    (tmp_path / "recordings" / "two.wav").write_text("no sound")
    run(code, tmp_path)
    rows = open_dataset(str(tmp_path / "dataset")).manifest(["source", "status"]).to_pylist()
    assert {row["source"]: row["status"] for row in rows} == {"one.wav": "written", "two.wav": "failed"}


def run_example(recordings: Path, dataset: Path, *flags: str) -> str:
    """`examples/beam_pipeline.py` as its reader runs it; returns what it prints."""
    command = [sys.executable, ROOT / "examples" / "beam_pipeline.py", recordings, dataset, *flags]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("runner", ["local", slow("portable")])
def test_the_ordinary_pipeline_writes_the_bytes_of_preprocess(runner: str, tone_folder: Path, tmp_path: Path) -> None:
    audio_vae_json("preprocess", tone_folder, "--output", tmp_path / "preprocessed", "--preset", "tiny")
    if runner == "local":
        printed = run_example(tone_folder, tmp_path / "dataset", "--runner", LOCAL_RUNNER)
        assert sorted(printed.splitlines()) == ["-45.1 to 36.1 dB", str(tmp_path / "dataset")]
    else:
        with job_service() as flags:
            run_example(tone_folder, tmp_path / "dataset", *flags)
    assert contents(tmp_path / "dataset") == contents(tmp_path / "preprocessed")
    assert orphans(tmp_path / "dataset") == set()


def test_the_ordinary_pipeline_fits_on_a_screen() -> None:
    assert len((ROOT / "examples" / "beam_pipeline.py").read_text().splitlines()) <= 40

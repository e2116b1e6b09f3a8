"""Every command and every example of docs/export.md runs as it stands, in the order of the page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from pipelines.config import AudioConfig, SpectrogramConfig
from vae_model.bundle import Bundle, ValueRange
from vae_model.cli import main
from vae_model.config import ModelConfig, TrainConfig
from vae_model.vae import build


def write_model(folder: Path) -> None:
    """An untrained VAE of a quarter of a second at 4 kHz."""
    audio, spectrogram = AudioConfig(4000, segment_seconds=0.25), SpectrogramConfig(64, 64)
    config = ModelConfig("vae", (32, 16, 1), (2, 4), (3, 3), (2, 2), 3)
    build(config).save(folder)
    Bundle(config, TrainConfig(), audio, spectrogram, ValueRange(-80.0, 20.0), (), {}).save(folder)


def run_page(name: str, folder: Path) -> None:
    """The fenced blocks of a page, each as it stands: lines that begin with audio-vae, and Python."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text.count("```python") == text.count("<!-- snippet: ")
    blocks = re.findall(r"```(python)?\n(.*?)```", text, re.DOTALL)
    assert blocks
    environment = dict(os.environ, PYTHONPATH=str(ROOT), TF_CPP_MIN_LOG_LEVEL="3")
    for kind, block in blocks:
        if kind:
            done = subprocess.run(
                [sys.executable, "-c", block], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stderr
        for line in re.findall(r"^audio-vae (.*)$", "" if kind else block, re.MULTILINE):
            assert main(shlex.split(line, comments=True)) == 0, line


def test_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model")
    run_page("export.md", tmp_path)

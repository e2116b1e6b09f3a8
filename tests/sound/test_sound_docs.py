"""Every command and every example of docs/export.md and docs/latents.md runs as it stands, in the page's order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from tests.helpers.dataset_writer import noises, write_dataset
from tests.helpers.places import ROOT
from tests.helpers.snippets import WAYS, Run
from vae_model.cli import main
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.vae.variational import build

AUDIO, SPECTROGRAM = AudioConfig(4000, segment_seconds=0.25), SpectrogramConfig(64, 64)


def write_model(folder: Path) -> None:
    """An untrained VAE of a quarter of a second at 4 kHz."""
    config = ModelConfig("vae", (32, 16, 1), (2, 4), (3, 3), (2, 2), 3)
    build(config).save(folder)
    Bundle(config, TrainConfig(), AUDIO, SPECTROGRAM, ValueRange(-80.0, 20.0), (), {}).save(folder)


def run_page(run: Run, name: str, folder: Path) -> None:
    """The fenced blocks of a page, each as it stands: lines that begin with audio-vae, and Python."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text.count("```python") == text.count("<!-- snippet: ")
    blocks = re.findall(r"```(python)?\n(.*?)```", text, re.DOTALL)
    assert blocks
    for kind, block in blocks:
        if kind:
            run(block, folder)
        for line in re.findall(r"^audio-vae (.*)$", "" if kind else block, re.MULTILINE):
            assert main(shlex.split(line, comments=True)) == 0, line


@WAYS
def test_export(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model")
    run_page(run, "export.md", tmp_path)


@pytest.mark.slow
@WAYS
def test_latents(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model")
    config = DatasetConfig(AUDIO, SPECTROGRAM, label_pattern=r"(?P<digit>\d)\.wav")
    write_dataset(tmp_path / "dataset", {"train": noises(30, 3000)}, config)
    (tmp_path / "recordings").mkdir()
    names = [f"{digit}_{speaker}_0.wav" for digit in (3, 7) for speaker in ("george", "jackson")]
    for name, sound in zip(names, noises(4), strict=True):
        soundfile.write(tmp_path / "recordings" / name, sound, 4000)
    run_page(run, "latents.md", tmp_path)
    labelled, moved = (pq.read_table(f"{name}.parquet") for name in ("labelled", "moved"))
    mu = dict(zip(labelled["source"].to_pylist(), np.stack(labelled["mu"].to_numpy()), strict=True))
    direction = (mu[names[0]] + mu[names[2]] - mu[names[1]] - mu[names[3]]) / 2
    assert moved["source"].to_pylist() == [names[1], names[3]]
    expected = np.stack([mu[names[1]] + direction, mu[names[3]] + direction])
    np.testing.assert_allclose(np.stack(moved["mu"].to_numpy()), expected, atol=1e-6)
    counts = {"new": 8, "threes": 8, "long": 1, "gaussian": 8, "known": 8, "on": 1, "varied": 8}
    counts |= {"way": 8, "heard": 4, "moved": 2}
    assert {name: len(list((tmp_path / name).glob("*.wav"))) for name in counts} == counts

"""A workspace of small reruns: its sounds, its file, and what a rerun of it says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from tests.helpers.places import ROOT
from vae_model.commands import rerun

SETTINGS: dict[str, Any] = {
    "workspace": "work",
    "inputs": ["sounds"],
    "preprocess": {
        "preset": "tiny",
        "sample_rate": 4000,
        "segment_seconds": 0.25,
        "frame_size": 64,
        "hop_length": 64,
        "split": "none",
        "split_pattern": [r"test=[05]\.wav$"],
        "workers": 1,
    },
    "train": {
        "preset": "tiny",
        "kind": "autoencoder",
        "conv_filters": [8],
        "conv_kernels": [8],
        "conv_strides": [4],
        "latent_space_dim": 4,
        "epochs": 2,
        "learning_rate": 0.01,
    },
    "retrain": {"min_new_examples": 8, "epochs": 1},
    "report": False,
}
THREE_LAYERS = {"conv_filters": [8, 8, 16], "conv_kernels": [8, 5, 5], "conv_strides": [4, 2, [4, 2]]}
"""A section `train` that learns more in an epoch, in three times the seconds until it begins."""


def write_sounds(folder: Path, first: int, count: int, level: float = 1.0) -> None:
    """Decaying noise, a fifth of it held out, each a little louder or quieter than the others."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        noise = rng.uniform(0.2, 0.4) * np.exp(-np.arange(1000) / 250) * rng.uniform(-1, 1, 1000)
        soundfile.write(folder / f"noise_{number:03d}.wav", (level * noise).astype(np.float32), 4000, subtype="FLOAT")


def write_config(folder: Path, **changes: Any) -> Path:
    """SETTINGS as a file, with sections or keys of them replaced."""
    values = dict(SETTINGS)
    for name, value in changes.items():
        values[name] = values.get(name, {}) | value if isinstance(value, dict) else value
    path = folder / "rerun.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def run(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert rerun.main([str(config), *arguments, "--json"]) == 0
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    return values


def statuses(values: dict[str, Any]) -> list[str]:
    return [stage["status"] for stage in values["stages"].values()]


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time stamp and content of every file."""
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


def without(folder: Path, *packages: str) -> dict[str, str]:
    """An environment in which importing these packages fails."""
    for name in packages:
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").write_text("raise ImportError('not wanted here')")
    return dict(os.environ, PYTHONPATH=f"{folder}{os.pathsep}{ROOT}")

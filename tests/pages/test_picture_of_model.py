"""examples/picture_of_model.py: sounds of each kind in columns, over octaves, as a small file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.dataset_writer import write_dataset
from tests.helpers.places import ROOT
from tests.helpers.tones_model import CONFIG, tones, write_model
from vae_model import learn_prior
from vae_model.report.figure import in_rows

WIDTH, HEIGHT, TOP = 156, 124, 24  # of a cell, and where the first begins


def test_each_kind_has_a_column(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", {"train": tones(80, 0), "validation": tones(20, 1)}, CONFIG)
    model = write_model(tmp_path / "model", dataset)
    learn_prior(model, dataset, epochs=2, width=8, quiet=True)
    script = ROOT / "examples" / "picture_of_model.py"
    words = [model, dataset, str(tmp_path / "out.png"), "--label", "last"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, script, *words], check=True, env=environment)
    assert (tmp_path / "out.png").stat().st_size < 100_000
    sizes = [in_rows({name: [flat()] * 6 for name in "abc"}, "x" * count, (-80, 0), 4000, 64).size for count in (5, 6)]
    assert sizes[0] != Image.open(tmp_path / "out.png").size == sizes[1], "six of the ten digits, three rows"


def flat() -> np.ndarray:
    return np.full((32, 16, 1), -80, np.float32)


def test_a_tone_is_seen_in_its_own_cell_alone() -> None:
    tone = flat()
    tone[16] = 0
    rows = {"held out": [flat(), tone], "new": [flat(), flat()]}
    picture = np.asarray(in_rows(rows, ["a", "b"], (-80, 0), 4000, 64).convert("RGB")).astype(int)
    warm = picture[..., 0] - picture[..., 2] > 40  # the upper end of the colour scale
    found, across = np.nonzero(warm[:, :-80])  # without the scale itself
    assert np.ptp(across) + 1 == WIDTH
    assert across.min() > picture.shape[1] - 80 - 2 * WIDTH
    lowest, nyquist = 62.5, 2000
    where = np.log(1000 / lowest) / np.log(nyquist / lowest)
    assert found.max() < TOP + HEIGHT
    assert (TOP + HEIGHT - found.mean()) / HEIGHT == pytest.approx(where, abs=0.04)

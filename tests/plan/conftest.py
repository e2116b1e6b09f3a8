"""A folder of sounds, and a dataset of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.dataset_state import write_small
from tests.helpers.equal_files import SPLITS, preprocess


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten sounds in a folder of a folder, so that all splits have some."""
    for number in range(10):
        write_small(tmp_path / "in" / "2026" / f"tone_{number}.wav", 300 + 70 * number, seconds=0.205 + 0.01 * number)
    return tmp_path / "in"


@pytest.fixture
def dataset(folder: Path, tmp_path: Path) -> Path:
    """Their dataset."""
    preprocess(folder, tmp_path / "dataset", *SPLITS)
    return tmp_path / "dataset"

"""Folders that can't be written: one line that names them, before the work and not instead of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipelines import store
from pipelines.errors import WorkError
from tests.helpers.dataset_writer import ONE_LAYER, noises, write_dataset
from tests.helpers.read_only import read_only
from tests.helpers.resuming import CONFIG
from vae_model.commands import browse, report, train
from vae_model.sound.wav import write_wav


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data") / "dataset"
    return write_dataset(folder, {"train": noises(8), "validation": noises(4)}, CONFIG)


@pytest.mark.parametrize("command", ["report", "browse"])
def test_a_page_in_such_a_folder(command: str, dataset: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = [dataset, "--output", str(page)]
    with read_only(tmp_path), pytest.raises(WorkError) as failed:
        browse.main(words) if command == "browse" else report.main(["no-model", *words])
    assert str(failed.value) == f"--output {page}: {tmp_path} cannot be written: Permission denied"


def test_a_training_that_is_to_go_on_in_such_a_folder(dataset: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    options = [dataset, "--output", str(folder), *ONE_LAYER]
    assert train.main([*options, "--epochs", "1"]) == 0
    with read_only(folder), pytest.raises(WorkError) as failed:
        train.main([*options, "--epochs", "2", "--resume"])
    assert str(failed.value) == f"--output {folder}: {folder} cannot be written: Permission denied"
    (folder / "checkpoints").chmod(0o700)
    with read_only(folder / "checkpoints"), pytest.raises(WorkError) as failed:
        train.main([*options, "--epochs", "2", "--resume"])
    assert str(folder / "checkpoints") in str(failed.value)
    assert "Permission denied" in str(failed.value)


def test_what_cannot_be_removed_does_not_hide_why_it_was_not_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 240}.html"  # with what is put before it, too long to write, and to remove
    with pytest.raises(WorkError, match="cannot be written: File name too long"), store.replacing(path) as partial:
        partial.write_text("page")
    with pytest.raises(WorkError, match="cannot be written"):
        write_wav(tmp_path / f"{'x' * 250}.wav", [np.zeros((8, 1), np.float32)], 8000)
    assert os.listdir(tmp_path) == []

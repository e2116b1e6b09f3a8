"""Batches that are moved while a model is trained: in time, in frequency, in level."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import open_dataset
from pipelines.errors import SettingError
from tests.helpers.dataset_writer import noises, write_dataset
from vae_model.model_folder.config import TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.training.data import Examples, Order
from vae_model.training.first_weights import at_data
from vae_model.training.parsed import Moves, higher, louder

CONFIG = DatasetConfig(AudioConfig(sample_rate=4000, segment_seconds=0.25), SpectrogramConfig(64, 64))
RANGE = ValueRange(-100.0, 0.0)
Array = NDArray[np.float32]


def spectrograms() -> Array:
    """(2, 8, 6, 3): two channels of levels, of which the first frame is at the floor, and one of something else."""
    found = np.random.default_rng(0).uniform(0.2, 0.8, (2, 8, 6, 3)).astype(np.float32)
    found[:, :, 0, :2] = 0
    return found


def test_louder_is_louder_by_so_many_decibels_but_for_the_floor_and_what_is_no_level() -> None:
    before = spectrograms()
    after = np.asarray(louder(before, 6.0, RANGE, 2))
    np.testing.assert_allclose(after[:, :, 1:, :2], before[:, :, 1:, :2] + 0.06, atol=1e-6)
    np.testing.assert_array_equal(after[:, :, 0, :2], 0)
    np.testing.assert_array_equal(after[..., 2], before[..., 2])
    assert np.asarray(louder(before, 60.0, RANGE, 2)).max() == 1


@pytest.mark.parametrize("bins", [2, -1])
def test_higher_is_so_many_bins_up_with_more_of_the_same_below(bins: int) -> None:
    before = spectrograms()
    after = np.asarray(higher(before, bins))
    for row in range(8):
        np.testing.assert_array_equal(after[:, row], before[:, min(max(row - bins, 0), 7)])


def test_batches_of_an_epoch_are_moved_each_by_its_own_and_again_the_same(tmp_path: Path) -> None:
    dataset = open_dataset(write_dataset(tmp_path, {"train": noises(24)}, CONFIG))
    examples, bounds = Examples(dataset, "train"), ValueRange(dataset.min_db, dataset.max_db)

    def levels(moves: Moves | None, skip: int = 0) -> list[float]:
        batches = examples.batches(bounds, 2, Order(7), skip, moves=moves)
        return [float(batch.mean()) for batch in batches.as_numpy_iterator()]

    still, louder = levels(None), levels(Moves(level_db=3.0))
    by_db = (np.array(louder) - still) * (dataset.max_db - dataset.min_db)
    assert len(set(by_db.round(3))) == 12
    assert np.abs(by_db).max() <= 3.001
    assert by_db.min() < -0.5
    assert by_db.max() > 0.5
    assert levels(Moves(level_db=3.0), skip=5) == louder[5:]


def test_the_beginning_knows_moved_examples(tmp_path: Path) -> None:
    dataset = open_dataset(write_dataset(tmp_path, {"train": noises(5)}, CONFIG))
    train = TrainConfig(level_shift_db=4.0, frequency_shift_bins=3)
    whole = at_data(dataset, TrainConfig()).examples
    given = at_data(dataset, train)
    assert whole is not None
    assert given.examples is not None
    plain, up, down = np.split(given.examples, 3)
    np.testing.assert_array_equal(plain, whole)
    by = np.float32(2 / (dataset.max_db - dataset.min_db))
    inside = (whole > 2 * by) & (whole < 1 - 2 * by)
    np.testing.assert_allclose(up[:, 1:][inside[:, :-1]], whole[:, :-1][inside[:, :-1]] + by, atol=1e-6)
    np.testing.assert_allclose(down[:, :-1][inside[:, 1:]], whole[:, 1:][inside[:, 1:]] - by, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"level_shift_db": -1}, "level_shift_db=-1 must be 0 or a positive number of dB"),
        ({"level_shift_db": 3, "value_range": "record"}, "level_shift_db=3 must be 0 with value_range=record"),
        ({"frequency_shift_bins": 0.5}, "frequency_shift_bins=0.5 must be 0 or a positive integer"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(change: dict[str, float | str], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        dataclasses.replace(TrainConfig(), **change)

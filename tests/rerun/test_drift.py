"""Drift and comparison: known answers of statistics, and of the command evaluate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import open_dataset
from pipelines.errors import WorkError
from tests.helpers.dataset_writer import noises, write_dataset
from vae_model.evaluation.comparing import measure
from vae_model.evaluation.evaluation import evaluate
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.rerun import drift, known_sources
from vae_model.vae.variational import VAE

CONFIG = DatasetConfig(AudioConfig(sample_rate=4000, segment_seconds=0.25), SpectrogramConfig(64, 64))


def test_a_shift_of_one_deviation() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.normal(10, 2, 4000), rng.normal(12, 2, 3000)
    found = drift.drift(old, new)
    assert found is not None
    assert found.difference == pytest.approx(1, abs=0.06)
    # The largest distance of two unit normals a deviation apart: 2 Φ(1/2) - 1.
    assert found.ks == pytest.approx(2 * stats.norm.cdf(0.5) - 1, abs=0.03)
    assert found.p_value < 1e-50
    assert found.notable
    assert found.to_dict()["notable"] is True


def test_what_chance_explains_or_is_a_trifle_is_not_notable() -> None:
    rng = np.random.default_rng(1)
    same = drift.drift(rng.normal(0, 1, 50), rng.normal(0, 1, 60))
    many = drift.drift(rng.normal(0, 1, 200_000), rng.normal(0.05, 1, 200_000))
    assert same is not None
    assert many is not None
    assert not same.notable
    assert many.p_value < 1e-20
    assert not many.notable


@pytest.mark.parametrize(
    ("old", "new", "difference"), [([1, 1, 1], [1, 1], 0.0), ([1, 1, 1], [2, 2], 1e9), ([2, 2], [1, 1], -1e9)]
)
def test_values_that_are_all_the_same(old: list[float], new: list[float], difference: float) -> None:
    found = drift.drift(old, new)
    assert found is not None
    assert found.difference == difference


def test_of_fewer_than_two_nothing_is_said() -> None:
    assert drift.drift([1.0, 2.0, 3.0], [1.0]) is None
    assert drift.drift([], [1.0, 2.0]) is None


def test_new_and_changed_sources_are_unseen(tmp_path: Path) -> None:
    def table(rows: dict[str, str]) -> pa.Table:
        columns = {"source": list(rows), "size": [10] * len(rows), "stamp": list(rows.values())}
        rest = {"split": ["train"] * len(rows), "num_segments": [2] * len(rows)}
        return pa.table({**columns, **rest, "seconds": [1.0] * len(rows), "max_db": [0.0] * len(rows)})

    known_sources.write(str(tmp_path / "sources" / "x.parquet"), table({"a.wav": "1", "b.wav": "1", "gone.wav": "1"}))
    now = table({"a.wav": "1", "b.wav": "2", "c.wav": "1"})
    unseen = known_sources.unseen(now, known_sources.read(str(tmp_path / "sources" / "x.parquet")))
    assert unseen.to_pylist() == [False, True, True]
    assert known_sources.num_records(now.filter(unseen), "train") == 4
    assert known_sources.num_records(now.filter(unseen), "test") == 0
    with pytest.raises(WorkError, match=r"nothing\.parquet: must be a readable table"):
        known_sources.read(str(tmp_path / "nothing.parquet"))


@pytest.mark.parametrize("decode", ["mean", "sampled"])
def test_a_model_is_measured_as_evaluate_measures_it(decode: str, tmp_path: Path) -> None:
    """The figures of the command on the same split; the errors of single records add up to the whole."""
    uri = write_dataset(tmp_path / "dataset", {"train": noises(6), "test": noises(70)}, CONFIG)
    dataset = open_dataset(uri)
    vae = VAE((32, 16, 1), (4, 4), (3, 3), (2, 2), 3, reconstruction_weight=100.0, decode=decode)
    bundle = Bundle.of(dataset, vae.config, TrainConfig(), ValueRange(dataset.min_db - 5, dataset.max_db + 5))
    found = measure(vae, bundle, dataset, "test")
    whole = evaluate(vae, bundle, dataset, "test", say=lambda line: None)
    expected = whole["reconstruction"]["mean_z" if decode == "mean" else "sampled_z"]
    # Both draw 70 sampled latents from generators of seed 0, 64 and then 6.
    for name in ("mse", "rmse_db", "rmse_above_floor_db", "log_spectral_distance_db"):
        assert found.figures[name] == pytest.approx(expected[name], rel=1e-5)
    assert found.figures["loss"] == pytest.approx(100 * expected["mse"] + whole["posterior"]["kl"], rel=1e-5)
    assert len(found.errors_db) == len(found.sources) == 70
    assert np.sqrt(np.mean(np.square(found.errors_db))) == pytest.approx(expected["rmse_db"], rel=1e-5)
    wider = measure(vae, Bundle.of(dataset, vae.config, TrainConfig(), bundle.value_range), dataset, "test")
    np.testing.assert_array_equal(wider.errors_db, found.errors_db)  # the same draws again

"""Posterior health: who is warned of what and when, in real trainings and by closed forms."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import open_dataset
from tests.helpers.dataset_writer import noises, write_dataset
from vae_model.commands import train
from vae_model.evaluation import health
from vae_model.evaluation.health import COLLAPSED, EXPLODING, HEALTHY, examine, judge
from vae_model.evaluation.metrics import Posterior
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig
from vae_model.model_folder.presets import PRESETS
from vae_model.model_folder.value_range import ValueRange
from vae_model.training import callbacks
from vae_model.training.callbacks import PosteriorWatch
from vae_model.vae.variational import VAE

CONFIG = DatasetConfig(AudioConfig(sample_rate=4000, segment_seconds=0.25), SpectrogramConfig(64, 64))
# 20 steps an epoch: the preset's running statistics have settled after 50, in the third
TINY = ["--preset", "tiny", "--latent-space-dim", "8", "--batch-size", "2", "--epochs", "6"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """40 records of 32 x 16 x 1 to train on, so that the epoch that is kept is one of the last."""
    return write_dataset(tmp_path_factory.mktemp("data") / "dataset", {"train": noises(40)}, CONFIG)


def small_vae(**settings: Any) -> VAE:
    vae = VAE((32, 16, 1), (4,), (3,), (2,), 5, **settings)
    vae.compile()
    return vae


def warnings_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("warning")]


@pytest.mark.slow
def test_a_training_that_collapses_warns_once_and_says_what_to_change(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    train.main([dataset, "--output", str(folder), *TINY, "--reconstruction-weight", "0.01"])
    (warning,) = warnings_of(capsys.readouterr().err)
    assert warning.startswith("warning after epoch 5: ")
    assert "collapsed" in warning
    assert "try a higher --reconstruction-weight (it is 0.01: 0.1)" in warning
    posterior = Bundle.load(folder).metrics["posterior"]
    assert posterior["verdict"] == COLLAPSED
    assert "higher --reconstruction-weight" in posterior["advice"]
    assert posterior["num_examples"] == 40
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert all(0 <= float(row["active_units"]) <= 8 for row in rows)
    assert all(float(row["kl_largest"]) >= 0 for row in rows)


@pytest.mark.slow
def test_a_healthy_training_warns_of_nothing(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train.main([dataset, "--output", str(tmp_path), *TINY])
    assert warnings_of(capsys.readouterr().err) == []
    posterior = Bundle.load(tmp_path).metrics["posterior"]
    assert posterior["verdict"] == HEALTHY
    assert posterior["advice"] == ""
    assert posterior["kl"] == pytest.approx(sum(posterior["kl_per_dimension"]))
    assert len(posterior["kl_per_dimension"]) == posterior["latent_space_dim"] == 8


@pytest.mark.slow
def test_an_autoencoder_has_no_posterior(dataset: str, tmp_path: Path) -> None:
    options = ["--preset", "tiny", "--model", "autoencoder", "--epochs", "1"]
    train.main([dataset, "--output", str(tmp_path), *options])
    assert "posterior" not in Bundle.load(tmp_path).metrics
    assert "active_units" not in (tmp_path / "history.csv").read_text()


def test_held_out_records_are_looked_at_where_there_are_enough(tmp_path: Path) -> None:
    for count, looked_at in ((63, 5), (64, 64)):
        folder = tmp_path / str(count)
        dataset = open_dataset(write_dataset(folder, {"train": noises(5), "validation": noises(count)}, CONFIG))
        found = callbacks.examples(dataset, ValueRange(dataset.min_db, dataset.max_db))
        assert found.shape == (looked_at, 32, 16, 1)
        assert 0 <= found.min() < found.max() <= 1


def test_what_is_examined_is_the_encoder_s_and_draws_no_noise() -> None:
    vae = small_vae()
    spectrograms = np.random.default_rng(0).uniform(size=(100, 32, 16, 1)).astype(np.float32)
    streams = [variable for variable in vae.model.variables if variable.name == "seed_generator_state"]
    before = [np.array(stream) for stream in streams]
    found = examine(vae.model, spectrograms)
    assert before
    assert all(np.array_equal(np.array(stream), state) for stream, state in zip(streams, before, strict=True))
    latents = vae.encode(spectrograms)
    mu, log_variance = (latents[name].astype(np.float64) for name in ("mu", "log_variance"))
    kl = 0.5 * (mu**2 + np.exp(log_variance) - 1 - log_variance)
    np.testing.assert_allclose(found.posterior.kl_per_dimension, kl.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.posterior.variance_of_mu, mu.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize(
    ("kl", "variances", "verdict", "setting"),
    [
        ([3.0] * 10, [1.0] * 10, HEALTHY, ""),
        ([5.0] + [0.0] * 9, [1.0] + [0.0] * 9, HEALTHY, ""),  # one of ten
        ([5.0] + [0.0] * 39, [1.0] + [0.0] * 39, COLLAPSED, "higher --reconstruction-weight (it is 1000: 10000)"),
        ([0.05] * 10, [0.05] * 10, COLLAPSED, "higher --reconstruction-weight"),
        ([3.0] * 9 + [50.5], [1.0] * 10, EXPLODING, "lower --reconstruction-weight (it is 1000: 100)"),
        ([3.0] * 9 + [float("inf")], [1.0] * 10, EXPLODING, "lower --learning-rate"),
        ([float("nan")] * 2, [1.0] * 2, EXPLODING, "lower --learning-rate"),
    ],
)
def test_verdicts(kl: list[float], variances: list[float], verdict: str, setting: str) -> None:
    config = ModelConfig(latent_space_dim=len(kl), reconstruction_weight=1000.0)
    found = judge(Posterior(100, tuple(kl), tuple(variances)), config)
    assert found.verdict == verdict
    assert setting in found.advice
    assert bool(found.advice) == (verdict != HEALTHY)


def test_running_statistics_that_lag_are_told_from_latents_that_explode() -> None:
    config = ModelConfig(latent_space_dim=4)
    seen = Posterior(100, (1e4,) * 4, (1e4,) * 4)
    assert judge(seen, config, trained_kl=3e4).verdict == EXPLODING
    assert judge(seen, config, trained_kl=12.0).verdict == HEALTHY
    collapsed = judge(seen, config, trained_kl=0.1)
    assert collapsed.verdict == COLLAPSED
    assert "KL is 0.1 nats;" in collapsed.advice


def test_only_a_state_that_lasts_is_spoken_of_and_only_once() -> None:
    said: list[str] = []
    vae = small_vae(norm_momentum=0.9)
    spectrograms = np.random.default_rng(0).uniform(size=(64, 32, 16, 1)).astype(np.float32)
    watch = PosteriorWatch(spectrograms, said.append)
    watch.set_model(vae.model)
    layer = vae.model.encoder.get_layer("mu")
    kernel, bias = layer.get_weights()

    def epochs(*scales: float) -> None:
        """Ends of epochs at which mu is this many times its first values."""
        for scale in scales:
            layer.set_weights([kernel * scale, bias])
            watch.on_epoch_end(7, {})

    epochs(1e4, 1e4, 1e4, 1e4)
    assert said == []  # no step is done yet
    vae.model.optimizer.iterations.assign(51)
    epochs(1e4, 1e4, 1.0, 1e4, 1e4)
    assert said == []
    epochs(1e4)
    (warning,) = said
    assert warning.startswith("warning after epoch 8: the latents explode")
    assert "lower --reconstruction-weight (it is 1e+06: 100000)" in warning
    epochs(1e4, 1e4, 1e4, 1e4)
    assert len(said) == 1


def test_no_word_during_a_warm_up() -> None:
    said: list[str] = []
    vae = small_vae(norm_momentum=0.9)
    vae.model.encoder.get_layer("mu").set_weights([np.full((16 * 8 * 4, 5), 1e3, np.float32), np.zeros(5)])
    vae.model.optimizer.iterations.assign(1000)
    watch = PosteriorWatch(np.full((4, 32, 16, 1), 0.5, np.float32), said.append, first_epoch=10)
    watch.set_model(vae.model)
    for epoch in range(12):
        logs: dict[str, Any] = {}
        watch.on_epoch_end(epoch, logs)
        assert set(logs) == {"active_units", "kl_largest"}
        assert said == []
    watch.on_epoch_end(12, {})
    assert len(said) == 1


def test_limits_leave_room_for_what_presets_learn() -> None:
    # A linear VAE on data of n_cells of variance at most 1/4 learns at most 1/2 log(n_cells / 4 / noise) nats a
    # dimension, the noise being n_cells / (2 weight): Lucas et al., arXiv:1911.02469
    for preset in PRESETS.values():
        most = 0.5 * np.log(preset.model.reconstruction_weight / 2)
        assert most < health.MAX_KL_PER_DIMENSION / 5

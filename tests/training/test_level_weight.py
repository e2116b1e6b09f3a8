"""A fade's tail counts less than an attack: in the batches, the loss, the linear beginning and what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines import open_dataset, preprocess
from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.errors import SettingError
from tests.helpers.dataset_writer import write_dataset
from tests.helpers.sounds import tone
from vae_model import Autoencoder, train_model
from vae_model.model_folder.config import TrainConfig, train_config
from vae_model.model_folder.value_range import ValueRange
from vae_model.prior.beginning import begin
from vae_model.prior.collecting import Collected
from vae_model.prior.conditions import MAX_DB
from vae_model.prior.prior import Prior
from vae_model.training import data
from vae_model.training.first_weights import at_data
from vae_model.vae.gaussians import Gaussians
from vae_model.vae.layers import output_layer
from vae_model.vae.linear_path import fit_linear_vae

RATE = 1000
LEVELS_DB = (0, -12, -24)
HALVES = TrainConfig(level_weight_db=12.0)


@pytest.fixture
def written(tmp_path: Path) -> str:
    """Twelve tones of three levels, 12 dB apart."""
    config = DatasetConfig(AudioConfig(RATE, segment_seconds=0.496), SpectrogramConfig(64, 32))
    sounds = [tone(100, 0.496, RATE, 0.5 * 10 ** (LEVELS_DB[i % 3] / 20))[:, None] for i in range(12)]
    return write_dataset(tmp_path / "tones", {"train": sounds}, config)


def test_what_is_12_db_quieter_counts_half(written: str) -> None:
    dataset = open_dataset(written)
    examples, bounds = data.Examples(dataset, "train"), ValueRange(dataset.min_db, dataset.max_db)
    plain = np.concatenate(list(examples.batches(bounds, 4).as_numpy_iterator()))

    def weight(max_db: object) -> object:
        return HALVES.weight_of(dataset.max_db - max_db)

    for with_valid_frames in (False, True):
        seen = 0
        batches = examples.batches(bounds, 4, weight=weight, with_valid_frames=with_valid_frames)
        for spectrograms, target, weights in batches.as_numpy_iterator():
            np.testing.assert_array_equal(spectrograms, plain[seen : seen + 4])
            np.testing.assert_array_equal(target, [16] * 4 if with_valid_frames else spectrograms)
            loudest = bounds.to_db(spectrograms.max(axis=(1, 2, 3)))
            wanted = 2 ** ((loudest - dataset.max_db) / 12)
            np.testing.assert_allclose(weights, wanted / wanted.mean(), rtol=1e-4)
            seen += len(spectrograms)


def test_the_loss_is_the_weighted_mean() -> None:
    shape = {"conv_filters": (4,), "conv_kernels": (3,), "conv_strides": (2,), "latent_space_dim": 2}
    autoencoder = Autoencoder((8, 8, 1), **shape)
    autoencoder.compile()
    x = np.random.default_rng(0).random((4, 8, 8, 1)).astype(np.float32)
    errors = np.square(x - autoencoder.reconstruct(x)[0]).mean(axis=(1, 2, 3))
    weights = np.float32([2, 1, 0.5, 0.5])
    found = autoencoder.model.evaluate(x, x, sample_weight=weights, batch_size=4, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx((weights * errors).sum() / weights.sum(), rel=1e-4)


def test_the_beginning_counts_what_is_12_db_quieter_half(written: str) -> None:
    dataset = open_dataset(written)
    alike, halves = at_data(dataset, TrainConfig()), at_data(dataset, HALVES)
    np.testing.assert_array_equal(halves.examples, alike.examples)
    assert alike.counts is None
    assert halves.counts is not None
    loudest = ValueRange(dataset.min_db, dataset.max_db).to_db(alike.examples.max(axis=(1, 2, 3)))
    np.testing.assert_allclose(halves.counts, 2 ** ((loudest - dataset.max_db) / 12), rtol=1e-4)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_linear_model_of_counted_examples_is_that_of_repeated_ones(noise: float) -> None:
    rng = np.random.default_rng(0)
    examples = (rng.normal(size=(9, 4, 5, 1)) * np.linspace(1, 3, 5)[:, np.newaxis]).astype(np.float32)
    counts = rng.integers(1, 5, 9)
    counted = fit_linear_vae(examples, 3, noise, counts.astype(np.float32))
    repeated = fit_linear_vae(np.repeat(examples, counts, axis=0), 3, noise)
    np.testing.assert_allclose(counted.mean, repeated.mean, atol=1e-5)
    np.testing.assert_allclose(counted.encoder @ counted.decoder, repeated.encoder @ repeated.decoder, atol=1e-4)
    np.testing.assert_allclose(counted.log_variance, repeated.log_variance, atol=1e-4)


def test_the_output_of_counted_examples_starts_at_their_mean() -> None:
    shape = {"conv_filters": (4,), "conv_kernels": (3,), "conv_strides": (2,), "latent_space_dim": 2}
    autoencoder = Autoencoder((8, 8, 1), **shape)
    sounds = np.stack([np.full((8, 8, 1), level, np.float32) for level in (0.2, 0.8)])
    autoencoder.start_from(sounds, sample_weight=np.float32([3, 1]))
    bias = output_layer(autoencoder.decoder).bias.numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-bias)), 0.35, atol=1e-5)


def test_new_sounds_are_drawn_as_often_as_they_count() -> None:
    count = 3000
    rng = np.random.default_rng(0)
    max_db = np.float32(LEVELS_DB)[np.arange(count) % 3]
    levels = np.stack([max_db - 80, max_db], axis=1)
    latents = Gaussians(rng.normal(size=(count, 2)).astype(np.float32), None)
    before = np.where(np.arange(count) % 3 == 0, -1, np.arange(count) - 1)
    weights = HALVES.weight_of(-max_db.astype(np.float64))
    weights /= weights.sum()
    found = {}
    for name, given in (("alike", None), ("weighted", weights)):
        model, examples = begin(Collected(latents, {}, levels, before, count), 16, with_levels=False, weights=given)
        drawn = Prior(model).rows.draw({}, 4000, np.random.default_rng(1))[:, MAX_DB]
        found[name] = [(drawn == level).mean() for level in LEVELS_DB]
        assert len(examples) == count
    np.testing.assert_allclose(found["alike"], [1 / 3] * 3, atol=0.03)
    np.testing.assert_allclose(found["weighted"], [4 / 7, 2 / 7, 1 / 7], atol=0.03)


def test_models_of_before_have_no_weights() -> None:
    values = {"epochs": 3}
    assert train_config(values).level_weight_db == 0 == TrainConfig().level_weight_db
    with pytest.raises(SettingError, match="level_weight_db=-3"):
        TrainConfig(level_weight_db=-3)


@pytest.mark.slow
def test_a_model_learns_from_files_of_which_segments_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "kit"
    folder.mkdir()
    for number in range(8):
        sound = np.r_[np.zeros(2 * 16320), tone(200 + 50 * number, 3, 16000)]
        soundfile.write(folder / f"{number}.wav", sound * (0.1 if number % 2 else 1), 16000)
    done = preprocess(folder, tmp_path / "data", preset="tiny", split="none", min_level_db=-60, workers=1)
    assert done.left_out == 16
    trained = train_model(done.dataset, tmp_path / "model", preset="tiny", epochs=1, level_weight_db=12, quiet=True)
    assert np.isfinite(trained.metrics["loss"])

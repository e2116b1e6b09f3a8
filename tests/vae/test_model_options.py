"""The options of architecture and loss: each does what it says, trains, and is saved."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import PCA

from pipelines.config import AudioConfig, SpectrogramConfig
from tests.helpers.slow import slow
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.training.run_state import RunState
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.layers import Bounded
from vae_model.vae.linear_path import fit_linear_vae
from vae_model.vae.losses import kl_loss, learned_weight, reconstruction_loss, with_free_bits
from vae_model.vae.variational import VAE

SMALL: dict[str, Any] = {
    "input_shape": (16, 12, 1),
    "conv_filters": (4, 8),
    "conv_kernels": (3, 3),
    "conv_strides": (2, 2),
    "latent_space_dim": 3,
}
MANY_AT_ONCE: dict[str, Any] = {"linear_path": True, "upsampling": "resize", "input_shape": (15, 11, 2)}
OPTIONS: list[dict[str, Any]] = [
    {"norm": "group"},
    {"decoder_variance": "learned"},
    {"norm": "none", "residual_blocks": 2},
    {"upsampling": "resize", "conv_strides": ((2, 1), 2)},
    {"linear_path": True},
    {"linear_path": True, "decoder_start": "first", "norm": "none"},
    {"log_variance_range": (-4.0, 2.0)},
    {"free_bits": 0.5},
]


def waves(count: int, shape: tuple[int, int, int] = (16, 12, 1)) -> np.ndarray:
    """Values in [0, 1] that vary in five ways, none of them linearly, with a little noise."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(5, *shape))
    mixed = np.tensordot(rng.normal(size=(count, 5)), patterns, 1) + 0.1 * rng.normal(size=(count, *shape))
    return (0.5 + 0.4 * np.tanh(mixed)).astype(np.float32)


@pytest.mark.parametrize(
    "options",
    [MANY_AT_ONCE, *map(slow, OPTIONS)],
    ids=lambda options: " ".join(f"{k}={v}" for k, v in options.items()),
)
def test_every_option_trains_and_comes_back_as_it_was_saved(options: dict[str, Any], tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    vae = VAE(**SMALL | options, reconstruction_weight=1000.0)
    x = waves(64, vae.config.input_shape)
    vae.start_from(x)
    vae.compile(2e-3)
    history = vae.train(x, batch_size=16, num_epochs=15).history["loss"]
    assert history[-1] < history[0]
    vae.save(tmp_path)
    loaded = VAE.load(tmp_path)
    assert loaded.config == vae.config
    latents = vae.encode(x)["mu"]
    np.testing.assert_array_equal(loaded.encode(x)["mu"], latents)
    np.testing.assert_array_equal(loaded.decode(latents), vae.decode(latents))
    assert vae.decode(latents).shape == x.shape


def test_linear_path_begins_at_principal_components() -> None:
    x = waves(200)
    model = Autoencoder(**SMALL, linear_path=True)
    model.start_from(x)
    flat = x.reshape(len(x), -1)
    pca = PCA(3).fit(flat)
    expected = pca.inverse_transform(pca.transform(flat)).clip(0, 1)
    reconstructions, latents = model.reconstruct(x)
    np.testing.assert_allclose(reconstructions.reshape(len(x), -1), expected, atol=1e-4)
    np.testing.assert_allclose(np.cov(latents.T, bias=True), np.eye(3), atol=1e-3)


def test_linear_vae_has_the_gradient_of_an_optimum() -> None:
    """At the optimum of the ELBO no small change of any weight lowers the loss, in closed form over the noise."""
    x = waves(300).reshape(300, -1).astype(np.float64)
    noise = 0.002
    linear = fit_linear_vae(x, 4, noise)
    centred = x - linear.mean

    def loss(encoder: np.ndarray, decoder: np.ndarray, log_variance: np.ndarray) -> float:
        mu, variance = centred @ encoder, np.exp(log_variance)
        squares = ((centred - mu @ decoder) ** 2).sum(1).mean() + (variance[:, None] * decoder**2).sum()
        kl = 0.5 * (variance + (mu**2).mean(0) - 1 - log_variance).sum()
        return squares / (2 * noise) + kl

    start = [np.float64(part) for part in (linear.encoder, linear.decoder, linear.log_variance)]
    best = loss(*start)
    rng = np.random.default_rng(1)
    for part in range(3):
        for _ in range(10):
            step = rng.normal(size=start[part].shape)
            for sign in (-1e-3, 1e-3):
                moved = [value + sign * step if index == part else value for index, value in enumerate(start)]
                assert loss(*moved) > best - 1e-4 * abs(best)


def test_linear_path_of_fewer_examples_than_latents_starts_with_what_there_is() -> None:
    vae = VAE(**SMALL | {"latent_space_dim": 8}, linear_path=True)
    x = waves(4)
    vae.start_from(x)
    latents = vae.encode(x)
    assert (latents["mu"].var(axis=0) > 0.01).sum() == 3  # four points span three dimensions
    assert np.isfinite(vae.decode(latents["z"])).all()
    np.testing.assert_allclose(vae.decode(latents["mu"]), x, atol=0.02)


def test_what_lies_outside_of_the_range_has_the_error_and_the_gradient_of_its_bound() -> None:
    layer = Bounded()
    made = tf.Variable([[-0.5, 0.5, 1.5, -0.5]])
    with tf.GradientTape() as tape:
        kept = layer(made, training=True)
        loss = tf.reduce_sum(tf.square(kept - [[0.0, 0.2, 0.9, 0.3]]))
    np.testing.assert_allclose(kept, [[0.0, 0.5, 1.0, 0.0]], atol=1e-7)
    np.testing.assert_allclose(tape.gradient(loss, made), [[0.0, 0.6, 0.2, -0.6]], atol=1e-6)
    np.testing.assert_array_equal(layer(made), [[0.0, 0.5, 1.0, 0.0]])


def test_log_variance_stays_in_its_range() -> None:
    vae = VAE(**SMALL, log_variance_range=(-0.01, 0.02))
    log_variance = vae.encode(100 * waves(20))["log_variance"]
    assert log_variance.min() >= np.float32(-0.01)
    assert log_variance.max() <= np.float32(0.02)
    assert log_variance.std() > 0


def test_free_bits_stop_the_gradient_of_dimensions_below_them() -> None:
    kl = np.array([[0.1, 2.0], [0.3, 1.0]], np.float32)
    np.testing.assert_allclose(with_free_bits(kl, 0.5), [0.5 + 2.0, 0.5 + 1.0])
    assert np.array(with_free_bits(kl, 0.5)).mean() == pytest.approx(np.maximum(kl.mean(axis=0), 0.5).sum())


def test_learned_decoder_variance_is_least_at_the_error_itself() -> None:
    """The likelihood of a Gaussian is highest at the variance that the errors have."""
    error, cells, weight = 0.004, 192, 1000.0
    scales = np.linspace(-6, 6, 24_001)
    learned, cost = learned_weight(scales, weight, cells)
    best = float(np.array(learned)[np.argmin(np.array(learned) * error + np.array(cost))])
    assert cells / (2 * best) == pytest.approx(error, rel=1e-3)


def test_padding_costs_nothing_where_valid_frames_are_given() -> None:
    target, output = np.random.default_rng(0).random((2, 2, 4, 6, 1), np.float32)
    square = (target.astype(np.float64) - output) ** 2
    expected = [square[0, :, :2].sum() / 24, square[1].sum() / 24]
    np.testing.assert_allclose(reconstruction_loss(target, output, np.array([2, 6])), expected, rtol=1e-5)


def test_kl_grows_to_its_whole_weight_and_validation_counts_it_whole() -> None:
    assert [TrainConfig(kl_warmup_epochs=3).kl_weight_at(epoch) for epoch in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert TrainConfig().kl_weight_at(0) == 1
    vae = VAE(**SMALL, reconstruction_weight=10.0)
    vae.model.kl_weight.assign(0.5)
    x = waves(8)
    outputs = vae.model(x)
    mse = np.array(reconstruction_loss(x, outputs["reconstruction"]))
    kl = np.array(kl_loss(outputs["mu"], outputs["log_variance"]))
    np.testing.assert_allclose(vae.model.sample_losses(x, outputs, training=True)[0], 10 * mse + 0.5 * kl, rtol=1e-5)
    np.testing.assert_allclose(vae.model.sample_losses(x, outputs)[0], 10 * mse + kl, rtol=1e-5)


def test_epochs_before_the_kl_has_its_whole_weight_are_never_the_best_for_long() -> None:
    train = TrainConfig(kl_warmup_epochs=2)
    bundle = Bundle(ModelConfig(), train, AudioConfig(), SpectrogramConfig(), ValueRange(-80, 0), (), {})

    def state(epoch: int) -> RunState:
        return RunState(bundle, epoch, 0, "", best="model", best_epoch=epoch, best_metrics={"loss": 5.0})

    assert state(2).is_bettered_by({"loss": 9.0})
    assert not state(3).is_bettered_by({"loss": 9.0})
    assert state(3).is_bettered_by({"loss": 4.0})
    validated = dataclasses.replace(state(1), best_metrics={"loss": 1.0, "val_loss": 5.0})
    assert not validated.is_bettered_by({"loss": 0.5, "val_loss": 6.0})

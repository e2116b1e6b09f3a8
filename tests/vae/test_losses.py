"""The losses against their definitions in numpy."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from vae_model.vae.losses import PerSampleLoss, combined_loss, kl_loss, reconstruction_loss

RNG = np.random.default_rng(0)


def test_reconstruction_loss_is_the_mean_square_over_cells() -> None:
    target, output = RNG.random((2, 5, 6, 4, 2), np.float32)
    expected = ((target.astype(np.float64) - output) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(reconstruction_loss(target, output), expected, rtol=1e-5)


def test_kl_loss_is_the_closed_form() -> None:
    mu, log_variance = RNG.normal(size=(2, 7, 3))
    variance = np.exp(log_variance)
    expected = 0.5 * (variance + mu**2 - 1 - np.log(variance)).sum(axis=1)
    np.testing.assert_allclose(kl_loss(mu, log_variance), expected, rtol=1e-5)
    assert (np.array(kl_loss(mu, log_variance)) > 0).all()


def test_kl_loss_is_zero_at_the_prior_and_half_the_squared_distance_off_it() -> None:
    zeros = np.zeros((1, 4), np.float32)
    assert float(kl_loss(zeros, zeros)[0]) == 0
    assert float(kl_loss(zeros + 2, zeros)[0]) == pytest.approx(4 * 2**2 / 2)


def test_kl_loss_is_what_sampling_estimates() -> None:
    mu, sigma = np.array([0.7, -1.2]), np.array([0.5, 1.6])
    z = mu + sigma * RNG.standard_normal((400_000, 2))
    log_ratio = -0.5 * ((z - mu) / sigma) ** 2 - np.log(sigma) + 0.5 * z**2
    estimate = log_ratio.sum(axis=1).mean()
    assert float(kl_loss(mu[None], 2 * np.log(sigma)[None])[0]) == pytest.approx(estimate, rel=0.01)


def test_combined_loss_weights_the_reconstruction_alone() -> None:
    np.testing.assert_allclose(combined_loss(np.array([0.5, 0.25]), np.array([3.0, 1.0]), 1000.0), [503.0, 251.0])


def test_losses_are_computed_in_float32_whatever_they_are_given() -> None:
    half = keras.ops.cast(RNG.random((2, 4, 4, 1)), "bfloat16")
    assert keras.backend.standardize_dtype(reconstruction_loss(half, half).dtype) == "float32"
    assert keras.backend.standardize_dtype(kl_loss(half[:, :, 0, 0], half[:, :, 0, 0]).dtype) == "float32"


def test_per_sample_loss_is_the_mean_of_the_batch() -> None:
    assert float(PerSampleLoss()(np.zeros(3), np.array([1.0, 2.0, 6.0]))) == pytest.approx(3.0)

"""`course` against the plain port of the reference: from the same weights, on the same batches, the same losses."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tests.helpers.plain_vae import PlainVAE
from vae_model.model_folder.config import to_dict
from vae_model.model_folder.presets import PRESETS
from vae_model.vae.layers import BatchNormalization
from vae_model.vae.losses import combined_loss, kl_loss, reconstruction_loss
from vae_model.vae.variational import VAE, build

SMALL: dict[str, Any] = {
    "shape": (32, 16, 1),
    "filters": (16, 8, 4),
    "kernels": (3, 3, 3),
    "strides": (2, 2, (2, 1)),
    "latent": 6,
    "weight": 1_000_000.0,
}


def course_like(**overrides: Any) -> VAE:
    """The preset `course` with the layers of SMALL."""
    settings = to_dict(PRESETS["course"].model) | {
        "input_shape": SMALL["shape"],
        "conv_filters": SMALL["filters"],
        "conv_kernels": SMALL["kernels"],
        "conv_strides": SMALL["strides"],
        "latent_space_dim": SMALL["latent"],
    }
    settings.pop("kind")
    return VAE(**settings | overrides)


def patterns(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.random((count, 8, 4, 1))
    return (coarse.repeat(4, axis=1).repeat(4, axis=2) * 0.8).astype(np.float32)


@pytest.mark.slow
def test_losses_agree_with_the_plain_port_step_by_step() -> None:
    keras.utils.set_random_seed(1)
    ours, plain = course_like(), PlainVAE(**SMALL)
    plain.encoder.set_weights(ours.encoder.get_weights())
    plain.decoder.set_weights(ours.decoder.get_weights())
    for dense, name in zip(plain.encoder.layers[-2:], ("mu", "log_variance"), strict=True):
        dense.set_weights(ours.encoder.get_layer(name).get_weights())
    rate = PRESETS["course"].train.learning_rate
    ours.compile(rate)
    plain.compile(optimizer=keras.optimizers.Adam(rate))
    x = patterns(96)
    first: dict[str, float] = {}
    for step in range(30):
        batch = x[step % 6 * 16 :][:16]
        ours.encoder.get_layer("z").seed_generator.state.assign(plain.noise.state)  # the same noise
        expected = plain.train_on_batch(batch, return_dict=True)
        ours.model.reset_metrics()
        found = ours.model.train_on_batch(batch, return_dict=True)
        for name in ("loss", "reconstruction_loss", "kl_loss"):
            assert found[name] == pytest.approx(expected[name], rel=2e-3), (step, name)
        first = expected if step == 0 else first
    assert found["loss"] < 0.95 * first["loss"]


def test_course_has_the_reference_s_layers_initialisers_and_constants() -> None:
    ours, plain = build(PRESETS["course"].model), PlainVAE()
    for mine, reference in ((ours.encoder, plain.encoder), (ours.decoder, plain.decoder)):
        ours_made = [layer for layer in mine.layers if layer.get_weights() and layer.name != "z"]
        theirs = [layer for layer in reference.layers if layer.get_weights()]
        assert len(ours_made) == len(theirs)
        for layer, other in zip(ours_made, theirs, strict=True):
            assert isinstance(layer, type(other))
            assert [w.shape for w in layer.get_weights()] == [w.shape for w in other.get_weights()]
            config, expected = layer.get_config(), other.get_config()
            different = {key for key in expected if config.get(key) != expected[key]}
            assert different <= {"name", "dtype"}, layer.name


def test_fused_batch_normalisation_is_keras_s_own() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, (4, 6, 5, 3)).astype(np.float32)
    ours, theirs = BatchNormalization(momentum=0.9), keras.layers.BatchNormalization(momentum=0.9)
    for _ in range(3):
        np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), atol=2e-5)
    for mine, reference in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-5)
    np.testing.assert_allclose(ours(x, training=False), theirs(x, training=False), atol=2e-5)


def test_gradient_of_the_combined_loss_is_its_finite_difference() -> None:
    rng = np.random.default_rng(0)
    x, epsilon = rng.random((3, 4, 5, 1), np.float32), rng.standard_normal((3, 2), np.float32)
    weights = [0.3 * rng.standard_normal(shape, np.float32) for shape in ((20, 2), (20, 2), (2, 20))]

    def loss(to_mu: Any, to_log_variance: Any, to_x: Any) -> Any:
        flat = ops.reshape(x, (3, 20))
        mu, log_variance = ops.matmul(flat, to_mu), ops.matmul(flat, to_log_variance)
        z = mu + ops.exp(0.5 * log_variance) * epsilon
        output = ops.reshape(ops.sigmoid(ops.matmul(z, to_x)), x.shape)
        return ops.mean(combined_loss(reconstruction_loss(x, output), kl_loss(mu, log_variance), 100.0))

    variables = [tf.Variable(weight) for weight in weights]
    with tf.GradientTape() as tape:
        value = loss(*variables)
    for part, gradient in enumerate(tape.gradient(value, variables)):
        direction = rng.standard_normal(weights[part].shape, np.float32)

        def at(step: float, part: int = part, direction: np.ndarray = direction) -> float:
            moved = [weight + step * direction if index == part else weight for index, weight in enumerate(weights)]
            return float(loss(*moved))

        h = 0.03  # five points: what is left out is of the order of h to the fourth
        difference = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
        assert float(np.sum(gradient * direction)) == pytest.approx(difference, rel=2e-3), part

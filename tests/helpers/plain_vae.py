"""The course's VAE as a plain port to Keras 3: arrays in memory, a custom train step, nothing of this package.

What `vae_model` is held against: by a test step by step, by a benchmark for speed.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

SHAPE = (256, 64, 1)
FILTERS, KERNELS, STRIDES = (512, 256, 128, 64, 32), (3, 3, 3, 3, 3), (2, 2, 2, 2, (2, 1))
LATENT = 128
WEIGHT = 1_000_000.0


class PlainVAE(keras.Model):
    """Conv2D -> ReLU -> BatchNormalization five times, two Dense, a sample, and the way back."""

    def __init__(
        self,
        shape: tuple[int, ...] = SHAPE,
        filters: tuple[int, ...] = FILTERS,
        kernels: tuple[int, ...] = KERNELS,
        strides: tuple[Any, ...] = STRIDES,
        latent: int = LATENT,
        weight: float = WEIGHT,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.noise = keras.random.SeedGenerator(1)
        image = keras.Input(shape)
        x = image
        for number, kernel, stride in zip(filters, kernels, strides, strict=True):
            x = layers.Conv2D(number, kernel, stride, "same")(x)
            x = layers.BatchNormalization()(layers.ReLU()(x))
        before = x.shape[1:]
        x = layers.Flatten()(x)
        self.encoder = keras.Model(image, [layers.Dense(latent)(x), layers.Dense(latent)(x)])
        code = keras.Input((latent,))
        x = layers.Reshape(before)(layers.Dense(int(np.prod(before)))(code))
        for number, kernel, stride in reversed(list(zip(filters, kernels, strides, strict=True))[1:]):
            x = layers.Conv2DTranspose(number, kernel, stride, "same")(x)
            x = layers.BatchNormalization()(layers.ReLU()(x))
        x = layers.Conv2DTranspose(shape[2], kernels[0], strides[0], "same")(x)
        self.decoder = keras.Model(code, layers.Activation("sigmoid")(x))
        self.built = True

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of Adam on weight * mean squared error + KL."""
        x = data[0] if isinstance(data, tuple) else data
        with tf.GradientTape() as tape:
            mu, log_variance = self.encoder(x, training=True)
            epsilon = keras.random.normal(tf.shape(mu), seed=self.noise)
            reconstruction = self.decoder(mu + tf.exp(log_variance / 2) * epsilon, training=True)
            error = tf.reduce_mean(tf.square(x - reconstruction), axis=[1, 2, 3])
            kl = -0.5 * tf.reduce_sum(1 + log_variance - tf.square(mu) - tf.exp(log_variance), axis=1)
            loss = tf.reduce_mean(self.weight * error + kl)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss, "reconstruction_loss": tf.reduce_mean(error), "kl_loss": tf.reduce_mean(kl)}

"""The parts that both models are built of: convolution blocks there and back, sampling, and the latent distribution."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from vae_model.config import ModelConfig

PACKAGE = "audio_vae"
"""Keras's registration package: the saved file names these classes by it, so safe mode finds them."""


def conv_stack(config: ModelConfig, x: Any) -> Any:
    """Conv2D -> ReLU -> BatchNormalization for each layer, then Flatten.

    x: (batch, n_bins, n_frames, n_channels). Returns (batch, features).
    """
    specs = zip(config.conv_filters, config.conv_kernels, config.stride_pairs, strict=True)
    for number, (filters, kernel, strides) in enumerate(specs, start=1):
        x = layers.Conv2D(filters, kernel, strides, padding="same", name=f"encoder_conv_layer_{number}")(x)
        x = layers.ReLU(name=f"encoder_relu_{number}")(x)
        x = layers.BatchNormalization(momentum=config.norm_momentum, name=f"encoder_bn_{number}")(x)
    return layers.Flatten(name="encoder_flatten")(x)


def conv_output_shape(config: ModelConfig) -> tuple[int, int, int]:
    """Shape (bins, frames, filters) of the last convolution: every stride divides its size, rounding up."""
    bins, frames, _ = config.input_shape
    for bins_stride, frames_stride in config.stride_pairs:
        bins, frames = -(-bins // bins_stride), -(-frames // frames_stride)
    return bins, frames, config.conv_filters[-1]


def build_decoder(config: ModelConfig) -> keras.Model:
    """The encoder mirrored: Dense -> Reshape -> Conv2DTranspose blocks down to layer 1 -> Conv2DTranspose -> sigmoid.

    A size that the strides do not divide comes out of the transposed convolutions a little too large (the encoder
    rounded up), and is cropped at its high end. Input (batch, latent_space_dim), output (batch, *input_shape) in
    [0, 1].
    """
    shape = conv_output_shape(config)
    latent = keras.Input((config.latent_space_dim,), name="decoder_input")
    x = layers.Dense(int(np.prod(shape)), name="decoder_dense")(latent)
    x = layers.Reshape(shape, name="decoder_reshape")(x)
    kernels, strides = config.conv_kernels, config.stride_pairs
    for index in reversed(range(1, len(kernels))):
        number = len(kernels) - index
        name = f"decoder_conv_transpose_layer_{number}"
        x = layers.Conv2DTranspose(config.conv_filters[index], kernels[index], strides[index], "same", name=name)(x)
        x = layers.ReLU(name=f"decoder_relu_{number}")(x)
        x = layers.BatchNormalization(momentum=config.norm_momentum, name=f"decoder_bn_{number}")(x)
    channels, name = config.input_shape[2], f"decoder_conv_transpose_layer_{len(kernels)}"
    x = layers.Conv2DTranspose(channels, kernels[0], strides[0], "same", name=name)(x)
    excess = [size - wanted for size, wanted in zip(x.shape[1:3], config.input_shape, strict=False)]
    if any(excess):
        x = layers.Cropping2D([(0, size) for size in excess], name="decoder_crop")(x)
    return keras.Model(latent, layers.Activation("sigmoid", dtype="float32", name="sigmoid_layer")(x), name="decoder")


@keras.saving.register_keras_serializable(package=PACKAGE)
class Sampling(layers.Layer):
    """z = mu + exp(log_variance / 2) * epsilon, epsilon ~ N(0, 1): Kingma and Welling, arXiv:1312.6114, section 2.4."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs: tuple[Any, Any]) -> Any:
        """inputs: mu and log_variance, each (batch, latent_space_dim). Returns z of that shape."""
        mu, log_variance = inputs
        epsilon = keras.random.normal(ops.shape(mu), dtype=mu.dtype, seed=self.seed_generator)
        return mu + ops.exp(0.5 * log_variance) * epsilon

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of mu."""
        return input_shape[0]

    # Keras does not save a SeedGenerator's place in its stream; a resumed run must not repeat its noise.
    def save_own_variables(self, store: Any) -> None:
        """Keep the place in the noise stream."""
        store["seed_state"] = np.array(self.seed_generator.state)

    def load_own_variables(self, store: Any) -> None:
        """Go on where the saved noise stream stood."""
        self.seed_generator.state.assign(store["seed_state"])


@keras.saving.register_keras_serializable(package=PACKAGE)
class LatentDistribution(layers.Layer):
    """The Gaussian that new latents are drawn from: standard normal until it is fitted to a data set's latents.

    What a decoder has seen are the latents of its data, not N(0, 1): an autoencoder's lie anywhere, and a VAE's are
    correlated where its KL is cheap. Weights, not trained: mean (dim,) and factor (dim, dim), factor @ factor.T the
    covariance.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.dim = dim
        self.mean = self.add_weight(shape=(dim,), initializer="zeros", trainable=False, name="mean")
        self.factor = self.add_weight(shape=(dim, dim), initializer="identity", trainable=False, name="factor")
        self.built = True

    def fit(self, means: np.ndarray, variances: np.ndarray | None = None) -> None:
        """Match the first two moments of the mixture of N(means[i], variances[i]), each (count, dim)."""
        covariance = np.cov(means, rowvar=False, bias=True).reshape(self.dim, self.dim)
        if variances is not None:
            covariance = covariance + np.diag(variances.mean(axis=0))
        eigenvalues, eigenvectors = np.linalg.eigh(covariance)
        self.mean.assign(means.mean(axis=0))
        self.factor.assign(eigenvectors * np.sqrt(np.maximum(eigenvalues, 0.0)))

    def sample(self, count: int, seed: int | None = None) -> np.ndarray:
        """Latents float32 (count, dim); the same for the same seed."""
        noise = np.random.default_rng(seed).standard_normal((count, self.dim)).astype(np.float32)
        latents: np.ndarray = np.array(self.mean) + noise @ np.array(self.factor).T
        return latents

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "dim": self.dim}

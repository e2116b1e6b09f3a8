"""The parts that both models are built of: convolution blocks there and back, the linear path, sampling, latents."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from vae_model.model_folder.config import FIRST, ModelConfig
from vae_model.vae.sizes import START_KERNEL, decoder_start_shape

PACKAGE = "audio_vae"
"""Keras's registration package: the saved file names these classes by it, so safe mode finds them."""
_GROUP_CHANNELS = 8


def conv_stack(config: ModelConfig, x: Any) -> Any:
    """Conv2D -> ReLU -> normalisation for each layer, residual blocks if there are any, then Flatten.

    x: (batch, n_bins, n_frames, n_channels). Returns (batch, features).
    """
    specs = zip(config.conv_filters, config.conv_kernels, config.stride_pairs, strict=True)
    for number, (filters, kernel, strides) in enumerate(specs, start=1):
        x = layers.Conv2D(filters, kernel, strides, padding="same", name=f"encoder_conv_layer_{number}")(x)
        x = layers.ReLU(name=f"encoder_relu_{number}")(x)
        x = _normalised(config, x, f"encoder_bn_{number}")
        x = _residual_blocks(config, x, f"encoder_residual_{number}")
    return layers.Flatten(name="encoder_flatten")(x)


def build_decoder(config: ModelConfig) -> keras.Model:
    """The encoder mirrored: Dense -> Reshape -> transposed convolutions down to layer 1, the last one to the channels.

    With decoder_start "first" all but the last are one convolution, of an image of the size of layer 1's output.
    A sigmoid ends it; with a linear path its output is added instead, and the sum kept in [0, 1]. A size that the
    strides do not divide comes out of the transposed convolutions a little too large (the encoder rounded up), and is
    cropped at its high end. Input (batch, latent_space_dim), output (batch, *input_shape) in [0, 1].
    """
    shape = decoder_start_shape(config)
    latent = keras.Input((config.latent_space_dim,), name="decoder_input")
    image = _linear_image(config, latent) if config.linear_path else None
    x = layers.Dense(int(np.prod(shape)), name="decoder_dense")(latent)
    x = layers.Reshape(shape, name="decoder_reshape")(x)
    x = _at_once(config, x, image) if config.decoder_start == FIRST else _mirrored(config, x, image)
    x = _upsampled(config, x, 0, config.input_shape[2], f"decoder_conv_transpose_layer_{len(config.conv_kernels)}")
    excess = [size - wanted for size, wanted in zip(x.shape[1:3], config.input_shape, strict=False)]
    if any(excess):
        x = layers.Cropping2D([(0, size) for size in excess], name="decoder_crop")(x)
    if image is not None:
        x = layers.Add(dtype="float32", name="decoder_sum")([image, x])
        return keras.Model(latent, Bounded(dtype="float32", name="bounded")(x), name="decoder")
    return keras.Model(latent, layers.Activation("sigmoid", dtype="float32", name="sigmoid_layer")(x), name="decoder")


def _mirrored(config: ModelConfig, x: Any, image: Any) -> Any:
    """x enlarged layer by layer to the size of the encoder's first convolution."""
    for index in reversed(range(1, len(config.conv_kernels))):
        number = len(config.conv_kernels) - index
        x = _upsampled(config, x, index, config.conv_filters[index], f"decoder_conv_transpose_layer_{number}")
        x = layers.ReLU(name=f"decoder_relu_{number}")(x)
        x = _normalised(config, x, f"decoder_bn_{number}")
        if image is not None and index == 1:
            x = _refined(config, x, image)
        x = _residual_blocks(config, x, f"decoder_residual_{number}")
    return x


def _at_once(config: ModelConfig, x: Any, image: Any) -> Any:
    """x, which has the size of the encoder's first convolution, with its filters."""
    x = layers.Conv2D(config.conv_filters[0], START_KERNEL, padding="same", name="decoder_conv_layer_1")(x)
    x = _normalised(config, x, "decoder_bn_1")
    x = layers.ReLU(name="decoder_relu_1")(x) if image is None else _refined(config, x, image)
    return _residual_blocks(config, x, "decoder_residual_1")


def fixed_linear(units: int, name: str) -> layers.Dense:
    """A Dense of a linear path: 0 until it is fitted to the data, and not trained, which would undo it.

    Adam moves every weight by about the learning rate at each step, and thousands of cells add that up.
    """
    return layers.Dense(units, kernel_initializer="zeros", trainable=False, dtype="float32", name=name)


def _linear_image(config: ModelConfig, latent: Any) -> Any:
    """A spectrogram (batch, *input_shape) that is linear in the latent (batch, latent_space_dim)."""
    image = fixed_linear(int(np.prod(config.input_shape)), "decoder_linear")(latent)
    return layers.Reshape(config.input_shape, dtype="float32", name="decoder_linear_image")(image)


def _refined(config: ModelConfig, x: Any, image: Any) -> Any:
    """x plus features of the linear image at its size, and a residual block on them: what that image lacks."""
    filters, kernel = x.shape[-1], config.conv_kernels[0]
    seen = layers.Conv2D(filters, kernel, config.stride_pairs[0], "same", name="decoder_image_conv")(image)
    excess = [have - seen.shape[axis] for axis, have in enumerate(x.shape[1:3], start=1)]
    if any(excess):
        x = layers.Cropping2D([(0, size) for size in excess], name="decoder_image_crop")(x)
    x = layers.Add(name="decoder_image_sum")([x, seen])
    x = _residual_block(x, "decoder_image_residual")
    return layers.ReLU(name="decoder_image_relu")(x)


def output_layer(decoder: keras.Model) -> layers.Layer:
    """The convolution that makes the decoder's output."""
    convolutions = (layers.Conv2DTranspose, layers.Conv2D)
    return next(layer for layer in reversed(decoder.layers) if isinstance(layer, convolutions))


def _normalised(config: ModelConfig, x: Any, name: str) -> Any:
    """x (batch, bins, frames, filters) through the normalisation that is chosen."""
    if config.norm == "batch":
        return BatchNormalization(momentum=config.norm_momentum, name=name)(x)
    if config.norm == "group":
        filters = x.shape[-1]
        groups = filters // _GROUP_CHANNELS if filters % _GROUP_CHANNELS == 0 else 1
        return layers.GroupNormalization(groups, name=name)(x)
    return x


def _residual_blocks(config: ModelConfig, x: Any, name: str) -> Any:
    """So many residual blocks, one after the other."""
    for number in range(1, config.residual_blocks + 1):
        x = _residual_block(x, f"{name}_{number}")
    return x


def _residual_block(x: Any, name: str) -> Any:
    """x + Conv2D(ReLU(Conv2D(ReLU(x)))): He et al., arXiv:1603.05027, without their normalisation."""
    y = x
    for part in (1, 2):
        y = layers.ReLU(name=f"{name}_relu_{part}")(y)
        y = layers.Conv2D(x.shape[-1], 3, padding="same", name=f"{name}_conv_{part}")(y)
    return layers.Add(name=f"{name}_sum")([x, y])


def _upsampled(config: ModelConfig, x: Any, index: int, filters: int, name: str) -> Any:
    """x enlarged by the stride of layer `index`: one transposed convolution, or nearest neighbours and a convolution.

    The latter cannot make a checkerboard: Odena et al., distill.pub/2016/deconv-checkerboard.
    """
    kernel, stride = config.conv_kernels[index], config.stride_pairs[index]
    # what a linear path leaves to the convolutions is nothing at first
    first = "zeros" if config.linear_path and index == 0 else "glorot_uniform"
    dtype = "float32" if config.linear_path and index == 0 else None
    if config.upsampling == "transpose":
        transposed = layers.Conv2DTranspose(
            filters, kernel, stride, "same", kernel_initializer=first, dtype=dtype, name=name
        )
        return transposed(x)
    x = layers.UpSampling2D(stride, name=f"{name}_resize")(x)
    return layers.Conv2D(filters, kernel, padding="same", kernel_initializer=first, dtype=dtype, name=name)(x)


@keras.saving.register_keras_serializable(package=PACKAGE)
class BatchNormalization(layers.BatchNormalization):
    """Keras's own, of images, with TensorFlow's fused kernel while training: the same numbers in fewer passes."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """inputs: (batch, bins, frames, filters)."""
        if not (training and self.trainable and keras.backend.backend() == "tensorflow"):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        scale, offset = ops.cast(self.gamma, "float32"), ops.cast(self.beta, "float32")
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(inputs, scale, offset, epsilon=self.epsilon)
        count = ops.cast(ops.size(inputs) // ops.shape(inputs)[-1], "float32")
        variance = variance * (count - 1.0) / count  # the kernel's is the unbiased one, Keras keeps the other
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + ops.cast(now, moving.dtype) * (1.0 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable(package=PACKAGE)
class Bounded(layers.Layer):
    """Values kept in [0, 1]; while training, with the gradient of values that may go anywhere.

    So a cell on the floor costs nothing however far below 0 it comes out, and one that should not be there is still
    pulled up: Bengio et al., arXiv:1308.3432, the straight-through estimator.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """inputs of any shape."""
        kept = ops.clip(inputs, 0.0, 1.0)
        return inputs + ops.stop_gradient(kept - inputs) if training else kept


@keras.saving.register_keras_serializable(package=PACKAGE)
class Limited(layers.Layer):
    """Values kept in [low, high]: the log-variance, whose exponential otherwise overflows or leaves no gradient."""

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = low, high

    def call(self, inputs: Any) -> Any:
        """inputs of any shape."""
        return ops.clip(inputs, self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "low": self.low, "high": self.high}


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

"""The losses of the models, each one number a sample, in `keras.ops` alone."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def reconstruction_loss(target: Any, reconstruction: Any, valid_frames: Any = None) -> Any:
    """Mean squared error over bins, frames and channels.

    target, reconstruction: (batch, n_bins, n_frames, n_channels). valid_frames: (batch,), frames before the padding;
    those after it then count as no error. Returns float32 (batch,).
    """
    square = ops.square(ops.cast(target, "float32") - ops.cast(reconstruction, "float32"))
    if valid_frames is not None:
        frames = ops.arange(ops.shape(target)[2], dtype="int32")
        valid = frames[None, :] < ops.cast(ops.reshape(valid_frames, (-1, 1)), "int32")
        square = square * ops.cast(valid, "float32")[:, None, :, None]
    return ops.mean(square, axis=(1, 2, 3))


def kl_per_dimension(mu: Any, log_variance: Any) -> Any:
    """Kullback-Leibler divergence of N(mu, exp(log_variance)) from N(0, 1), in nats, of each latent dimension.

    -1/2 (1 + log sigma^2 - mu^2 - sigma^2): Kingma and Welling, arXiv:1312.6114, appendix B.
    mu, log_variance: (batch, latent_space_dim). Returns float32 of that shape.
    """
    mu, log_variance = ops.cast(mu, "float32"), ops.cast(log_variance, "float32")
    return -0.5 * (1.0 + log_variance - ops.square(mu) - ops.exp(log_variance))


def kl_loss(mu: Any, log_variance: Any) -> Any:
    """The divergence summed over the latent, in nats: float32 (batch,)."""
    return ops.sum(kl_per_dimension(mu, log_variance), axis=1)


def with_free_bits(kl: Any, free_bits: float) -> Any:
    """The sum over dimensions, where one whose mean over the batch is below `free_bits` nats costs that and no less.

    So nothing pushes a dimension further to the prior: Kingma et al., arXiv:1606.04934, appendix C.8.
    kl: (batch, latent_space_dim) of `kl_per_dimension`. Returns (batch,).
    """
    spared = ops.mean(kl, axis=0, keepdims=True) < free_bits
    return ops.sum(ops.where(spared, free_bits, kl), axis=1)


def combined_loss(reconstruction: Any, kl: Any, reconstruction_weight: Any) -> Any:
    """reconstruction_weight * reconstruction + kl, each (batch,).

    The weight a says how exact a decoder is assumed: it is the negative log-likelihood under Gaussian noise of
    variance n_cells / (2 a) a cell.
    """
    return reconstruction_weight * reconstruction + kl


def learned_weight(log_scale: Any, reconstruction_weight: float, n_cells: int) -> tuple[Any, Any]:
    """(the weight exp(-log_scale) * reconstruction_weight, what it costs), for a decoder variance that is learned.

    The variance is n_cells / (2 weight), and half its logarithm a cell belongs to the likelihood, else it would grow
    for ever: Rybkin et al., arXiv:2006.13202, section 3. The cost is 0 where log_scale is 0.
    """
    return ops.exp(-log_scale) * reconstruction_weight, 0.5 * n_cells * log_scale


class PerSampleLoss(keras.losses.Loss):
    """The mean of losses that are computed already, one a sample.

    A plain `ops.mean` would be counted once a replica under `tf.distribute`; a `Loss` is scaled by Keras.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """y_pred: (batch,), the losses. y_true is ignored."""
        return y_pred

"""The losses of the models, each one number a sample, in `keras.ops` alone."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def reconstruction_loss(target: Any, reconstruction: Any) -> Any:
    """Mean squared error over bins, frames and channels.

    target, reconstruction: (batch, n_bins, n_frames, n_channels). Returns float32 (batch,).
    """
    difference = ops.cast(target, "float32") - ops.cast(reconstruction, "float32")
    return ops.mean(ops.square(difference), axis=(1, 2, 3))


def kl_loss(mu: Any, log_variance: Any) -> Any:
    """Kullback-Leibler divergence of N(mu, exp(log_variance)) from N(0, 1), in nats, summed over the latent.

    -1/2 sum(1 + log sigma^2 - mu^2 - sigma^2) over axis 1: Kingma and Welling, arXiv:1312.6114, appendix B.
    mu, log_variance: (batch, latent_space_dim). Returns float32 (batch,).
    """
    mu, log_variance = ops.cast(mu, "float32"), ops.cast(log_variance, "float32")
    return -0.5 * ops.sum(1.0 + log_variance - ops.square(mu) - ops.exp(log_variance), axis=1)


def combined_loss(reconstruction: Any, kl: Any, reconstruction_weight: float) -> Any:
    """reconstruction_weight * reconstruction + kl, each (batch,).

    The weight a says how exact a decoder is assumed: it is the negative log-likelihood under Gaussian noise of
    variance n_cells / (2 a) a cell.
    """
    return reconstruction_weight * reconstruction + kl


class PerSampleLoss(keras.losses.Loss):
    """The mean of losses that are computed already, one a sample.

    A plain `ops.mean` would be counted once a replica under `tf.distribute`; a `Loss` is scaled by Keras.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """y_pred: (batch,), the losses. y_true is ignored."""
        return y_pred

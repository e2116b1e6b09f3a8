"""Where a linear path begins: at the best linear VAE of the data, which is probabilistic PCA.

Why. Most of what can be known of a spectrogram from a few numbers is linear in its cells, and gradient descent takes
epochs to find it, less well than linear algebra does at once. So a model with a linear path is the sum of a linear VAE,
set here and never trained, and convolutions whose last weights begin at 0: before the first step it is as good as PCA,
and all that training does is to do better.

What the best linear VAE is. The loss is reconstruction_weight * MSE + KL, which is the ELBO of a Gaussian decoder with
variance s = n_cells / (2 reconstruction_weight) a cell. Its optimum for a linear encoder and decoder is probabilistic
PCA (Lucas et al., arXiv:1911.02469). With eigenvalues l_i and eigenvectors u_i of the cells' covariance, for l_i > s:

    decoder_i = sqrt(l_i - s) u_i      encoder_i = sqrt(l_i - s) / l_i u_i      posterior variance_i = s / l_i

A direction that varies less than the decoder's noise is not worth its KL: its latent stays at the prior, rightly. The
means of the others vary by (l_i - s) / l_i, and with s / l_i around each of them the latents of all sounds together
have variance 1: new sounds drawn from N(0, I) are like those of the data from the beginning.

Constants. Five power iterations and ten directions too many leave the error of the randomised decomposition (Halko et
al., arXiv:0909.4061) far under the noise; its seed is fixed, so that a training's beginning is a function of its data.
Singular values under 1e-4 of the largest are float32's rounding of rows that span no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from vae_model.model_folder.config import ModelConfig

_POWER_ITERATIONS, _OVERSAMPLED = 5, 10


@dataclass(frozen=True)
class LinearVAE:
    """mu = (x - mean) @ encoder, reconstruction = mu @ decoder + mean, for a flat x (batch, n_cells).

    encoder: (n_cells, dim). decoder: (dim, n_cells). mean: (n_cells,). log_variance: (dim,), of every posterior.
    """

    mean: NDArray[np.float32]
    encoder: NDArray[np.float32]
    decoder: NDArray[np.float32]
    log_variance: NDArray[np.float32]


def fit_linear_vae(
    examples: NDArray[np.float32], dim: int, noise_variance: float, counts: NDArray[np.float32] | None = None
) -> LinearVAE:
    """The linear VAE of least loss on examples (count, ...), for a decoder of this noise variance a cell.

    Tipping and Bishop, Probabilistic principal component analysis (1999), equations 15 and 9; that it is the ELBO's
    optimum: Lucas et al., section 4. noise_variance 0 gives PCA with latents of variance 1. counts: (count,), what each
    example counts; their scale means nothing.
    """
    flat = np.asarray(examples, np.float32).reshape(len(examples), -1)
    parts = np.ones(len(flat), np.float32) if counts is None else (counts / counts.mean()).astype(np.float32)
    mean = flat.mean(axis=0) if counts is None else parts @ flat / np.float32(len(flat))
    values, vectors = _principal(flat, mean, dim, np.sqrt(parts)[:, np.newaxis])
    kept = np.sqrt(np.maximum(values - noise_variance, 0.0))
    encoder = np.zeros((flat.shape[1], dim), np.float32)
    decoder = np.zeros((dim, flat.shape[1]), np.float32)
    log_variance = np.zeros(dim, np.float32)
    alive = np.flatnonzero(kept > 0)
    decoder[alive] = (kept[alive] * vectors[:, alive]).T
    encoder[:, alive] = vectors[:, alive] * (kept[alive] / values[alive])
    if noise_variance > 0:
        log_variance[alive] = np.log(noise_variance / values[alive])
    return LinearVAE(mean, encoder, decoder, log_variance)


def assign(linear: LinearVAE, encoder: keras.Model, decoder: keras.Model) -> None:
    """Give the layers of a model's linear path these weights."""
    first, last = encoder.get_layer("encoder_linear"), decoder.get_layer("decoder_linear")
    first.kernel.assign(linear.encoder)
    first.bias.assign(-linear.mean @ linear.encoder)
    last.kernel.assign(linear.decoder)
    last.bias.assign(linear.mean)
    names = [layer.name for layer in encoder.layers]
    if "log_variance" in names:
        encoder.get_layer("log_variance").bias.assign(linear.log_variance)


def noise_variance(config: ModelConfig) -> float:
    """The variance a cell of the Gaussian decoder that a VAE's reconstruction_weight assumes: n_cells / (2 weight)."""
    if not config.is_vae:
        return 0.0
    return float(np.prod(config.input_shape)) / (2 * config.reconstruction_weight)


def _principal(
    rows: NDArray[np.float32], mean: NDArray[np.float32], dim: int, roots: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The `dim` largest eigenvalues of the covariance of rows (count, n_cells), and their vectors (n_cells, dim).

    roots: (count, 1), the square roots of what each row counts. Where the rows span less, zeros are at the end. The
    rows are centred in the products alone: a copy of them would be hundreds of MB.
    """
    values, vectors = np.zeros(dim, np.float32), np.zeros((rows.shape[1], dim), np.float32)
    rank = min(dim, *rows.shape)
    rng = np.random.default_rng(0)
    base = rng.standard_normal((rows.shape[1], min(rank + _OVERSAMPLED, *rows.shape)), dtype=np.float32)
    for _ in range(_POWER_ITERATIONS):
        scores, _ = np.linalg.qr(roots * (rows @ base - mean @ base))
        scores *= roots
        base, _ = np.linalg.qr(rows.T @ scores - np.outer(mean, scores.sum(axis=0)))
    _, singular, right = np.linalg.svd(roots * (rows @ base - mean @ base), full_matrices=False)
    singular, found = singular[:rank], base @ right[:rank].T
    alive = np.flatnonzero(singular > 1e-4 * max(singular[0], 1e-6))
    values[alive] = singular[alive] ** 2 / len(rows)
    vectors[:, alive] = found[:, alive]
    return values, vectors

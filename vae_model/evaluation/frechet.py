"""The Fréchet distance between two sets of sounds, on statistics of their log-mel spectra."""

from __future__ import annotations

import warnings

import numpy as np
from librosa.filters import mel as mel_filters
from numpy.typing import NDArray

from vae_model.evaluation.metrics import Moments

MEL_BANDS = 32
_MIN_POWER = 1e-20  # under the sum of any records' bins in a band: only keeps the logarithm finite


class LogMelStatistics:
    """Of each spectrogram the mean and the standard deviation over its frames of each log-mel band, in dB.

    sample_rate in Hz, frame_size in samples: of the spectrograms. Bands that no bin falls into are left out. Of another
    feature than the log-spectrogram the bands are its own n_rows. n_channels: how many are levels, None: all.
    """

    def __init__(
        self, sample_rate: int, frame_size: int, n_rows: int | None = None, n_channels: int | None = None
    ) -> None:
        self._n_channels = n_channels
        if n_rows is not None:
            self._filters = np.eye(n_rows)
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # librosa's, of empty bands
            filters = mel_filters(sr=sample_rate, n_fft=frame_size, n_mels=MEL_BANDS)
        self._filters = filters[filters.any(axis=1), :-1]  # the Nyquist bin is in no record

    @property
    def dim(self) -> int:
        """Numbers a spectrogram."""
        return 2 * len(self._filters)

    def of(self, in_db: NDArray[np.float32]) -> NDArray[np.float64]:
        """in_db: (count, n_bins, n_frames, n_channels) in dB. Channels are averaged in power. Returns (count, dim)."""
        power = np.power(10.0, in_db[..., : self._n_channels].astype(np.float64) / 10).mean(axis=-1)
        mel = 10 * np.log10(np.maximum(self._filters @ power, _MIN_POWER))  # (count, bands, n_frames)
        return np.concatenate([mel.mean(axis=2), mel.std(axis=2)], axis=1)


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared Fréchet distance of the Gaussians with these moments, in the square of the vectors' unit.

    |mean_a - mean_b|² + tr(A + B - 2 (A B)^(1/2)): Dowson and Landau, doi:10.1016/0047-259X(82)90077-X. The trace of
    the root is the sum of the singular values of A^(1/2) B^(1/2), which exist for any covariances, also of fewer
    examples than dimensions.
    """
    difference = a.mean - b.mean
    shared = np.linalg.svd(_root(a.covariance) @ _root(b.covariance), compute_uv=False).sum()
    distance = difference @ difference + np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared
    return max(float(distance), 0.0)


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T

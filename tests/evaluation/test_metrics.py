"""Errors, KL, active units, moments, Fréchet distance. Known answers: closed forms, numpy, scipy, librosa."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.linalg
from scipy import integrate, stats

from vae_model.evaluation.frechet import MEL_BANDS, LogMelStatistics, frechet_distance
from vae_model.evaluation.metrics import Batch, ErrorSums, Moments, PosteriorSums, kl_per_dimension
from vae_model.model_folder.value_range import ValueRange


def batch_of(values: np.ndarray, low_db: float = -60.0, span_db: float = 80.0) -> Batch:
    """Records that all have the same decibels, their floor where 0 is."""
    return Batch(values.astype(np.float32), ValueRange(low_db, low_db + span_db), np.full(len(values), low_db))


def test_errors_of_a_constant_offset_have_closed_forms() -> None:
    values = np.zeros((3, 4, 5, 1), np.float32)
    values[:, :2] = 0.5
    sums = ErrorSums()
    sums.add(batch_of(values), values + 0.1)
    errors = sums.result()
    assert errors.num_examples == 3
    assert errors.mse == pytest.approx(0.01, rel=1e-5)
    assert errors.rmse_db == pytest.approx(8.0, rel=1e-5)
    assert errors.rmse_above_floor_db == pytest.approx(8.0, rel=1e-5)
    assert errors.log_spectral_distance_db == pytest.approx(8.0, rel=1e-5)


def test_errors_over_uneven_batches_are_those_of_all_at_once() -> None:
    rng = np.random.default_rng(0)
    original, answer = rng.uniform(0, 1, (2, 11, 6, 7, 2)).astype(np.float32)
    original[original < 0.4] = 0
    low, span = rng.uniform(-90, -60, 11), rng.uniform(50, 90, 11)
    sums = ErrorSums()
    for part in (slice(0, 1), slice(1, 8), slice(8, 11)):
        own = ValueRange.of_each(low[part], (low + span)[part])
        sums.add(Batch(original[part], own, low[part]), answer[part])
    errors = sums.result()
    squares_db = ((original - answer).astype(np.float64) * span[:, None, None, None]) ** 2
    assert errors.mse == pytest.approx(np.mean((original - answer) ** 2), rel=1e-5)
    assert errors.rmse_db == pytest.approx(np.sqrt(squares_db.mean()), rel=1e-5)
    assert errors.rmse_above_floor_db == pytest.approx(np.sqrt(squares_db[original > 0].mean()), rel=1e-5)
    assert errors.log_spectral_distance_db == pytest.approx(np.sqrt(squares_db.mean(axis=1)).mean(), rel=1e-5)


def test_a_floor_inside_the_range_is_told_from_what_is_above_it() -> None:
    # 0 is -100 dB and 1 is 0 dB, but this record's own floor is at -80 dB: 0.2
    values = np.array([0.2, 0.2, 0.2, 0.6], np.float32).reshape(1, 4, 1, 1)
    sums = ErrorSums()
    sums.add(Batch(values, ValueRange(-100.0, 0.0), np.array([-80.0])), np.full_like(values, 0.5))
    assert sums.result().rmse_above_floor_db == pytest.approx(10.0, rel=1e-4)
    silent = ErrorSums()
    silent.add(batch_of(np.zeros((2, 4, 5, 1))), np.zeros((2, 4, 5, 1), np.float32))
    assert silent.result().rmse_above_floor_db is None


@pytest.mark.parametrize(("mu", "deviation"), [(0.0, 1.0), (1.5, 0.3), (-3.0, 2.0)])
def test_kl_is_the_integral(mu: float, deviation: float) -> None:
    posterior = stats.norm(mu, deviation)
    expected, _ = integrate.quad(lambda z: posterior.pdf(z) * (posterior.logpdf(z) - stats.norm.logpdf(z)), -20, 20)
    kl = kl_per_dimension(np.array([[mu]]), np.array([[2 * np.log(deviation)]]))
    assert kl[0, 0] == pytest.approx(expected, abs=1e-6)


def test_posterior_counts_the_dimensions_that_vary() -> None:
    rng = np.random.default_rng(1)
    deviations = np.array([1.0, 0.2, 0.09, 0.0])  # variances 1, 0.04, 0.0081, 0; active above 0.01
    mu = 5.0 + stats.zscore(rng.normal(size=(1000, 4))) * deviations
    sums = PosteriorSums(4)
    for part in (mu[:7], mu[7:500], mu[500:]):
        sums.add(part, np.zeros_like(part))
    posterior = sums.result()
    assert posterior.active_units == 2
    np.testing.assert_allclose(posterior.variance_of_mu, deviations**2, atol=1e-9)
    np.testing.assert_allclose(posterior.kl_per_dimension, 0.5 * (25 + deviations**2), rtol=1e-6)
    assert posterior.kl == pytest.approx(sum(0.5 * (25 + deviations**2)))


def test_moments_in_batches_are_numpys_even_far_from_zero() -> None:
    rng = np.random.default_rng(2)
    vectors = 1e6 + rng.normal(size=(100, 5)) @ rng.normal(size=(5, 5))
    moments = Moments(5)
    for part in np.split(vectors, [1, 30, 31]):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, vectors.mean(axis=0))
    np.testing.assert_allclose(moments.covariance, np.cov(vectors, rowvar=False, bias=True), rtol=1e-6)


def moments_of(vectors: np.ndarray) -> Moments:
    moments = Moments(vectors.shape[1])
    moments.add(vectors)
    return moments


def test_frechet_distance_is_the_formula_with_scipys_matrix_root() -> None:
    rng = np.random.default_rng(3)
    a = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    b = 1 + rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6))
    first, second = (np.cov(each, rowvar=False, bias=True) for each in (a, b))
    root = scipy.linalg.sqrtm(first @ second).real
    expected = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2) + np.trace(first + second - 2 * root)
    assert frechet_distance(moments_of(a), moments_of(b)) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(moments_of(a), moments_of(a)) == pytest.approx(0, abs=1e-8)


def test_frechet_distance_in_one_dimension_and_of_few_examples() -> None:
    a, b = np.array([[0.0], [2.0]]), np.array([[7.0], [13.0]])  # means 1 and 10, deviations 1 and 3
    assert frechet_distance(moments_of(a), moments_of(b)) == pytest.approx(81 + 4)
    few = np.random.default_rng(4).normal(size=(3, 20))
    assert frechet_distance(moments_of(few), moments_of(few + 2)) == pytest.approx(20 * 4)


def test_log_mel_statistics_are_librosas() -> None:
    rng = np.random.default_rng(5)
    power = rng.uniform(0, 1, (256, 20))
    in_db = (10 * np.log10(power)).astype(np.float32)[None, :, :, None]
    with_nyquist = np.concatenate([power, np.zeros((1, 20))])
    mel = librosa.feature.melspectrogram(S=with_nyquist, sr=16000, n_fft=512, n_mels=MEL_BANDS)
    expected = np.concatenate([each(10 * np.log10(mel), axis=1) for each in (np.mean, np.std)])
    statistics = LogMelStatistics(16000, 512)
    assert statistics.dim == 2 * MEL_BANDS
    np.testing.assert_allclose(statistics.of(in_db)[0], expected, rtol=1e-4)
    twice = np.concatenate([in_db, in_db], axis=3)
    np.testing.assert_allclose(statistics.of(twice)[0], expected, rtol=1e-4)


def test_bands_without_a_bin_are_left_out() -> None:
    statistics = LogMelStatistics(4000, 32)
    assert 0 < statistics.dim < 2 * MEL_BANDS
    silence = np.full((1, 16, 10, 1), -100, np.float32)
    assert np.isfinite(statistics.of(silence)).all()

"""Predictors that learn nothing deep, and probes. Known answers: numpy's SVD, closed forms, separable data."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from vae_model.evaluation import probes
from vae_model.evaluation.baselines import LabelMeans, PrincipalComponents
from vae_model.evaluation.metrics import Batch
from vae_model.evaluation.probes import linear_probe
from vae_model.model_folder.value_range import ValueRange


def batch_of(values: np.ndarray, **labels: list[str]) -> Batch:
    names = {name: np.array(each) for name, each in labels.items()}
    return Batch(values.astype(np.float32), ValueRange(-80.0, 0.0), np.zeros(len(values)), names)


def test_means_by_all_labels_together() -> None:
    values = np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1)
    training = batch_of(values, digit=["0", "0", "1", "1", "1", "1"], speaker=["a", "a", "a", "b", "b", "b"])
    means = LabelMeans(training)
    tried = batch_of(values[:4], digit=["0", "1", "1", "0"], speaker=["a", "a", "b", "b"])
    assert means.predict_by_label(tried).ravel().tolist() == [0.5, 2.0, 4.0, 2.5]  # the last pair is not in training
    assert means.predict_mean(tried).ravel().tolist() == [2.5] * 4
    assert len(means.group_means) == 3


@pytest.mark.parametrize(("count", "shape", "sizes"), [(30, (4, 5, 1), [8, 20]), (600, (25, 24, 1), [8, 32])])
def test_components_are_the_svd_s(count: int, shape: tuple[int, int, int], sizes: list[int]) -> None:
    rng = np.random.default_rng(count)
    scale = 1 / np.arange(1, 601) ** 1.5
    mixing = rng.normal(size=(600, int(np.prod(shape)))) * scale[:, None]
    training = (rng.normal(size=(count, 600)) @ mixing).reshape(count, *shape).astype(np.float32)
    tried = (rng.normal(size=(9, 600)) @ mixing).reshape(9, *shape).astype(np.float32)
    components = PrincipalComponents(training, 32)
    assert components.sizes((8, 32)) == sizes
    flat, mean = tried.reshape(9, -1), training.reshape(count, -1).mean(axis=0)
    _, _, right = np.linalg.svd(training.reshape(count, -1) - mean, full_matrices=False)
    for size in sizes:
        expected = mean + (flat - mean) @ right[:size].T @ right[:size]
        error = np.mean((components.reconstruct(tried, size) - tried) ** 2)
        assert error == pytest.approx(np.mean((expected - flat) ** 2), rel=1e-3, abs=1e-9)
        assert components.scores(tried, size).shape == (9, size)


def test_as_many_components_as_examples_allow() -> None:
    training = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    components = PrincipalComponents(training, 128)
    assert components.max_components == 4
    assert components.sizes() == [4]
    np.testing.assert_allclose(components.reconstruct(training, 4), training, atol=1e-5)  # five points span four


def test_a_probe_tells_what_a_plane_separates_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    side = rng.choice(["left", "right"], 400)
    features = rng.normal(size=(400, 3)) * [1, 1000, 0.001]
    features[:, 2] += np.where(side == "left", -0.01, 0.01)  # 20 deviations apart, if features are standardised
    probe = linear_probe(features[:300], side[:300], features[300:], side[300:])
    assert probe is not None
    assert probe.accuracy == 1.0
    assert (probe.num_classes, probe.num_train, probe.num_tested) == (2, 300, 100)
    frequent = "left" if np.mean(side[:300] == "left") > 0.5 else "right"
    assert probe.majority == np.mean(side[300:] == frequent)
    blind = linear_probe(features[:300, :2], side[:300], features[300:, :2], side[300:])
    assert blind is not None
    assert 0.3 < blind.accuracy < 0.7


def test_a_probe_is_the_stated_logistic_regression() -> None:
    rng = np.random.default_rng(2)
    labels = rng.choice(list("abcd"), 500)
    features = rng.normal(size=(500, 6)) + 0.8 * rng.normal(size=(4, 6))[["abcd".index(each) for each in labels]]
    mean, deviation = features[:400].mean(axis=0), features[:400].std(axis=0)
    fitted = LogisticRegression(C=10.0, max_iter=1000).fit((features[:400] - mean) / deviation, labels[:400])
    expected = fitted.score((features[400:] - mean) / deviation, labels[400:])
    probe = linear_probe(features[:400], labels[:400], features[400:], labels[400:])
    assert probe is not None
    assert probe.accuracy == pytest.approx(expected, abs=0.011)


def test_labels_that_cannot_be_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(3).normal(size=(6, 2))
    assert linear_probe(features, ["a"] * 6, features, ["a"] * 6) is None
    assert linear_probe(features, list("ababab"), features, [""] * 6) is None
    probe = linear_probe(features, ["a", "b", "", "a", "b", ""], features, ["a", "new", "", "", "", ""])
    assert probe is not None
    assert (probe.num_train, probe.num_tested) == (4, 2)
    assert probe.accuracy <= 0.5  # a label that training has not is told wrong
    monkeypatch.setattr(probes, "MAX_CLASSES", 2)
    assert linear_probe(features, list("abcabc"), features, list("abcabc")) is None


def test_a_probe_s_cost_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MAX_EXAMPLES", 50)
    features = np.random.default_rng(4).normal(size=(200, 2))
    probe = linear_probe(features, ["a", "b"] * 100, features, ["a", "b"] * 100)
    assert probe is not None
    assert (probe.num_train, probe.num_tested) == (50, 50)

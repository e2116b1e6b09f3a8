"""Figures of new sounds, with crowds whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from vae_model.evaluation.crowds import nearest, precision_and_recall
from vae_model.evaluation.recognising import Recogniser, pooled

RNG = np.random.default_rng(0)


def crowd(count: int, centre: float) -> np.ndarray:
    return (RNG.normal(size=(count, 4)) + centre).astype(np.float32)


def test_precision_and_recall_tell_what_is_unlike_from_what_is_missing() -> None:
    real = np.concatenate([crowd(150, 0), crowd(150, 50)])
    alike = np.concatenate([crowd(150, 0), crowd(150, 50)])
    assert min(precision_and_recall(real, alike)) > 0.8
    precision, recall = precision_and_recall(real, crowd(300, 0))  # half of the real is never made
    assert precision > 0.8
    assert recall == pytest.approx(0.5, abs=0.06)
    precision, recall = precision_and_recall(real, np.concatenate([alike[::2], crowd(150, 500)]))
    assert precision == pytest.approx(0.5, abs=0.1)
    assert recall > 0.7
    assert precision_and_recall(real, crowd(300, -500)) == (0.0, 0.0)


def test_precision_is_as_its_definition_says() -> None:
    real, made = crowd(30, 0), crowd(20, 0.5)
    distances = np.linalg.norm(real[:, None] - real[None], axis=2)
    reach = np.sort(distances, axis=1)[:, 3]
    to_made = np.linalg.norm(real[:, None] - made[None], axis=2)
    assert precision_and_recall(real, made)[0] == pytest.approx(np.mean((to_made <= reach[:, None]).any(axis=0)))


def test_the_nearest_is_found_in_mean_squares() -> None:
    real = RNG.uniform(size=(300, 8, 4, 1)).astype(np.float32)
    made = real[[7, 250]] + np.float32(0.1)
    np.testing.assert_allclose(nearest(made, real), 0.01, rtol=1e-3)
    np.testing.assert_allclose(nearest(real[:3], real), 0, atol=1e-6)


def test_sounds_are_pooled_into_a_grid_of_means() -> None:
    values = RNG.uniform(size=(2, 256, 64, 1)).astype(np.float32)
    expected = values.reshape(2, 64, 4, 16, 4).mean(axis=(2, 4)).reshape(2, -1)
    np.testing.assert_allclose(pooled(values), expected, rtol=1e-5)
    assert pooled(np.ones((3, 20, 5, 2), np.float32)).shape == (3, 100)


def test_a_recogniser_knows_what_it_has_heard() -> None:
    kinds = np.array(["a", "b", "c"] * 40)
    centres = {"a": 0.0, "b": 6.0, "c": 12.0}
    features = np.concatenate([2 * crowd(1, 0) + np.float32(centres[kind]) for kind in kinds])
    recogniser = Recogniser.of(features, kinds)
    assert recogniser is not None
    new = np.concatenate([crowd(1, centres[kind]) for kind in kinds])  # plainer than those
    found = recogniser.of_sounds(new, kinds)
    assert found.accuracy == pytest.approx(1.0, abs=0.02)
    assert found.recognised > 0.9
    assert found.inception_score == pytest.approx(3, abs=0.4)
    one_kind = recogniser.of_sounds(crowd(60, 6.0))
    assert one_kind.inception_score == pytest.approx(1, abs=0.1)
    assert one_kind.accuracy is None


def test_a_recogniser_is_unsure_of_what_it_could_not_tell_apart() -> None:
    kinds = np.array(["a", "b"] * 100)
    alike = Recogniser.of(crowd(200, 0), kinds)
    assert alike is not None
    found = alike.of_sounds(crowd(200, 0), kinds)
    assert found.recognised < 0.1
    assert found.accuracy == pytest.approx(0.5, abs=0.12)


def test_there_must_be_something_to_tell_apart() -> None:
    features = crowd(30, 0)
    assert Recogniser.of(features, np.array(["a"] * 30)) is None
    assert Recogniser.of(features, np.array([str(number) for number in range(30)])) is None
    assert Recogniser.of(features, np.array([""] * 15 + ["a"] * 15)) is None

"""The directions of the sliders: those in which the sounds differ most, whatever the latents' own spread."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from vae_model.model_folder.value_range import ValueRange
from vae_model.playing.directions import Directions, rank_correlation, told_of
from vae_model.training_sounds import BRIGHTNESS, COMPONENTS, LENGTH, LEVEL, TrainingSound

DIM = 6


def sounds_of(latents: np.ndarray, made: np.ndarray) -> list[TrainingSound]:
    """Sounds of which a linear decoder makes `made`; their level falls along the strongest component."""
    centred = made - made.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    components = np.zeros((len(latents), COMPONENTS), np.float32)
    components[:, : len(sizes)] = (left * sizes)[:, :COMPONENTS]
    levels = {"min_db": -80.0, "max_db": 20.0}
    return [
        TrainingSound(
            f"{number}.wav",
            0.0,
            latents[number].astype(np.float32),
            ValueRange(**levels),
            {},
            components[number],
            {LEVEL: -float(made[number, 0]), BRIGHTNESS: 440.0, LENGTH: float(made[number, 1])},
        )
        for number in range(len(latents))
    ]


def test_a_linear_decoder_s_directions_are_found_in_white_latents() -> None:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((300, DIM))
    turn, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
    made = latents @ turn * np.array([9.0, 5.0, 2.0, 0.5, 0.0, 0.0])
    found = Directions(np.zeros(DIM, np.float32), np.eye(DIM, dtype=np.float32), sounds_of(latents, made))
    assert len(found) == 4, "what changes nothing has no slider"
    for number, strength in enumerate([9.0, 5.0, 2.0]):
        assert np.linalg.norm(found.steps[number]) == pytest.approx(1, abs=1e-3)
        assert np.linalg.norm(found.steps[number] @ turn * [9, 5, 2, 0.5, 0, 0]) == pytest.approx(strength, rel=0.1)
    first, second = found.changes[:2]
    assert list(first) == ["level"], "it points to where the level grows, though the component falls"
    assert first["level"] > 0.95
    assert second["length"] > 0.95
    assert found.steps[0] @ turn[:, 0] < -0.95
    np.testing.assert_allclose(found.amounts(found.step([0, 1.5])[None])[0][1], 1.5, rtol=1e-3)


def test_a_step_is_a_standard_deviation_of_the_training_latents() -> None:
    rng = np.random.default_rng(1)
    factor = np.diag([3.0, 0.5]).astype(np.float32)
    noise = rng.standard_normal((200, 2))
    white = np.linalg.svd(noise - noise.mean(axis=0), full_matrices=False)[0] * np.sqrt(200)
    latents = white @ factor
    found = Directions(np.array([1, 2], np.float32), factor, sounds_of(latents, latents * [1.0, 4.0]))
    assert found.amounts(latents).std(axis=0) == pytest.approx([1, 1], rel=1e-3)
    assert sorted(np.linalg.norm(found.steps, axis=1)) == pytest.approx([0.5, 3.0], rel=1e-3)
    for number in range(2):
        before, after = (found.amounts(np.array([[5.0, -1.0]]) + step)[0, number] for step in (0, found.steps[number]))
        assert after - before == pytest.approx(1, rel=1e-3)


def test_rank_correlation_is_spearman_s_of_what_is_known() -> None:
    rng = np.random.default_rng(2)
    a = rng.standard_normal(50)
    b = a + rng.standard_normal(50)
    assert rank_correlation(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    b[::5] = np.nan
    known = np.isfinite(b)
    assert rank_correlation(a, b) == pytest.approx(scipy.stats.spearmanr(a[known], b[known]).statistic)
    assert rank_correlation(a, np.full(50, np.nan)) == 0
    assert rank_correlation(a, np.ones(50)) == 0


def test_words_at_a_slider() -> None:
    assert told_of({"brightness": 0.831, "level": -0.4}) == ": brightness +0.83, level −0.40"
    assert told_of({}) == ""

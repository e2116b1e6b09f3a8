"""Numbers and axes of pages: round, few, and where the pixels are."""

from __future__ import annotations

import math

import pytest

from vae_model.report import axes


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (0.0304, "0.0304"),
        (40, "40"),
        (-2.5, "−2.5"),
        (0.00002, "2e−5"),
        (99999.6, "100,000"),
    ],
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert axes.number(value) == text


@pytest.mark.parametrize(("low", "high"), [(0, 1.024), (0, 8000), (1, 40), (0.003, 0.0301), (-5, 5), (0, 1e-7)])
def test_ticks_are_round_few_and_inside(low: float, high: float) -> None:
    ticks = axes.nice_steps(low, high)
    assert 2 <= len(ticks) <= 6
    assert all(low - 1e-9 <= tick <= high * (1 + 1e-9) for tick in ticks)
    step = ticks[1] - ticks[0]
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1, 2, 5)


def test_axes_of_pictures_match_bins_and_frames() -> None:
    ticks = {tick.text: tick.position for tick in axes.frequency_ticks(n_bins=256, sample_rate=16000)}
    assert list(ticks) == ["0 Hz", "2 kHz", "4 kHz", "6 kHz", "8 kHz"]
    assert ticks["2 kHz"] == (64 + 0.5) / 256  # the middle of bin 64
    times = {tick.text: tick.position for tick in axes.time_ticks(n_frames=64, hop_length=256, sample_rate=16000)}
    assert times["0.5 s"] == pytest.approx((0.5 * 16000 / 256 + 0.5) / 64)


@pytest.mark.parametrize("values", [(0.00111, 0.00112), (342.0, 346.5), (0.5, 0.5), (0.0011120, 0.0011124), (2.0, 4.0)])
@pytest.mark.parametrize("log_scale", [True, False])
def test_however_narrow_a_range_is_its_labels_are_there_and_differ(
    values: tuple[float, float], log_scale: bool
) -> None:
    ticks = axes.plot([("train", values)], log_scale, width=290, height=150).y_ticks
    texts = [tick.text for tick in ticks]
    assert 3 <= len(texts) == len(set(texts)) <= 6
    assert all(0 <= tick.position <= 1 for tick in ticks)

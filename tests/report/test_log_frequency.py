"""The logarithmic frequency axis: where a tone's row and its tick are, and that an octave is as high everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from vae_model.report.log_frequency import ROWS, log_frequency_ticks, to_log_rows

RATE, BINS = 16000, 256  # bins 31.25 Hz apart, the axis from 40 Hz to 8 kHz
OCTAVES = np.log2(8000 / 40)


def row_of(hz: float) -> float:
    """The middle of the rows that a tone at a bin's frequency is seen in, in parts of the height."""
    spectrogram = np.full((BINS, 2, 1), -80, np.float32)
    spectrogram[round(hz / (RATE / 2) * BINS)] = 0
    rows = to_log_rows(spectrogram, RATE)
    assert rows.shape == (ROWS, 2, 1)
    seen = np.flatnonzero(rows[:, 0, 0] > -1e-3)
    assert len(seen), "a tone is nowhere as loud as it is"
    return float(seen.mean() + 0.5) / ROWS


@pytest.mark.parametrize("hz", [500, 1000, 2000, 5000])
def test_a_tone_lies_where_the_axis_says(hz: int) -> None:
    (tick,) = (tick for tick in log_frequency_ticks(BINS, RATE) if tick.text in (f"{hz} Hz", f"{hz // 1000} kHz"))
    assert tick.position == pytest.approx(np.log2(hz / 40) / OCTAVES)
    assert row_of(hz) == pytest.approx(tick.position, abs=1.5 / ROWS)


def test_no_bin_is_lost_and_nothing_is_louder_than_it_was() -> None:
    rng = np.random.default_rng(0)
    spectrogram = rng.uniform(-80, 0, (1024, 3, 2)).astype(np.float32)
    rows = to_log_rows(spectrogram, 44100)
    assert rows.max() == spectrogram[2:].max()
    for bin_ in range(3, 1024):
        alone = np.full((1024, 1, 1), -80, np.float32)
        alone[bin_] = 0
        assert to_log_rows(alone, 44100).max() > -30


def test_ticks_are_readable() -> None:
    texts = [tick.text for tick in log_frequency_ticks(1024, 44100)]
    assert texts == ["50 Hz", "100 Hz", "200 Hz", "500 Hz", "1 kHz", "2 kHz", "5 kHz", "10 kHz", "20 kHz"][: len(texts)]
    assert len(texts) >= 8
    assert [tick.text for tick in log_frequency_ticks(32, 4000)] == ["100 Hz", "200 Hz", "500 Hz", "1 kHz"]

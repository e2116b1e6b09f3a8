"""Levels of what is written: full scale is kept by a limiter for a moment, and files can be made alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal
import soundfile

from tests.helpers.small_models import write_model
from vae_model.sound.limiter import Limiter, limited
from vae_model.sound.loudness import LoudnessMeter, k_weighting
from vae_model.sound.wav import write_wav

RATES = [8000, 22050, 44100]


def decibels(value: float) -> float:
    return 20 * math.log10(value)


def true_peak_db(waveform: np.ndarray) -> float:
    """The highest level between samples too, of the band-limited interpolation at four times the rate."""
    return decibels(float(np.abs(scipy.signal.resample(waveform, 4 * len(waveform))).max()))


def noise(seconds: float, rate: int, level: float, channels: int = 1) -> np.ndarray:
    values = np.random.default_rng(3).standard_normal((round(seconds * rate), channels))
    return (values * level).astype(np.float32)


@pytest.mark.parametrize("rate", RATES)
def test_one_overshoot_leaves_the_rest_as_it_is(rate: int) -> None:
    waveform = noise(4.0, rate, 0.1, channels=2)
    waveform[2 * rate : 2 * rate + 200] *= 20
    limiter = Limiter(rate)
    output = np.concatenate(list(limiter.limit([waveform])))
    assert true_peak_db(waveform) > 12
    assert true_peak_db(output) < -0.3
    assert limiter.limited_db > 12
    before, after = slice(0, 2 * rate - rate // 50), slice(3 * rate + rate // 2, None)
    np.testing.assert_array_equal(output[before], waveform[before])
    np.testing.assert_allclose(output[after], waveform[after], rtol=1e-3)


@pytest.mark.parametrize("rate", RATES)
def test_peaks_between_samples_count(rate: int) -> None:
    quarter = np.sin(np.pi / 2 * np.arange(rate) + np.pi / 4).astype(np.float32)[
        :, None
    ]  # samples of 0.71, crests of 1
    assert np.abs(quarter).max() < 0.71
    assert true_peak_db(limited(quarter, rate)) < -0.3


@pytest.mark.parametrize("rate", RATES)
def test_all_channels_move_together(rate: int) -> None:
    waveform = noise(1.0, rate, 0.3) * np.float32([4.0, 0.25])
    output = limited(waveform, rate)
    np.testing.assert_allclose(output[:, 1], output[:, 0] / 16, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 777, 40000])
def test_a_sound_in_blocks_is_limited_as_the_whole(size: int) -> None:
    waveform = noise(0.25 if size == 1 else 2.0, 8000, 0.4)
    blocks = np.split(waveform, range(size, len(waveform), size))
    output = np.concatenate(list(Limiter(8000).limit(blocks)))
    assert len(output) == len(waveform)
    np.testing.assert_allclose(output, limited(waveform, 8000), atol=1e-5)


def test_what_stays_below_the_ceiling_is_the_same_to_the_bit() -> None:
    waveform = noise(1.0, 22050, 0.1)
    limiter = Limiter(22050)
    np.testing.assert_array_equal(np.concatenate(list(limiter.limit([waveform]))), waveform)
    assert limiter.limited_db == 0
    assert list(limiter.limit([])) == []


def test_k_weighting_is_the_standard_s() -> None:
    """The tables of coefficients in ITU-R BS.1770-4 are for 48 kHz."""
    (shelf_b, shelf_a), (high_b, high_a) = k_weighting(48000)
    np.testing.assert_allclose(shelf_b, [1.53512485958697, -2.69169618940638, 1.19839281085285], atol=1e-8)
    np.testing.assert_allclose(shelf_a, [1.0, -1.69065929318241, 0.73248077421585], atol=1e-8)
    np.testing.assert_allclose(high_b, [1.0, -2.0, 1.0])
    np.testing.assert_allclose(high_a, [1.0, -1.99004745483398, 0.99007225036621], atol=1e-8)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_loudness_leaves_quiet_parts_out(rate: int) -> None:
    """Case 3 of EBU Tech 3341: stereo, 1 kHz at -36, -23 and -36 dBFS is -23 LUFS."""
    time = np.arange(80 * rate) / rate
    level = np.where((time < 10) | (time >= 70), -36.0, -23.0)
    sine = (10 ** (level / 20) * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    meter = LoudnessMeter(rate)
    for block in np.array_split(np.stack([sine, sine], axis=1), 77):
        meter.add(block)
    assert meter.lufs == pytest.approx(-23, abs=0.1)


def test_short_sounds_and_silence_have_a_loudness() -> None:
    short, silent, nothing = (LoudnessMeter(48000) for _ in range(3))
    short.add(np.sin(2 * np.pi * 997 / 48000 * np.arange(9600, dtype=np.float32))[:, None])
    silent.add(np.zeros((48000, 1), np.float32))
    assert short.lufs == pytest.approx(-3.01, abs=0.1)
    assert silent.lufs == nothing.lufs == -math.inf


@pytest.mark.parametrize("level", [0.001, 0.2, 3.0])
def test_files_are_made_alike(level: float, tmp_path: Path) -> None:
    waveform = noise(2.0, 8000, 0.3) * np.float32(level)
    write_wav(tmp_path / "peak.wav", [waveform], 8000, "peak")
    write_wav(tmp_path / "loud.wav", [waveform], 8000, "loudness")
    peak, loud = (soundfile.read(tmp_path / name, always_2d=True)[0] for name in ("peak.wav", "loud.wav"))
    assert decibels(np.abs(peak).max()) == pytest.approx(-0.8, abs=0.5)
    meter = LoudnessMeter(8000)
    meter.add(loud.astype(np.float32))
    assert meter.lufs == pytest.approx(-18, abs=0.2)


@pytest.mark.parametrize("normalise", ["none", "peak", "loudness"])
def test_silence_stays_silent(normalise: str, tmp_path: Path) -> None:
    written = write_wav(tmp_path / "a.wav", [np.zeros((800, 2), np.float32)], 8000, normalise)
    assert written == (800, 0.0)
    assert not soundfile.read(tmp_path / "a.wav")[0].any()


def test_commands_say_what_was_limited(tmp_path: Path, command: Callable[..., dict[str, Any]]) -> None:
    model = write_model(tmp_path / "model")
    options = ["generate", model, "--count", "2", "--seed", "1"]
    plain = command(*options, "--output", tmp_path / "plain")["written"]
    peaks = command(*options, "--output", tmp_path / "peaks", "--normalise", "peak")["written"]
    for given, loud in zip(plain, peaks, strict=True):
        before, after = (np.abs(soundfile.read(one["path"])[0]).max() for one in (given, loud))
        if "limited_db" in given:
            assert given["limited_db"] > 0
        else:
            assert before < after
        assert decibels(after) == pytest.approx(-0.8, abs=0.6)

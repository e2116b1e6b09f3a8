"""Two channels with phases that go together: as wide as they were, and as loud in mono."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.config import AudioConfig, SpectrogramConfig
from tests.helpers.sounds import tone
from vae_model.model_folder.config import ORIGINAL_PHASE, PHASES
from vae_model.phases.griffin_lim import Consistency
from vae_model.phases.together import fast_griffin_lim_together
from vae_model.sound.inverter import Inverter, Piece

RATE = 22050
AUDIO = AudioConfig(RATE, channels=2, segment_seconds=0.74)


def noise(seed: int) -> NDArray[np.float32]:
    decay = np.exp(-np.arange(AUDIO.segment_samples) / RATE / 0.2)
    return (0.1 * decay * np.random.default_rng(seed).standard_normal(AUDIO.segment_samples)).astype(np.float32)


def pair(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    size = AUDIO.segment_samples
    return np.stack([left[:size], right[:size]], axis=1)


SOUNDS = {
    "middle": pair(noise(1), noise(1)),
    "wide": pair(noise(1), noise(2)),
    "half": pair(noise(1), (noise(1) + noise(2)) / np.float32(2**0.5)),
    "turned round": pair(noise(1), -noise(1)),
    "to one side": pair(noise(1), 0.2 * noise(1)),
    "one side": pair(noise(1), 0 * noise(1)),
    "late": pair(tone(440, 0.74, RATE), np.roll(tone(440, 0.74, RATE), 9)),
}


def correlation(waveform: NDArray[np.float32]) -> float:
    left, right = waveform.astype(np.float64).T
    return float(left @ right / max(np.sqrt(left @ left * (right @ right)), 1e-9))


def level_db(waveform: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.square(waveform, dtype=np.float64).mean() + 1e-9))


@pytest.mark.parametrize("feature", ["log-spectrogram", "log-mel"])
@pytest.mark.parametrize("name", SOUNDS)
def test_as_wide_as_it_was_and_as_loud_in_mono(name: str, feature: str) -> None:
    inverter = Inverter(AUDIO, SpectrogramConfig(512, 128, feature=feature, stereo="coherence"))
    waveform = SOUNDS[name]
    decibels = inverter.to_decibels(waveform)
    assert decibels.shape[2] == 3
    assert inverter.to_linear(decibels).shape == (256, 128, 2)
    found = inverter.to_waveform(decibels)
    assert found.shape == waveform.shape
    assert abs(correlation(found) - correlation(waveform)) < 0.1
    assert abs(level_db(found) - level_db(waveform)) < 1
    if name != "turned round":  # of which nothing is left
        assert abs(level_db(found.mean(axis=1)) - level_db(waveform.mean(axis=1))) < 1


def test_of_two_channels_by_themselves_none_of_it_is_known() -> None:
    inverter = Inverter(AUDIO, SpectrogramConfig(512, 128))
    found = inverter.to_waveform(inverter.to_decibels(SOUNDS["half"]))
    assert correlation(SOUNDS["half"]) > 0.6 > 0.3 > abs(correlation(found))


def test_equal_channels_become_what_one_of_them_would() -> None:
    stereo = Inverter(AUDIO, SpectrogramConfig(512, 128, stereo="coherence"))
    mono = Inverter(AudioConfig(RATE, segment_seconds=0.74), SpectrogramConfig(512, 128))
    waveform = SOUNDS["middle"]
    found = stereo.to_waveform(stereo.to_decibels(waveform))
    expected = mono.to_waveform(mono.to_decibels(waveform[:, :1]))
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    assert level_db(found[:, :1] - expected) < level_db(expected) - 20


def test_a_step_ends_at_the_nearest_pair_of_these_levels_and_angles() -> None:
    """Of the two signs of the angle, each with its best common phase, the one that is less far away."""
    rng = np.random.default_rng(5)
    shape = (2, 9, 33)
    amplitudes = rng.exponential(size=shape).astype(np.float32)
    cosine = rng.uniform(-1, 1, shape[1:]).astype(np.float32)
    start = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    consistency = Consistency(shape[1], 64, 16, (0, 1000))
    given = np.stack([consistency.project(channel.copy()) for channel in start])
    found = fast_griffin_lim_together(amplitudes, cosine, start, consistency, steps=1)
    np.testing.assert_allclose(np.abs(found), amplitudes, rtol=1e-4)
    np.testing.assert_allclose(np.cos(np.angle(found[0] * np.conj(found[1]))), cosine, atol=1e-3)
    distances = []
    for sign in (1, -1):
        turned = np.stack([amplitudes[0], amplitudes[1] * np.exp(-1j * sign * np.arccos(cosine))])
        common = np.angle((np.conj(turned) * given).sum(axis=0))
        distances.append(np.square(np.abs(turned * np.exp(1j * common) - given)).sum(axis=0))
    ours = np.square(np.abs(found - given)).sum(axis=0)
    np.testing.assert_allclose(ours, np.minimum(*distances), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("phase", [*PHASES, ORIGINAL_PHASE])
def test_every_way_to_find_phases_gives_two_channels(phase: str) -> None:
    inverter = Inverter(AUDIO, SpectrogramConfig(512, 128, stereo="coherence"), phase)
    waveform = SOUNDS["half"]
    found = inverter.to_waveform(inverter.to_decibels(waveform), inverter.to_phasors(waveform))
    assert found.shape == waveform.shape
    assert np.isfinite(found).all()
    if phase == ORIGINAL_PHASE:
        assert level_db(found - waveform) < level_db(waveform) - 25  # what was above the highest bin


def test_a_long_sound_is_as_wide_in_every_part() -> None:
    """Its phases are found in several blocks."""
    rng = np.random.default_rng(3)
    left, other = 0.1 * rng.standard_normal((2, 6 * RATE)).astype(np.float32)
    waveform = np.stack([left, 0.8 * left + 0.6 * other], axis=1)
    inverter = Inverter(AUDIO, SpectrogramConfig(512, 128, stereo="coherence"))
    size, hop = inverter.segmentation.audio.segment_samples, inverter.segmentation.audio.segment_hop_samples
    pieces = []
    for start in range(0, len(waveform), hop):
        part = waveform[start : start + size]
        padded = np.pad(part, ((0, size - len(part)), (0, 0)))
        pieces.append(Piece(inverter.to_decibels(padded), len(part)))
        if start + size >= len(waveform):
            break
    found = np.concatenate(list(inverter.to_long_waveform(pieces)))
    assert found.shape == waveform.shape
    for second in range(6):
        part = slice(second * RATE, (second + 1) * RATE)
        assert abs(correlation(found[part]) - 0.8) < 0.1
        assert abs(level_db(found[part]) - level_db(waveform[part])) < 1

"""Where an error lies: known answers for sounds that are wrong in one way alone."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.config import AudioConfig, SpectrogramConfig
from tests.helpers.sounds import tone
from vae_model.pages.errors_in_db import HEARD_DB, in_words, levels_of, phase_db, rms_db
from vae_model.sound.inverter import Inverter

AUDIO = AudioConfig(8000, segment_seconds=0.5)
LINEAR, MEL = SpectrogramConfig(256, 64), SpectrogramConfig(256, 64, feature="log-mel", n_bands=24)
SOUND = tone(1000, 0.5, 8000)[:, None] + np.random.default_rng(0).normal(0, 0.02, (4000, 1)).astype(np.float32)


def test_what_is_so_many_db_off_is_told_so() -> None:
    levels = np.random.default_rng(0).uniform(-40, 0, (8, 6, 1)).astype(np.float32)
    assert rms_db(levels, levels) == 0
    assert rms_db(levels - 3, levels) == pytest.approx(3, abs=1e-4)
    unheard = np.where(levels < -20, np.float32(-HEARD_DB - 30), levels)
    assert rms_db(unheard, unheard - np.float32(20) * (unheard < -HEARD_DB)) == 0


def test_a_spectrogram_is_what_was_heard_and_bands_are_less() -> None:
    for settings, least, most in ((LINEAR, 0, 0.01), (MEL, 1, 20)):
        inverter = Inverter(AUDIO, settings)
        drawn = inverter.to_linear(inverter.to_decibels(SOUND))
        assert least <= rms_db(drawn, levels_of(inverter, SOUND)) <= most


def test_phases_that_go_together_cost_nothing() -> None:
    found, zero = Inverter(AUDIO, LINEAR), Inverter(AUDIO, LINEAR, phase="zero")
    levels = found.to_decibels(SOUND)
    assert phase_db(found, levels, SOUND) == pytest.approx(0, abs=1e-3)
    assert phase_db(found, levels, found.to_waveform(levels)) < phase_db(zero, levels, zero.to_waveform(levels))


def test_what_is_not_known_is_not_told() -> None:
    assert in_words(model=3.24, representation=None, phase=1.0) == "model 3.2 dB, phase 1.0 dB"

"""Sounds, figures, pages and exported models of a feature that is not the log-spectrogram."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.audio.features import LogMelExtractor, extractor_of
from pipelines.audio.spectrogram import LogSpectrogramExtractor
from pipelines.config import FEATURES, AudioConfig, SpectrogramConfig, allow_feature
from pipelines.errors import SettingError
from tests.helpers.features import OWN, written
from tests.helpers.sounds import tone
from vae_model.sound.inverter import Inverter, Piece
from vae_model.vae.waveform_model import log_spectrogram

RATE = 16000
AUDIO, MEL = AudioConfig(RATE, segment_seconds=1.02), SpectrogramConfig(feature="log-mel")
LINEAR = LogSpectrogramExtractor(512, 256)


def voice(seconds: float) -> np.ndarray:
    """Twenty harmonics of 130 Hz, each fainter, float32 (n_samples, 1)."""
    return sum(tone(130 * k, seconds, RATE, level=0.4 / k) for k in range(1, 21))[:, None]


def spectral_error_db(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of two sounds' cells that are at most 40 dB under the loudest, away from the ends."""
    ours, theirs = (LINEAR.extract(each)[:, 4:-4] for each in (a, b))
    return float(np.abs(ours - theirs)[theirs > theirs.max() - 40].mean())


def test_a_sound_comes_back_from_its_bands() -> None:
    inverter, waveform = Inverter(AUDIO, MEL), voice(1.02)
    mel = inverter.to_decibels(waveform)
    assert mel.shape == (64, 64, 1)
    output = inverter.to_waveform(mel)
    assert output.shape == waveform.shape
    again = inverter.to_decibels(output)
    loud = mel > mel.max() - 40
    assert np.abs(again - mel)[:, 4:-4][loud[:, 4:-4]].mean() < 1.5
    assert spectral_error_db(output, waveform) < 6


def test_a_long_sound_comes_back_from_its_pieces_as_at_once() -> None:
    inverter, waveform = Inverter(AUDIO, MEL), voice(4.0)
    hop, size = inverter.segmentation.audio.segment_hop_samples, AUDIO.segment_samples
    pieces = []
    for start in range(0, len(waveform), hop):
        part = waveform[start : start + size]
        samples = np.pad(part, [(0, size - len(part)), (0, 0)])
        pieces.append(Piece(inverter.to_decibels(samples), len(part)))
        if start + size >= len(waveform):
            break
    output = np.concatenate(list(inverter.to_long_waveform(pieces)))
    assert output.shape == waveform.shape
    assert spectral_error_db(output, waveform) < 6


def test_an_exported_model_makes_the_bands_of_the_pipeline() -> None:
    extractor = LogMelExtractor(RATE, 512, 256, 64)
    noise = np.random.default_rng(0).normal(0, 0.1, (16320, 2)).astype(np.float32)
    found = log_spectrogram(noise[None], MEL, extractor.filters)[0]
    np.testing.assert_allclose(found, extractor.extract(noise), atol=1e-3)


@pytest.mark.parametrize("feature", FEATURES)
def test_an_exported_model_makes_the_coherence_of_the_pipeline(feature: str) -> None:
    settings, audio = SpectrogramConfig(feature=feature, stereo="coherence"), dataclasses.replace(AUDIO, channels=2)
    extractor = extractor_of(audio, settings)
    noise = np.random.default_rng(0).normal(0, 0.1, (16320, 2)).astype(np.float32)
    noise[:, 1] += noise[:, 0]
    filters = LogMelExtractor(RATE, 512, 256, 64).filters if feature == "log-mel" else None
    found, silence = log_spectrogram(np.stack([noise, 0 * noise]), settings, filters)
    np.testing.assert_allclose(found, extractor.extract(noise), atol=1e-3)
    np.testing.assert_allclose(silence, -100, atol=1e-3)
    np.testing.assert_allclose(extractor.extract(0 * noise), -100, atol=1e-3)


def test_what_is_heard_and_drawn_is_what_the_class_gives_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, monkeypatch)
    own = SpectrogramConfig(feature=OWN, n_bands=128)
    inverter = Inverter(AUDIO, own)
    with pytest.raises(SettingError, match=f"give --feature {OWN}"):
        inverter.to_decibels(voice(1.02))
    assert "my_features" not in sys.modules
    allow_feature(OWN)
    low = inverter.to_decibels(voice(1.02))
    assert low.shape == (128, 64, 1)
    assert inverter.to_linear(low).shape == (256, 64, 1)
    assert spectral_error_db(inverter.to_waveform(low), voice(1.02)) < 1

"""Sound to log-spectrogram and back with settings alone."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.audio.spectrogram import LogSpectrogramExtractor
from pipelines.config import AudioConfig, SpectrogramConfig
from tests.helpers.sounds import tone
from vae_model.model_folder.config import ORIGINAL_PHASE, PHASES
from vae_model.sound.inverter import Inverter, Piece

RATE = 8000
AUDIO, SPECTROGRAM = AudioConfig(RATE, 2, segment_seconds=0.5), SpectrogramConfig(256, 64, top_db=140.0)


def stereo(seconds: float) -> np.ndarray:
    return np.stack([tone(440, seconds, RATE, level=0.4), tone(1234.5, seconds, RATE, level=0.1)], axis=1)


@pytest.mark.parametrize("phase", [PHASES[0], ORIGINAL_PHASE])
def test_there_and_back_is_the_sound(phase: str) -> None:
    inverter, waveform = Inverter(AUDIO, SPECTROGRAM, phase), stereo(0.5)
    decibels, phasors = inverter.to_decibels(waveform), inverter.to_phasors(waveform)
    assert decibels.shape == (128, 63, 2)
    assert (phasors is None) == (phase != ORIGINAL_PHASE)
    output = inverter.to_waveform(decibels, phasors)
    assert output.shape == waveform.shape
    if phase == ORIGINAL_PHASE:
        np.testing.assert_allclose(output, waveform, atol=2e-3)
    extractor = LogSpectrogramExtractor(256, 64, 40.0)
    ours, theirs = (extractor.extract(each)[:, 4:-4] for each in (output, waveform))
    assert np.abs(ours - theirs)[theirs > theirs.max() - 20].max() < 0.5


def test_a_long_sound_comes_back_from_its_pieces() -> None:
    inverter, waveform = Inverter(AUDIO, SPECTROGRAM, ORIGINAL_PHASE), stereo(3.0)
    hop, size = inverter.segmentation.audio.segment_hop_samples, AUDIO.segment_samples
    pieces = []
    for start in range(0, len(waveform), hop):
        part = waveform[start : start + size]
        samples = np.pad(part, [(0, size - len(part)), (0, 0)])
        pieces.append(Piece(inverter.to_decibels(samples), len(part), inverter.to_phasors(samples)))
        if start + size >= len(waveform):
            break
    output = np.concatenate(list(inverter.to_long_waveform(pieces)))
    np.testing.assert_allclose(output, waveform, atol=2e-3)


def test_a_sound_goes_on_in_phase_with_what_is_known_of_it() -> None:
    audio, spectrogram = AudioConfig(8000, segment_seconds=0.5), SpectrogramConfig(256, 64)
    inverter = Inverter(audio, spectrogram)
    segmentation = inverter.segmentation
    hop, size = segmentation.hop_frames * segmentation.hop_length, audio.segment_samples
    time = np.arange(size + 2 * hop) / 8000
    sound = (0.5 * np.sin(2 * np.pi * 523.25 * time))[:, None].astype(np.float32)
    pieces = [Piece(inverter.to_decibels(sound[start : start + size]), size) for start in (0, hop, 2 * hop)]
    heard = np.concatenate(list(inverter.to_long_waveform(pieces, begun=sound[:size])))
    assert heard.shape == sound.shape
    own = hop - 256
    np.testing.assert_allclose(heard[:own], sound[:own], atol=1e-3)
    after = slice(hop, hop + 2000)  # no phase was given there, and it is as if it had been
    assert np.square(heard[after] - sound[after]).mean() < 0.02 * np.square(sound[after]).mean()
    alone = np.concatenate(list(inverter.to_long_waveform(pieces)))
    assert np.square(alone[:own] - sound[:own]).mean() > 10 * np.square(heard[:own] - sound[:own]).mean()

"""Sounds longer than a segment: one spectrogram from pieces, no seams, memory that does not grow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.audio.loading import iter_segments
from pipelines.audio.spectrogram import LogSpectrogramExtractor
from pipelines.config import AudioConfig, SpectrogramConfig
from pipelines.errors import SettingError
from tests.helpers.small_models import Identity
from tests.helpers.sounds import tone
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ORIGINAL_PHASE, PHASES, ModelConfig, TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.phases.inversion import BLOCK_FRAMES, Frames, invert
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.long_sounds import Segmentation
from vae_model.sound.wav import write_wav

RATE = 8000
COARSE, DENSE = SpectrogramConfig(512, 256, top_db=140.0), SpectrogramConfig(512, 93, top_db=140.0)


def identity(spectrogram: SpectrogramConfig, seconds: float = 0.74, phase: str = PHASES[0]) -> SoundGenerator:
    """A generator whose model makes no error."""
    audio = AudioConfig(RATE, segment_seconds=seconds)
    shape = (spectrogram.n_bins, spectrogram.n_frames(audio.segment_samples), 1)
    model = ModelConfig("vae", shape, (2, 4), (3, 3), (2, 2), 3)
    value_range = ValueRange(-100.0, 40.0, per_record=True)
    bundle = Bundle(model, TrainConfig(), audio, spectrogram, value_range, (), {})
    return SoundGenerator(Identity(), bundle, phase=phase)


def segments_of(path: Path, segmentation: Segmentation, extractor: LogSpectrogramExtractor) -> Iterator[Frames]:
    for segment in iter_segments(str(path), segmentation.audio):
        yield Frames(segment.valid_samples, np.moveaxis(extractor.extract(segment.samples), 1, 0))


@pytest.mark.parametrize("n_samples", [100, 5919, 5920, 5921, 30000])
@pytest.mark.parametrize(("frame_size", "hop_length"), [(512, 256), (512, 93), (512, 17), (64, 100), (8192, 2000)])
def test_pieces_become_the_spectrogram_of_the_whole(
    n_samples: int, frame_size: int, hop_length: int, tmp_path: Path
) -> None:
    waveform = 0.1 * np.random.default_rng(0).standard_normal((n_samples, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", waveform, RATE, subtype="FLOAT")
    config = SpectrogramConfig(frame_size, hop_length, top_db=200.0)
    segmentation = Segmentation(AudioConfig(RATE, 2), config)
    extractor = LogSpectrogramExtractor(frame_size, hop_length, config.top_db)
    stretches = list(segmentation.join(segments_of(tmp_path / "a.wav", segmentation, extractor)))
    joined = np.concatenate([stretch.log_spectrogram for stretch in stretches])
    expected = np.moveaxis(extractor.extract(waveform), 1, 0)
    assert stretches[-1].n_samples == n_samples
    assert joined.shape == expected.shape
    if frame_size < 8192:  # else no frame of a segment sees its own segment alone
        np.testing.assert_allclose(joined, expected, atol=2e-3)


def test_a_segment_of_one_frame_cannot_overlap() -> None:
    with pytest.raises(SettingError, match="segment_seconds"):
        Segmentation(AudioConfig(RATE, segment_seconds=0.02), SpectrogramConfig(512, 256))


def noise_under(frequency_hz: float, waveform: np.ndarray, window: int = 2048) -> tuple[np.ndarray, np.ndarray]:
    """What is not the tone, over the tone, in dB, in windows all along a waveform; and the windows' middles."""
    time = np.arange(window) / RATE
    tones = np.stack([np.sin(2 * np.pi * frequency_hz * time), np.cos(2 * np.pi * frequency_hz * time)], axis=1)
    weight = np.hanning(window)
    starts = np.arange(2 * RATE, len(waveform) - 2 * RATE - window, window // 8)  # but for the tone's two ends
    cut = np.stack([waveform[start : start + window] for start in starts], axis=1) * weight[:, None]
    weighted = tones * weight[:, None]
    rest = cut - weighted @ np.linalg.lstsq(weighted, cut, rcond=None)[0]
    return 10 * np.log10((rest**2).sum(0) / (cut**2).sum(0)), starts + window // 2


@pytest.mark.parametrize("frequency_hz", [440.0, 1234.5])
@pytest.mark.parametrize("spectrogram", [COARSE, DENSE, SpectrogramConfig(512, 256)])
def test_no_seam_of_a_steady_tone_is_louder_than_what_is_around_it(
    frequency_hz: float, spectrogram: SpectrogramConfig, tmp_path: Path
) -> None:
    generator, hop = identity(spectrogram), spectrogram.hop_length
    hop_frames = generator.inverter.segmentation.hop_frames
    soundfile.write(tmp_path / "tone.wav", tone(frequency_hz, 40, RATE), RATE, subtype="FLOAT")
    output = np.concatenate(list(generator.reconstruct_file(str(tmp_path / "tone.wav"))))[:, 0]
    noise_db, middles = noise_under(frequency_hz, output)
    seams = np.concatenate([np.arange(0, len(output), frames * hop) for frames in (hop_frames, BLOCK_FRAMES)])
    at_seam = (np.abs(middles[:, None] - seams) < 512).any(axis=1)
    assert at_seam.any()
    assert not at_seam.all()
    assert noise_db[at_seam].max() < max(noise_db[~at_seam].max() + 1, -60)
    if spectrogram.top_db > 80:  # else what a dataset does not tell, 80 dB down in every cell, is -58 dB of noise
        assert noise_db.max() < -60
    assert np.abs(output[RATE:-RATE]).max() == pytest.approx(0.5, rel=0.005)


def test_original_phases_of_a_long_file_give_it_back(tmp_path: Path) -> None:
    time = np.arange(100_000) / RATE
    glide = 0.4 * np.sin(2 * np.pi * (300 * time + 20 * time**2)).astype(np.float32)
    soundfile.write(tmp_path / "glide.wav", glide, RATE, subtype="FLOAT")
    generator = identity(DENSE, phase=ORIGINAL_PHASE)
    output = np.concatenate(list(generator.reconstruct_file(str(tmp_path / "glide.wav"))))[:, 0]
    np.testing.assert_allclose(output, glide, atol=1e-3)
    with pytest.raises(SettingError, match="phase=original"):
        generator.to_waveform(np.zeros((256, 64, 1), np.float32))


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    generator = identity(SpectrogramConfig(256, 64), phase="zero")

    def peak_bytes(minutes: float) -> int:
        n_samples = int(60 * minutes * RATE)
        with soundfile.SoundFile(tmp_path / "in.wav", "w", RATE, 1) as file:
            for _ in range(60):
                file.write(tone(440, n_samples / RATE / 60, RATE))
        tracemalloc.start()
        blocks = generator.reconstruct_file(str(tmp_path / "in.wav"))
        assert write_wav(tmp_path / "out.wav", blocks, RATE).num_samples == pytest.approx(n_samples, abs=60)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak_bytes(0.1)  # what is loaded once
    assert peak_bytes(3) < 1.1 * peak_bytes(1)


def test_invert_has_nothing_to_say_about_nothing() -> None:
    assert list(invert([], DENSE, "zero")) == []

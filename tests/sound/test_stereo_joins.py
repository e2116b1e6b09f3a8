"""A sustained stereo chord over many segments of the preset `music`: no click where they join, nothing moves."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from pipelines.config import PRESETS
from tests.helpers.small_models import Identity
from tests.helpers.sounds import tone
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.phases.inversion import BLOCK_FRAMES
from vae_model.sound.generator import SoundGenerator

SECONDS, RATE = 9, 44100
NEAR = 300


def chord() -> np.ndarray:
    """Three sines, one to the left, one in the middle, one to the right and a quarter later, (n_samples, 2)."""
    left, middle, right = (tone(hz, SECONDS, RATE, 0.15) for hz in (220.5, 587.3, 1871.0))
    return np.stack([left + middle + 0.4 * right, 0.4 * left + middle + np.roll(right, 6)], axis=1)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    """What a model without error makes of it, and the samples where segments and blocks of phases begin."""
    settings = PRESETS["music"]
    model = ModelConfig("vae", settings.record_shape, (4,), (3,), (4,), 3)
    bounds = ValueRange(-100.0, 40.0)
    generator = SoundGenerator(
        Identity(), Bundle(model, TrainConfig(), settings.audio, settings.spectrogram, bounds, (), {})
    )
    path = tmp_path_factory.mktemp("joins") / "chord.wav"
    soundfile.write(path, chord(), RATE, subtype="FLOAT")
    output = np.concatenate(list(generator.reconstruct_file(str(path))))
    steps = (generator.inverter.segmentation.hop_frames, BLOCK_FRAMES)
    hop = settings.spectrogram.hop_length
    return output, np.concatenate([np.arange(1, len(output) // (step * hop) + 1) * step * hop for step in steps])


def test_no_join_has_a_click(heard: tuple[np.ndarray, np.ndarray]) -> None:
    output, joins = heard
    assert output.shape == (SECONDS * RATE, 2)
    bends = np.abs(np.diff(output, 2, axis=0)).max(axis=1)
    inside = np.arange(RATE // 2, len(bends) - RATE // 2)  # but for both ends
    at_join = (np.abs(inside[:, None] - joins) < NEAR).any(axis=1)
    assert at_join.any()
    assert bends[inside][at_join].max() <= 1.05 * bends[inside][~at_join].max()


def test_levels_and_width_are_those_of_the_chord_at_joins_and_between(heard: tuple[np.ndarray, np.ndarray]) -> None:
    output, joins = heard
    wanted = chord()
    for centre in [*joins[joins < len(output) - RATE], *range(RATE, len(output) - RATE, RATE)]:
        part = slice(int(centre) - 4096, int(centre) + 4096)
        found, given = output[part].astype(np.float64), wanted[part].astype(np.float64)
        for a, b in ((found, given), (found.mean(axis=1), given.mean(axis=1))):
            assert abs(10 * np.log10(np.square(a).mean() / np.square(b).mean())) < 1
        assert abs(np.corrcoef(found.T)[0, 1] - np.corrcoef(given.T)[0, 1]) < 0.1

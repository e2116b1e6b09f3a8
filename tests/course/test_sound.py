"""Scripts that make sounds as readers of the course write them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile

from pipelines import (
    Loader,
    LogSpectrogramExtractor,
    MinMaxNormaliser,
    Padder,
    PreprocessingPipeline,
    Saver,
)
from pipelines.errors import SettingError
from vae_model import VAE, SoundGenerator
from vae_model.model_folder.value_range import ValueRange

LAYERS: dict[str, Any] = {
    "conv_filters": (4, 8),
    "conv_kernels": (3, 3),
    "conv_strides": (4, (4, 2)),
    "latent_space_dim": 6,
}


@pytest.fixture
def prepared(tone_folder: Path, tmp_path: Path) -> Path:
    """The features and the table of twelve tones."""
    steps = Loader(22050, 0.74, True), Padder(), LogSpectrogramExtractor(512, 256), MinMaxNormaliser(0, 1)
    pipeline = PreprocessingPipeline(*steps, Saver(tmp_path / "spectrograms", tmp_path / "ranges"))
    pipeline.process(tone_folder)
    return tmp_path


def test_a_reader_s_script_makes_sounds(prepared: Path) -> None:
    with open(prepared / "ranges" / "min_max_values.pkl", "rb") as file:
        min_max_values = pickle.load(file)
    paths = sorted(str(path) for path in (prepared / "spectrograms").glob("*.npy"))
    x_train = np.array([np.load(path) for path in paths])[..., np.newaxis]
    assert x_train.shape == (12, 256, 64, 1)
    vae = VAE((256, 64, 1), **LAYERS)
    vae.compile(0.0005)
    vae.train(x_train, 6, 1, verbose=0)
    vae.save(str(prepared / "model"))

    chosen = np.random.default_rng(0).choice(range(len(x_train)), 2)
    ranges = [min_max_values[paths[index]] for index in chosen]
    generator = SoundGenerator(vae=VAE.load(str(prepared / "model")), hop_length=256)
    signals, latents = generator.generate(x_train[chosen], ranges)
    originals = generator.convert_spectrograms_to_audio(x_train[chosen], min_max_values=ranges)
    assert latents.shape == (2, 6)
    for number, (signal, original) in enumerate(zip(signals, originals, strict=True)):
        assert signal.shape == original.shape == (16317,)
        soundfile.write(prepared / f"{number}.wav", signal, 22050)
        levels = librosa.amplitude_to_db(np.abs(librosa.stft(original, n_fft=512, hop_length=256))[:-1])
        bounds = ranges[number]
        expected = x_train[chosen[number], ..., 0] * (bounds["max"] - bounds["min"]) + bounds["min"]
        loud = expected > bounds["max"] - 30
        assert np.abs(levels - expected)[loud].mean() < 1.0


def test_ranges_and_hops_are_given_either_way_or_named() -> None:
    vae = VAE((16, 8, 2), **LAYERS)
    generator = SoundGenerator(vae, np.int64(8))  # type: ignore[arg-type]
    spectrograms = np.random.default_rng(0).random((2, 16, 8, 2)).astype(np.float32)
    as_dict = generator.convert_spectrograms_to_audio(spectrograms, [{"min": -60.0, "max": 10.0}] * 2)  # type: ignore[list-item]
    as_range = generator.convert_spectrograms_to_audio(spectrograms, [ValueRange(-60.0, 10.0)] * 2)
    assert [signal.shape for signal in as_dict] == [(56, 2)] * 2
    np.testing.assert_array_equal(as_dict, as_range)
    assert next(generator.generate(1, seed=2)).shape == (56, 2)
    with pytest.raises(SettingError, match="the number of ranges=1 must be as many as there are spectrograms, 2"):
        generator.generate(spectrograms, [{"min": -60.0, "max": 10.0}])
    with pytest.raises(SettingError, match="hop_length=0"):
        SoundGenerator(vae, 0)

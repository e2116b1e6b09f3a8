"""The log-mel spectrogram against librosa, there and back; settings of features; code that nobody has asked for."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
from scipy.optimize import nnls

from pipelines import spectrogram_config
from pipelines.audio.features import LogMelExtractor, extractor_of, has_sound, mel_filters, settled
from pipelines.audio.spectrogram import LogSpectrogramExtractor
from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig, allow_feature
from pipelines.errors import SettingError
from tests.helpers.features import written
from tests.helpers.sounds import tone

RATE = 16000
AUDIO = AudioConfig(RATE, segment_seconds=0.5)


def sounds() -> np.ndarray:
    """Noise that ends, and a tone, float32 (8000, 2)."""
    noise = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    noise[5000:] = 0
    return np.stack([noise, tone(440, 0.5, RATE)], axis=1)


@pytest.mark.parametrize(("frame_size", "hop_length", "n_bands"), [(512, 256, 64), (1024, 200, 80), (400, 160, 40)])
def test_log_mel_is_librosa_s(frame_size: int, hop_length: int, n_bands: int) -> None:
    ours = LogMelExtractor(RATE, frame_size, hop_length, n_bands).extract(sounds())
    settings = {"sr": RATE, "n_fft": frame_size, "hop_length": hop_length, "n_mels": n_bands}
    theirs = librosa.power_to_db(librosa.feature.melspectrogram(y=sounds().T, **settings))
    assert ours.dtype == np.float32
    assert ours.shape == (n_bands, 1 + 8000 // hop_length, 2)
    np.testing.assert_allclose(ours, theirs.transpose(1, 2, 0), atol=1e-3)


def test_its_inverse_has_the_same_bands_and_is_nearer_than_librosa_s() -> None:
    extractor, linear = LogMelExtractor(RATE, 512, 256, 64), LogSpectrogramExtractor(512, 256).extract(sounds())
    mel = extractor.extract(sounds())
    found = extractor.invert(mel)
    assert found.dtype == np.float32
    assert found.shape == linear.shape
    bands = np.einsum("mb,bfc->mfc", extractor.filters, 10.0 ** (found.astype(np.float64) / 10))
    np.testing.assert_allclose(10 * np.log10(bands), mel, atol=0.1)
    powers = np.power(10.0, mel[..., 1].astype(np.float64) / 10)
    theirs = librosa.amplitude_to_db(librosa.feature.inverse.mel_to_stft(powers, sr=RATE, n_fft=512)[:-1])
    audible = linear[..., 1] > linear[..., 1].max() - 60
    errors = [np.abs(each - linear[..., 1])[audible].mean() for each in (found[..., 1], theirs)]
    assert errors[0] < errors[1]


def test_its_inverse_is_a_least_squares_solution() -> None:
    """As small a residual as the active-set method finds, which is another algorithm, has."""
    extractor = LogMelExtractor(RATE, 512, 256, 40)
    mel = extractor.extract(sounds())[:, 3:6, 0]
    powers, wanted = (np.power(10.0, each.astype(np.float64) / 10) for each in (extractor.invert(mel), mel))
    for found, band in zip(powers.T, wanted.T, strict=True):
        _, least = nnls(extractor.filters / band[:, None], np.ones(40))
        assert np.linalg.norm(extractor.filters @ found / band - 1) < least + 0.02


def test_a_frame_s_inverse_does_not_depend_on_its_neighbours() -> None:
    extractor = LogMelExtractor(RATE, 512, 256, 64)
    mel = extractor.extract(sounds())
    np.testing.assert_allclose(extractor.invert(mel)[:, 5:9], extractor.invert(mel[:, 5:9]), atol=1e-3)


def test_channels_become_what_each_would_by_itself() -> None:
    """What a frame of one becomes does not depend on the others."""
    bands = np.random.default_rng(2).uniform(-60, 30, (80, 20, 2)).astype(np.float32)
    extractor = LogMelExtractor(22050, 1024, 256, 80)
    each = [extractor.invert(np.ascontiguousarray(bands[..., channel : channel + 1])) for channel in range(2)]
    np.testing.assert_allclose(extractor.invert(bands), np.concatenate(each, axis=-1), atol=1e-4)


def test_bands_without_a_bin_are_refused() -> None:
    with pytest.raises(SettingError, match=r"n_bands=240 must be fewer, or frame_size=512 larger"):
        mel_filters(RATE, 512, 240)


def test_a_dataset_of_the_default_says_nothing_of_features() -> None:
    """The fingerprint is that of the first release."""
    assert DatasetConfig().fingerprint == "d6a59c05332b7581e75f92f45734530f56f4cc9b0ea0b5d01e5f47d42fa69a10"
    assert list(DatasetConfig().to_dict()["spectrogram"]) == ["frame_size", "hop_length", "top_db"]


def test_a_feature_is_a_part_of_the_settings() -> None:
    plain = DatasetConfig(AUDIO)
    mel = DatasetConfig(AUDIO, SpectrogramConfig(feature="log-mel"))
    assert mel.record_shape == (64, 32, 1)
    assert DatasetConfig.from_dict(mel.to_dict()) == mel
    assert mel.fingerprint != plain.fingerprint
    assert plain.differences(mel) == ["feature: 'log-spectrogram' != 'log-mel'", "n_bands: None != 64"]
    assert settled(mel) == mel


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"feature": "mfcc"}, "feature='mfcc' must be one of log-spectrogram, log-mel, or module:Class"),
        ({"feature": "my module:Class"}, "feature='my module:Class' must be"),
        ({"feature": "os:system('x')"}, "must be"),
        ({"n_bands": 40}, "n_bands=40 must be left out with feature=log-spectrogram"),
        ({"feature": "log-mel", "n_bands": 0}, "n_bands=0 must be a positive number"),
    ],
)
def test_settings_out_of_range_name_rule_and_value(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError) as refused:
        SpectrogramConfig(**values)  # type: ignore[arg-type]
    assert message in str(refused.value)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpectrogramConfig:
    """Settings with the class of docs/features.md, in the working folder, that nobody has asked for yet."""
    written(tmp_path, monkeypatch)
    return SpectrogramConfig(512, 256, feature="my_features:LowHalf")


def test_code_is_imported_only_when_it_is_asked_for(own: SpectrogramConfig) -> None:
    with pytest.raises(SettingError, match=r"trust it, give --feature my_features:LowHalf"):
        extractor_of(AUDIO, own)
    assert "my_features" not in sys.modules
    allow_feature(own.feature)
    extractor = extractor_of(AUDIO, own)
    assert extractor.extract(sounds()[:, :1]).shape == (128, 32, 1)
    assert settled(DatasetConfig(AUDIO, own)).record_shape == (128, 32, 1)
    assert spectrogram_config._allowed_features == {own.feature}


def test_a_class_that_does_not_fit_is_refused(own: SpectrogramConfig, tmp_path: Path) -> None:
    (tmp_path / "my_features.py").write_text(
        "class Base:\n"
        "    shape = (3, 32, 1)\n"
        "    def __init__(self, audio, spectrogram): pass\n"
        "class NoExtract(Base): pass\n"
        "class Frames(Base):\n"
        "    shape = (3, 5, 1)\n"
        "    def extract(self, segment): pass\n"
        "class Lies(Base):\n"
        "    def extract(self, segment): return segment\n"
    )
    for name, message in {
        "NoExtract": "must be a class that has extract",
        "Frames": r"must be a class with the shape \(rows, 32, 1\), .* not \(3, 5, 1\)",
        "None": "must be a class that can be imported",
    }.items():
        allow_feature(f"my_features:{name}")
        with pytest.raises(SettingError, match=message):
            extractor_of(AUDIO, dataclasses.replace(own, feature=f"my_features:{name}"))
    allow_feature("my_features:Lies")
    lies = extractor_of(AUDIO, dataclasses.replace(own, feature="my_features:Lies"))
    with pytest.raises(ValueError, match=r"gave an array of shape \(8000, 2\), \(3, 32, 1\) is its own"):
        lies.extract(sounds())
    with pytest.raises(SettingError, match="must be a class that has invert"):
        lies.invert(np.zeros((3, 32, 1), np.float32))
    assert not has_sound(AUDIO, dataclasses.replace(own, feature="my_features:Lies"))
    with pytest.raises(SettingError, match="n_bands=7 must be 3"):
        extractor_of(AUDIO, dataclasses.replace(own, feature="my_features:Lies", n_bands=7))

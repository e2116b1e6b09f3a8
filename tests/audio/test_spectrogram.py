"""The log-spectrogram against librosa and physics, and the normaliser against arithmetic."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from pipelines.audio.spectrogram import LogSpectrogramExtractor, MinMaxNormaliser, to_amplitude
from pipelines.config import SpectrogramConfig
from pipelines.errors import SettingError
from tests.helpers.places import FSDD
from tests.helpers.sounds import tone


def librosa_log_spectrogram(waveform: np.ndarray, frame_size: int, hop_length: int) -> np.ndarray:
    return librosa.amplitude_to_db(np.abs(librosa.stft(waveform, n_fft=frame_size, hop_length=hop_length)[:-1]))


RANDOM = np.random.default_rng(0)
WAVEFORMS = {
    "silence": np.zeros(5000, np.float32),
    "one sample": np.array([0.5], np.float32),
    "one click": np.eye(1, 3000, 1500, dtype=np.float32)[0],
    "full scale square": np.sign(tone(300, 0.3, 22050)),
    "very quiet": RANDOM.normal(0, 1e-6, 8000).astype(np.float32),
    "very loud": RANDOM.normal(0, 1e3, 8000).astype(np.float32),
    "tone under noise": tone(1000, 0.5, 22050) + RANDOM.normal(0, 1e-4, 11025).astype(np.float32),
    "offset": np.full(4000, 0.25, np.float32),
}


@pytest.mark.parametrize("name", WAVEFORMS)
@pytest.mark.parametrize(("frame_size", "hop_length"), [(512, 256), (512, 93), (1024, 100), (64, 64)])
def test_equals_librosa(name: str, frame_size: int, hop_length: int) -> None:
    ours = LogSpectrogramExtractor(frame_size, hop_length).extract(WAVEFORMS[name])
    theirs = librosa_log_spectrogram(WAVEFORMS[name], frame_size, hop_length)
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_channels_share_one_floor_as_in_librosa() -> None:
    stereo = np.stack([tone(440, 0.2, 16000), tone(3000, 0.2, 16000, level=1e-5)], axis=1)
    ours = LogSpectrogramExtractor(256, 128).extract(stereo)
    theirs = librosa.amplitude_to_db(np.abs(librosa.stft(stereo.T, n_fft=256, hop_length=128)[:, :-1]))
    np.testing.assert_allclose(ours, np.moveaxis(theirs, 0, -1), atol=1e-3)


@pytest.mark.fsdd
def test_equals_librosa_on_real_recordings() -> None:
    extractor = LogSpectrogramExtractor(512, 256)
    for path in sorted(FSDD.glob("*.wav"))[::100]:
        waveform, _ = librosa.load(path, sr=22050)
        np.testing.assert_allclose(extractor.extract(waveform), librosa_log_spectrogram(waveform, 512, 256), atol=1e-3)


def test_a_tone_is_in_its_bin_and_nowhere_else() -> None:
    bin_, frame_size, rate = 32, 512, 16000
    waveform = tone(bin_ * rate / frame_size, 1.0, rate, level=1.0)
    middle = LogSpectrogramExtractor(frame_size, 256).extract(waveform)[:, 10:-10]
    # a sine of amplitude 1 has half of the window's sum, frame_size / 2, in its bin: 20 log10(128)
    np.testing.assert_allclose(middle[bin_], 20 * np.log10(frame_size / 4), atol=0.1)
    np.testing.assert_allclose(middle[[bin_ - 1, bin_ + 1]], 20 * np.log10(frame_size / 8), atol=0.1)  # Hann's skirts
    others = np.delete(middle, [bin_ - 1, bin_, bin_ + 1], axis=0)
    assert np.all(others == middle.max() - 80)


def test_an_empty_waveform_is_refused() -> None:
    with pytest.raises(SettingError, match=r"waveform.shape=\(0,\) must be at least one sample"):
        LogSpectrogramExtractor(512, 256).extract(np.zeros(0, np.float32))


@pytest.mark.parametrize(
    "values", [RANDOM.normal(-40, 20, (256, 64)), np.array([[-100.0, 39.25]]), np.array([0.0, 1e-6])]
)
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0)])
def test_denormalise_undoes_normalise(values: np.ndarray, low: float, high: float) -> None:
    values = values.astype(np.float32)
    normaliser = MinMaxNormaliser(low, high)
    normal = normaliser.normalise(values)
    assert normal.min() == low
    assert normal.max() == high
    span = values.max() - values.min()
    back = normaliser.denormalise(normal, values.min(), values.max())
    np.testing.assert_allclose(back, values, atol=4 * np.finfo(np.float32).eps * (span + np.abs(values).max()))


def test_a_constant_array_becomes_the_minimum() -> None:
    normaliser = MinMaxNormaliser(0.0, 1.0)
    normal = normaliser.normalise(np.full((3, 4), -100.0))
    np.testing.assert_array_equal(normal, np.zeros((3, 4)))
    np.testing.assert_array_equal(normaliser.denormalise(normal, -100.0, -100.0), np.full((3, 4), -100.0))


def test_amplitude_puts_the_nyquist_row_back() -> None:
    amplitude = to_amplitude(np.array([[0.0, 20.0], [-20.0, 40.0]], np.float32))
    np.testing.assert_allclose(amplitude, [[1, 10], [0.1, 100], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hop_length": 0}, "hop_length=0 must be a positive number of samples"),
        ({"frame_size": 1}, "frame_size=1 must be an even number of samples, at least 2"),
        ({"frame_size": 511}, "frame_size=511 must be an even number"),
        ({"top_db": 0}, "top_db=0 must be a positive number of dB"),
    ],
)
def test_settings_out_of_range_name_rule_and_value(settings: dict, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        SpectrogramConfig(**settings)
    assert message in str(caught.value)

"""Phases from magnitudes: what mathematics and librosa say that they are, and how near the waveforms come."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from pipelines.audio.spectrogram import LogSpectrogramExtractor
from pipelines.config import SpectrogramConfig
from pipelines.errors import SettingError
from tests.helpers.sounds import tone
from vae_model.model_folder.config import ORIGINAL_PHASE, PHASES
from vae_model.phases.heap import heap_integration, phase_gradients
from vae_model.phases.inversion import BLOCK_FRAMES, Frames, invert
from vae_model.phases.windows import compiled, transform
from vae_model.sound.synthesis import SoundName, synthesise

RATE = 16000
COURSE = SpectrogramConfig(512, 256)
DENSE = SpectrogramConfig(512, 128, top_db=140.0)
SOUNDS = [SoundName("pluck", 62, 0), SoundName("voice", 57, 1), SoundName("bell", 74, 2)]


def log_amplitude(waveform: np.ndarray, config: SpectrogramConfig) -> np.ndarray:
    decibels = LogSpectrogramExtractor(config.frame_size, config.hop_length, config.top_db).extract(waveform)
    return decibels.T * np.log(10) / 20


def frames_of(waveform: np.ndarray, config: SpectrogramConfig, original: bool = False) -> Frames:
    decibels = LogSpectrogramExtractor(config.frame_size, config.hop_length, config.top_db).extract(waveform)
    if not original:
        return Frames(len(waveform), decibels.T[:, :, None])
    phasors = librosa.stft(waveform, n_fft=config.frame_size, hop_length=config.hop_length)[:-1]
    return Frames(len(waveform), decibels.T[:, :, None], phasors.T[:, :, None])


def inverted(waveform: np.ndarray, config: SpectrogramConfig, method: str, seed: int = 0) -> np.ndarray:
    blocks = invert([frames_of(waveform, config, method == ORIGINAL_PHASE)], config, method, seed)
    return np.concatenate(list(blocks))[:, 0]


def convergence_db(found: np.ndarray, waveform: np.ndarray, config: SpectrogramConfig) -> float:
    """Spectral convergence: the error of the magnitudes over the magnitudes."""
    ours, theirs = (
        np.abs(librosa.stft(w, n_fft=config.frame_size, hop_length=config.hop_length)) for w in (found, waveform)
    )
    return float(20 * np.log10(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)))


def chirp() -> np.ndarray:
    """Half a second from 500 Hz to 5,500 Hz."""
    time = np.arange(RATE // 2) / RATE
    return (0.5 * np.sin(2 * np.pi * (500 * time + 5000 * time**2))).astype(np.float32)


def wrapped(angle: np.ndarray) -> np.ndarray:
    return np.angle(np.exp(1j * angle))


@pytest.mark.parametrize(("frame_size", "hop_length"), [(512, 256), (512, 93), (64, 100)])
def test_transform_is_librosa_s(frame_size: int, hop_length: int) -> None:
    noise = np.random.default_rng(0).standard_normal(3001).astype(np.float32)
    expected = librosa.stft(noise, n_fft=frame_size, hop_length=hop_length).T
    np.testing.assert_allclose(transform(noise, frame_size, hop_length), expected, atol=1e-4)


@pytest.mark.parametrize("frequency_hz", [437.5, 440.0, 1234.5, 3000.3])
@pytest.mark.parametrize("hop_length", [93, 128, 256])
def test_phase_of_a_tone_turns_by_its_frequency(frequency_hz: float, hop_length: int) -> None:
    config = SpectrogramConfig(512, hop_length)
    in_time, in_frequency = phase_gradients(log_amplitude(tone(frequency_hz, 0.5, RATE), config), 512, hop_length)
    middle, loudest = len(in_time) // 2, round(frequency_hz / RATE * 512)
    assert in_time[middle, loudest] == pytest.approx(2 * np.pi * frequency_hz / RATE * hop_length, abs=2e-3)
    assert in_frequency[middle, loudest] == pytest.approx(-np.pi, abs=0.02)


@pytest.mark.parametrize("delay_samples", [-40, 0, 25, 60])
@pytest.mark.parametrize("hop_length", [64, 128, 256])
def test_phase_of_an_impulse_turns_by_its_delay(delay_samples: int, hop_length: int) -> None:
    impulse = np.zeros(4096, np.float32)
    impulse[2048 + delay_samples] = 1
    config = SpectrogramConfig(512, hop_length)
    in_time, in_frequency = phase_gradients(log_amplitude(impulse, config), 512, hop_length)
    frame = 2048 // hop_length
    # at half a frame's overlap only one neighbour sees the impulse, and the mean is half of what that one says
    seen = 0.5 if hop_length == 256 else 1.0
    expected = -np.pi - 2 * np.pi / 512 * delay_samples * seen
    np.testing.assert_allclose(in_frequency[frame, 1:-1], expected, atol=0.02)
    np.testing.assert_allclose(in_time[frame, 1:-1], 2 * np.pi * hop_length / 512 * np.arange(1, 255), atol=1e-3)


def test_gradients_of_a_chirp_are_those_of_its_real_phases() -> None:
    waveform, config = chirp(), SpectrogramConfig(512, 32)
    spectrum = librosa.stft(waveform, n_fft=512, hop_length=32).T[:, :-1]
    gradients = phase_gradients(log_amplitude(waveform, config), 512, 32)
    loud = np.abs(spectrum) > 0.3 * np.abs(spectrum).max()
    loud[:20] = loud[-20:] = False  # the chirp's ends
    for axis, slope in enumerate(gradients):
        here, there = ([(slice(None, -1),), (slice(1, None),)], [np.s_[:, :-1], np.s_[:, 1:]])[axis]
        step = np.angle(spectrum)[there] - np.angle(spectrum)[here]
        errors = np.abs(wrapped((slope[here] + slope[there]) / 2 - step))[loud[here] & loud[there]]
        assert np.median(errors) < 0.06
        assert errors.max() < 0.12


@pytest.mark.parametrize("frequency_hz", [1234.5, 3000.3])
def test_phases_of_a_tone_are_the_real_ones_down_to_its_side_lobes(frequency_hz: float) -> None:
    waveform = tone(frequency_hz, 1.0, RATE)
    spectrum = librosa.stft(waveform, n_fft=512, hop_length=256).T[5:-5, :-1]
    log = log_amplitude(waveform, SpectrogramConfig(512, 256, top_db=140.0))[5:-5]  # not its beginning and end
    phases = heap_integration(log, 512, 256, np.random.default_rng(0))
    amplitude = np.abs(spectrum)
    told = np.abs(np.arange(256) - frequency_hz / RATE * 512) < 12  # beyond, lobes are 70 dB down
    errors = phases - np.angle(spectrum)
    errors = wrapped(errors - errors.flat[amplitude.argmax()])[1:-1, told]  # but for the phase of the whole
    assert amplitude[:, told].min() < 1e-3 * amplitude.max()
    assert np.abs(errors).max() < 0.1


def test_known_frames_stay_and_the_others_go_on_from_them() -> None:
    config = SpectrogramConfig(512, 64)
    waveform = chirp()
    spectrum = librosa.stft(waveform, n_fft=512, hop_length=64).T[:, :-1]
    known = np.angle(spectrum[:40])
    log = log_amplitude(waveform, config)
    phases = heap_integration(log, 512, 64, np.random.default_rng(0), known)
    np.testing.assert_array_equal(phases[:40], known)
    ridge = np.abs(spectrum).argmax(axis=1)
    errors = [wrapped(phases[frame, ridge[frame]] - np.angle(spectrum[frame, ridge[frame]])) for frame in range(40, 60)]
    assert np.abs(errors).max() < 0.3


@pytest.mark.parametrize("config", [COURSE, SpectrogramConfig(512, 93)])
def test_waveforms_are_nearer_than_those_of_a_hundred_steps_of_griffin_lim(config: SpectrogramConfig) -> None:
    options = {"n_fft": config.frame_size, "hop_length": config.hop_length}
    for name in SOUNDS:
        waveform = synthesise(name)
        magnitudes = np.abs(librosa.stft(waveform, **options))
        rival = librosa.griffinlim(magnitudes, n_iter=100, **options, length=len(waveform), random_state=0)
        error_db = {method: convergence_db(inverted(waveform, config, method), waveform, config) for method in PHASES}
        assert error_db["pghi+griffinlim"] < min(-25, convergence_db(rival, waveform, config))
        assert error_db["pghi+griffinlim"] < error_db["griffinlim"] < -15
        assert error_db["pghi+griffinlim"] < error_db["pghi"] < -15
        assert -3 < error_db["zero"] < 0


def test_original_phases_give_the_original_back() -> None:
    waveform = synthesise(SOUNDS[0])
    np.testing.assert_allclose(inverted(waveform, DENSE, ORIGINAL_PHASE), waveform, atol=2e-5)
    with pytest.raises(SettingError, match="phase=original"):
        list(invert([frames_of(waveform, COURSE)], COURSE, ORIGINAL_PHASE))
    with pytest.raises(SettingError, match="phase='best' must be one of"):
        list(invert([frames_of(waveform, COURSE)], COURSE, "best"))


@pytest.mark.parametrize("method", PHASES)
def test_gain_in_is_gain_out(method: str) -> None:
    waveform = synthesise(SOUNDS[1])
    plain, louder = (inverted(gain * waveform, DENSE, method) for gain in (1.0, 2.0))
    assert np.linalg.norm(louder) == pytest.approx(2 * np.linalg.norm(plain), rel=0.01)
    if method != "zero":
        assert np.linalg.norm(plain) == pytest.approx(np.linalg.norm(waveform), rel=0.05)


@pytest.mark.parametrize("method", ["pghi", "pghi+griffinlim"])
def test_a_level_spectrogram_sounds_as_noise_not_as_a_buzz(method: str) -> None:
    level = Frames(20000, np.full((79, 256, 1), -20.0, np.float32))
    (waveform,) = invert([level], COURSE, method)
    kurtosis = np.mean(waveform**4) / np.mean(waveform**2) ** 2
    assert kurtosis < 6  # 3 for noise; an impulse a frame has 256


@pytest.mark.parametrize("n_samples", [1, 255, 256, 5000, 40000])
@pytest.mark.parametrize("config", [COURSE, SpectrogramConfig(64, 100), SpectrogramConfig(64, 5)])
@pytest.mark.parametrize("method", ["pghi+griffinlim", "zero"])
def test_any_length_comes_out_exactly(n_samples: int, config: SpectrogramConfig, method: str) -> None:
    waveform = 0.1 * np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    found = inverted(waveform, config, method)
    assert found.shape == waveform.shape
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 3


@pytest.mark.parametrize("method", PHASES)
def test_random_phases_come_from_the_seed_alone(method: str) -> None:
    waveform = synthesise(SOUNDS[2])[:6000]
    np.testing.assert_array_equal(inverted(waveform, COURSE, method, 1), inverted(waveform, COURSE, method, 1))
    assert (method == "zero") == np.array_equal(
        inverted(waveform, COURSE, method, 1), inverted(waveform, COURSE, method, 2)
    )


@pytest.mark.parametrize("method", ["pghi+griffinlim", "zero"])
def test_a_long_sound_does_not_depend_on_how_it_arrives_and_has_no_worse_phases(method: str) -> None:
    waveform = np.concatenate([synthesise(SoundName("bow", midi, 0)) for midi in range(57, 67)])
    config = SpectrogramConfig(256, 64)
    whole = frames_of(waveform, config)
    assert len(whole) > 3 * BLOCK_FRAMES
    (*blocks,) = invert([whole], config, method)
    pieces = [whole[start : start + 77] for start in range(0, len(whole), 77)]
    np.testing.assert_array_equal(np.concatenate(list(invert(pieces, config, method))), np.concatenate(blocks))
    errors = [convergence_db(np.concatenate(blocks)[:, 0], waveform, config)]
    errors += [convergence_db(inverted(waveform[:RATE], config, method), waveform[:RATE], config)]
    assert errors[0] < errors[1] + 2


def test_kernels_compile_where_nothing_can_be_cached() -> None:
    namespace: dict[str, object] = {}
    exec("def double(x):\n    return 2 * x", namespace)  # no file, so no folder for numba's cache
    assert compiled(namespace["double"])(21) == 42  # type: ignore[arg-type]

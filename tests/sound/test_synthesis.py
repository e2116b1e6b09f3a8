"""The demo's sounds: right pitch, right level, the same bytes every time, names that tell timbre and note."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.errors import SettingError
from vae_model.sound.synthesis import (
    LABEL_PATTERN,
    NOTES,
    SAMPLE_RATE,
    TIMBRES,
    SoundName,
    frequency_hz,
    sound_names,
    synthesise,
    write_sounds,
)


def _power(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz and power of the Hann-windowed waveform, four times finer than its length gives."""
    n = 4 * len(waveform)
    return np.fft.rfftfreq(n, 1 / SAMPLE_RATE), np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), n)) ** 2


def test_concert_pitch() -> None:
    assert frequency_hz(69) == 440
    assert frequency_hz(60) == pytest.approx(261.6256, abs=1e-4)


@pytest.mark.parametrize("timbre", TIMBRES)
@pytest.mark.parametrize("midi", [NOTES[0], 69, NOTES[-1]])
def test_lowest_partial_is_the_note(timbre: str, midi: int) -> None:
    hz, power = _power(synthesise(SoundName(timbre, midi, variation=0), seed=1))
    fundamental = frequency_hz(midi)
    near = np.abs(np.log2(hz.clip(1) / fundamental)) < 1 / 12  # within a semitone
    centre = np.sum(hz[near] * power[near]) / np.sum(power[near])
    assert abs(1200 * np.log2(centre / fundamental)) < 12  # cents: detuned by at most 4, plus vibrato
    below = hz < fundamental * 2 ** (-3 / 12)
    assert power[below].max() < 1e-3 * power[near].max()
    assert power[near].max() > 1e-2 * power.max()


@pytest.mark.parametrize("timbre", TIMBRES)
def test_level_and_silent_ends(timbre: str) -> None:
    for variation in range(5):
        waveform = synthesise(SoundName(timbre, 64, variation))
        assert waveform.dtype == np.float32
        assert waveform.shape == (SAMPLE_RATE,)
        assert 0.4 <= np.abs(waveform).max() <= 0.8
        assert abs(waveform.mean()) < 0.01
        assert np.abs(waveform[[0, -1]]).max() < 1e-6


def test_timbres_differ_more_than_variations_of_one() -> None:
    def envelope_and_spectrum(timbre: str, variation: int) -> np.ndarray:
        waveform = synthesise(SoundName(timbre, 69, variation))
        bands = np.log10(_power(waveform)[1][1:].reshape(-1, 320).sum(axis=1) + 1e-3)
        loudness = np.log10((waveform**2).reshape(-1, 800).sum(axis=1) + 1e-3)
        return np.concatenate([bands, 2 * loudness])

    points = {timbre: [envelope_and_spectrum(timbre, v) for v in range(6)] for timbre in TIMBRES}
    for timbre, own in points.items():
        spread = np.mean([np.linalg.norm(point - np.mean(own, axis=0)) for point in own])
        for other, others in points.items():
            if other != timbre:
                assert np.linalg.norm(np.mean(own, axis=0) - np.mean(others, axis=0)) > spread


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, again = write_sounds(tmp_path / "a", 18, seed=3), write_sounds(tmp_path / "b", 18, seed=3)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    other = write_sounds(tmp_path / "c", 18, seed=4)
    assert all(a.read_bytes() != b.read_bytes() for a, b in zip(first, other, strict=True))


def test_a_sound_does_not_depend_on_how_many_are_made(tmp_path: Path) -> None:
    few, many = write_sounds(tmp_path / "few", 6), write_sounds(tmp_path / "many", 20)
    assert [path.read_bytes() for path in few] == [path.read_bytes() for path in many[:6]]


def test_files_are_wav_whose_names_tell_the_labels(tmp_path: Path) -> None:
    for path in write_sounds(tmp_path / "new" / "folder", 12):
        info = soundfile.info(path)
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("WAV", "PCM_16", SAMPLE_RATE, 1)
        assert info.frames == SAMPLE_RATE
        labels = re.search(LABEL_PATTERN, path.name)
        assert labels is not None
        assert labels["timbre"] in TIMBRES
        assert int(labels["note"]) in NOTES


def test_names_are_different_and_spread_over_timbres_and_notes() -> None:
    names = sound_names(400)
    assert len({name.file_name for name in names}) == 400
    per_timbre = [sum(name.timbre == timbre for name in names) for timbre in TIMBRES]
    assert max(per_timbre) - min(per_timbre) <= 1
    assert {name.midi for name in names} == set(NOTES)


@pytest.mark.parametrize("count", [0, -3])
def test_count_must_be_positive(tmp_path: Path, count: int) -> None:
    with pytest.raises(SettingError, match=f"count={count} must be a positive number of sounds"):
        write_sounds(tmp_path / "none", count)
    assert not (tmp_path / "none").exists()


def test_unknown_timbre() -> None:
    with pytest.raises(SettingError, match="timbre='kazoo' must be one of pluck, bell"):
        synthesise(SoundName("kazoo", 69, 0))

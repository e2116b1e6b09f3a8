"""Short musical sounds by synthesis: six timbres over two octaves, seeded, the same bytes on every run.

Each timbre is a bank of sinusoids under its own envelope, so that every pitch is exact and nothing aliases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

from pipelines.errors import SettingError

SAMPLE_RATE = 16000
"""Hz."""
SECONDS = 1.0
"""Length of every sound."""
NOTES = range(57, 82)
"""MIDI note numbers: A3 (220 Hz) to A5 (880 Hz)."""
LABEL_PATTERN = r"(?P<timbre>[a-z]+)_(?P<note>\d+)_\d+\.wav$"
"""Reads the labels `timbre` and `note` from a sound's file name."""
_FIFTH = 7  # semitones; coprime with the 25 notes, so any count of sounds is spread over the whole range
_HIGHEST_HZ = 0.46 * SAMPLE_RATE
_N_SAMPLES = int(SECONDS * SAMPLE_RATE)
_TIME = np.arange(_N_SAMPLES) / SAMPLE_RATE  # (n_samples,) in seconds
_BELL_PARTIALS = np.array([1.0, 2.0, 2.4, 3.0, 4.0, 5.33, 6.67])
_BELL_GAINS = np.array([0.9, 1.0, 0.55, 0.4, 0.5, 0.25, 0.15])
_WOOD_PARTIALS = np.array([1.0, 3.93, 9.24])
_WOOD_GAINS = np.array([1.0, 0.35, 0.12])
_VOWELS = {
    "a": ((750.0, 1150.0, 2600.0), (90.0, 110.0, 160.0), (1.0, 0.55, 0.18)),
    "i": ((300.0, 2250.0, 3000.0), (70.0, 130.0, 180.0), (1.0, 0.30, 0.25)),
    "o": ((450.0, 820.0, 2500.0), (80.0, 90.0, 160.0), (1.0, 0.45, 0.10)),
}
"""For each vowel its formants: frequencies in Hz, bandwidths in Hz, gains."""


@dataclass(frozen=True)
class SoundName:
    """Which sound: a key of `TIMBRES`, a MIDI note number, and a number that tells variations of the two apart."""

    timbre: str
    midi: int
    variation: int

    @property
    def file_name(self) -> str:
        """`timbre_midi_variation.wav`, which `LABEL_PATTERN` reads."""
        return f"{self.timbre}_{self.midi}_{self.variation:02d}.wav"


def frequency_hz(midi: int) -> float:
    """The equal-tempered frequency of a MIDI note number, A4 = 69 = 440 Hz."""
    return 440.0 * 2.0 ** ((midi - 69) / 12)


def sound_names(count: int) -> list[SoundName]:
    """`count` different sounds, the timbres in turn and the notes by fifths; SettingError if count is not positive."""
    if count < 1:
        raise SettingError(f"count={count} must be a positive number of sounds")
    timbres = list(TIMBRES)
    names = []
    for index in range(count):
        turn, timbre = divmod(index, len(timbres))
        variation = turn // len(NOTES)
        names.append(SoundName(timbres[timbre], NOTES[turn * _FIFTH % len(NOTES)], variation))
    return names


def synthesise(name: SoundName, seed: int = 0) -> np.ndarray:
    """One sound: float32 (n_samples,), full scale ±1, peak between 0.4 and 0.8, silent at both ends.

    It depends on `name` and `seed` alone. SettingError on a timbre that is no key of `TIMBRES`.
    """
    if name.timbre not in TIMBRES:
        raise SettingError(f"timbre={name.timbre!r} must be one of {', '.join(TIMBRES)}")
    rng = np.random.default_rng([seed, list(TIMBRES).index(name.timbre), name.midi, name.variation])
    cents = rng.uniform(-4, 4)
    waveform = TIMBRES[name.timbre](frequency_hz(name.midi) * 2 ** (cents / 1200), rng)
    waveform = np.roll(_fade(waveform), round(rng.uniform(0.0, 0.02) * SAMPLE_RATE))
    return (waveform * (rng.uniform(0.4, 0.8) / np.abs(waveform).max())).astype(np.float32)


def write_sounds(folder: Path | str, count: int = 400, seed: int = 0) -> list[Path]:
    """Write `count` sounds into `folder` (made if missing) as mono 16-bit WAV at `SAMPLE_RATE`; return their paths."""
    folder = Path(folder)
    names = sound_names(count)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name.file_name for name in names]
    for name, path in zip(names, paths, strict=True):
        soundfile.write(path, synthesise(name, seed), SAMPLE_RATE, subtype="PCM_16")
    return paths


def _pluck(hz: float, rng: np.random.Generator) -> np.ndarray:
    """A string plucked at a fraction of its length: its partials a little sharp, the high ones gone first."""
    k = np.arange(1, int(_HIGHEST_HZ / hz) + 1)
    stiffness = rng.uniform(0.5e-4, 1.5e-4)
    partials = k * np.sqrt((1 + stiffness * k**2) / (1 + stiffness))
    gains = np.abs(np.sin(np.pi * k * rng.uniform(0.14, 0.24))) / k ** rng.uniform(0.9, 1.2)
    decay_seconds = rng.uniform(0.35, 0.5) / (1 + 0.25 * (k - 1))
    return _ring(hz * partials, gains, decay_seconds, rng)


def _bell(hz: float, rng: np.random.Generator) -> np.ndarray:
    """A small bell: long, inharmonic, with a minor third over the octave."""
    gains = _BELL_GAINS * rng.uniform(0.7, 1.3, len(_BELL_GAINS))
    decay_seconds = rng.uniform(0.5, 0.7) / _BELL_PARTIALS**0.6
    return _ring(hz * _BELL_PARTIALS, gains, decay_seconds, rng)


def _wood(hz: float, rng: np.random.Generator) -> np.ndarray:
    """A marimba bar: a short, round knock, its second mode two octaves up."""
    gains = _WOOD_GAINS * rng.uniform(0.7, 1.3, len(_WOOD_GAINS))
    decay_seconds = rng.uniform(0.12, 0.18) / _WOOD_PARTIALS**0.7
    return _ring(hz * _WOOD_PARTIALS, gains, decay_seconds, rng)


def _flute(hz: float, rng: np.random.Generator) -> np.ndarray:
    """A blown pipe: few harmonics, a slow attack, and breath around the note."""
    gains = np.array([1.0, 0.35, 0.22, 0.07, 0.03]) * rng.uniform(0.8, 1.2, 5)
    tone = _harmonics(_vibrato(hz, rng.uniform(4.6, 4.9), 6.0), gains)
    band_hz = np.array([0.8 * hz, 3200.0])
    breath = signal.sosfilt(
        signal.butter(2, band_hz, "bandpass", fs=SAMPLE_RATE, output="sos"), rng.standard_normal(_N_SAMPLES)
    )
    breath *= rng.uniform(0.02, 0.04) / np.std(breath)
    return (tone + breath) * _swell(rng.uniform(0.06, 0.12), 0.12)


def _voice(hz: float, rng: np.random.Generator) -> np.ndarray:
    """A sung vowel: the harmonics of a glottal pulse shaped by three formants, with vibrato."""
    vowel = list(_VOWELS)[rng.integers(len(_VOWELS))]
    harmonics_hz = hz * np.arange(1, int(_HIGHEST_HZ / hz) + 1)
    tract = np.full(len(harmonics_hz), 0.02)
    for centre_hz, width_hz, gain in zip(*_VOWELS[vowel], strict=True):
        tract += gain / np.sqrt(1 + ((harmonics_hz - centre_hz * rng.uniform(0.97, 1.03)) / width_hz) ** 2)
    pulse = (hz / harmonics_hz) ** 0.8
    return _harmonics(_vibrato(hz, rng.uniform(5.3, 5.7), 25.0), pulse * tract) * _swell(0.05, 0.15)


def _bow(hz: float, rng: np.random.Generator) -> np.ndarray:
    """A bowed string: every harmonic, as a saw has them, rounded off by a body that resonates low."""
    harmonics_hz = hz * np.arange(1, int(_HIGHEST_HZ / hz) + 1)
    body = 1 / np.sqrt(1 + (harmonics_hz / rng.uniform(1400, 2200)) ** 2)
    attack_seconds = rng.uniform(0.08, 0.14)
    return _harmonics(_vibrato(hz, rng.uniform(5.3, 5.7), 10.0), body * hz / harmonics_hz) * _swell(attack_seconds, 0.1)


TIMBRES: dict[str, Callable[[float, np.random.Generator], np.ndarray]] = {
    "pluck": _pluck,
    "bell": _bell,
    "wood": _wood,
    "flute": _flute,
    "voice": _voice,
    "bow": _bow,
}
"""For each timbre the function of a fundamental in Hz and a generator that makes its waveform (n_samples,)."""


def _ring(hz: np.ndarray, gains: np.ndarray, decay_seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Partials that start together and die away, each at its own rate; all three arrays are (n_partials,)."""
    waveform = np.zeros(_N_SAMPLES)
    for partial_hz, gain, decay in zip(hz, gains, decay_seconds, strict=True):
        if partial_hz < _HIGHEST_HZ:
            phase = rng.uniform(0, 2 * np.pi)
            waveform += gain * np.exp(-_TIME / decay) * np.sin(2 * np.pi * partial_hz * _TIME + phase)
    return waveform


def _harmonics(phase: np.ndarray, gains: Iterable[float]) -> np.ndarray:
    """The sum of gain · sin(k · phase) for k = 1, 2, …; phase (n_samples,) is the fundamental's, in radians."""
    waveform = np.zeros_like(phase)
    for k, gain in enumerate(gains, start=1):
        waveform += gain * np.sin(k * phase)
    return waveform


def _vibrato(hz: float, rate_hz: float, cents: float) -> np.ndarray:
    """The phase in radians (n_samples,) of a note that sways by ±cents, reached after a third of a second."""
    depth = cents * np.minimum(_TIME / 0.33, 1)
    sway = depth * np.sin(2 * np.pi * rate_hz * _TIME)
    return 2 * np.pi * np.cumsum(hz * 2 ** (sway / 1200)) / SAMPLE_RATE


def _swell(attack_seconds: float, release_seconds: float) -> np.ndarray:
    """An envelope (n_samples,) that rises, stays and falls."""
    rise = np.clip(_TIME / attack_seconds, 0, 1)
    fall = np.clip((SECONDS - 0.03 - _TIME) / release_seconds, 0, 1)
    return np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2


def _fade(waveform: np.ndarray) -> np.ndarray:
    """Without clicks: 3 ms in, 20 ms out, and the last 20 ms silent so that the sound may start that much later."""
    rise = np.clip(_TIME / 0.003, 0, 1)
    fall = np.clip((SECONDS - 0.02 - _TIME) / 0.02, 0, 1)
    return waveform * rise * fall

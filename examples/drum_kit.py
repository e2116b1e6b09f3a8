"""A drum kit as sample libraries have them, made of arithmetic: kicks, snares, hats, cymbals, toms and claps as WAV.

    python examples/drum_kit.py kit/

286 files at 44,100 Hz, 254 of them in stereo, two thirds longer than 0.74 s and half than 1.7 s. Hits begin at once or
after some silence, and fade to nothing: some for four seconds, some with a second of digital silence behind. Two files
are silent. The same seed makes the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 44100
FILES = {"kick": 54, "snare": 62, "hat": 52, "cymbal": 44, "tom": 46, "clap": 26}
MONO, SILENT = 32, 2
Samples = NDArray[np.float64]


def fade(seconds: float, half_life: float) -> Samples:
    """1 and down, by half each half_life seconds."""
    return 0.5 ** (np.arange(int(seconds * RATE)) / RATE / half_life)


def band(noise: Samples, low_hz: float, high_hz: float) -> Samples:
    """Noise between two frequencies, at an RMS of 1."""
    spectrum = np.fft.rfft(noise, axis=0)
    frequencies = np.fft.rfftfreq(len(noise), 1 / RATE)
    gain = 1 / (1 + (low_hz / np.maximum(frequencies, 1)) ** 8) / (1 + (frequencies / high_hz) ** 8)
    found: Samples = np.fft.irfft(spectrum * gain[:, None], len(noise), axis=0)
    return found / np.sqrt(np.mean(found**2))


def swept(seconds: float, from_hz: float, to_hz: float, half_life: float) -> Samples:
    """A sine whose frequency falls from one to another."""
    frequency = to_hz + (from_hz - to_hz) * fade(seconds, half_life)
    return np.sin(2 * np.pi * np.cumsum(frequency) / RATE)


def hiss(rng: np.random.Generator, seconds: float, width: float) -> Samples:
    """Noise (n_samples, 2) whose channels have so much of their own: 0 for none."""
    both, own = rng.standard_normal((int(seconds * RATE), 1)), rng.standard_normal((int(seconds * RATE), 2))
    return np.sqrt(1 - width) * both + np.sqrt(width) * own


def length(rng: np.random.Generator) -> float:
    """Of a drum: cut short behind its sound, or with all of its fade."""
    return rng.uniform(0.25, 0.7) if rng.random() < 0.7 else rng.uniform(1.7, 2.7)


def kick(rng: np.random.Generator) -> Samples:
    seconds, low = length(rng), rng.uniform(42, 65)
    body = swept(seconds, low * rng.uniform(3, 6), low, 0.02) * fade(seconds, rng.uniform(0.05, 0.14))
    click = band(hiss(rng, seconds, 0.1), 1500, 6000) * fade(seconds, 0.004)[:, None]
    return body[:, None] + rng.uniform(0.02, 0.15) * click


def snare(rng: np.random.Generator) -> Samples:
    seconds, pitch = length(rng), rng.uniform(160, 260)
    body = swept(seconds, 1.5 * pitch, pitch, 0.015) * fade(seconds, rng.uniform(0.02, 0.06))
    wires = band(hiss(rng, seconds, 0.4), 1000, rng.uniform(7000, 12000))
    wires *= fade(seconds, rng.uniform(0.04, 0.1))[:, None]
    return 0.6 * body[:, None] + rng.uniform(0.2, 0.4) * wires


def metal(rng: np.random.Generator, seconds: float, low_hz: float, width: float) -> Samples:
    """Partials that are no multiples of each other, in noise."""
    time = np.arange(int(seconds * RATE)) / RATE
    partials = np.zeros((len(time), 2))
    for frequency in rng.uniform(low_hz, 14000, 24):
        partials += np.sin(2 * np.pi * frequency * time[:, None] + rng.uniform(0, 2 * np.pi, 2) * np.sqrt(width))
    return band(partials + 3 * hiss(rng, seconds, width), low_hz, 17000)


def hat(rng: np.random.Generator) -> Samples:
    is_open = rng.random() < 0.45
    seconds = rng.uniform(1.2, 2.6) if is_open else rng.uniform(0.25, 0.7)
    half_life = rng.uniform(0.08, 0.2) if is_open else rng.uniform(0.01, 0.03)
    return metal(rng, seconds, rng.uniform(4000, 7000), 0.3) * fade(seconds, half_life)[:, None]


def cymbal(rng: np.random.Generator) -> Samples:
    seconds = rng.uniform(2.6, 5.5)
    return metal(rng, seconds, rng.uniform(1500, 4000), 0.6) * fade(seconds, rng.uniform(0.2, 0.5))[:, None]


def tom(rng: np.random.Generator) -> Samples:
    seconds, pitch = rng.uniform(1.2, 2.6), rng.uniform(70, 190)
    body = swept(seconds, 1.6 * pitch, pitch, 0.05) * fade(seconds, rng.uniform(0.1, 0.25))
    skin = band(hiss(rng, seconds, 0.3), 300, 4000) * fade(seconds, 0.02)[:, None]
    place = rng.uniform(-0.6, 0.6)
    return (body[:, None] + 0.1 * skin) * np.sqrt([1 - place, 1 + place])


def clap(rng: np.random.Generator) -> Samples:
    seconds, once = length(rng), band(hiss(rng, 0.02, 0.5), 900, 6000) * fade(0.02, 0.004)[:, None]
    sound = 0.5 * band(hiss(rng, seconds, 0.6), 900, 5000) * fade(seconds, rng.uniform(0.03, 0.08))[:, None]
    for start in np.cumsum(rng.integers(200, 600, 4)):
        sound[start : start + len(once)] += once[: len(sound) - start]
    return sound


KINDS: dict[str, Callable[[np.random.Generator], Samples]] = {
    "kick": kick,
    "snare": snare,
    "hat": hat,
    "cymbal": cymbal,
    "tom": tom,
    "clap": clap,
}


def hit(kind: str, rng: np.random.Generator) -> Samples:
    """One hit (n_samples, 2) at a peak of -12 to -0.5 dB, some with silence before it, some with silence behind."""
    sound = KINDS[kind](rng)
    sound *= 10 ** (rng.uniform(-12, -0.5) / 20) / np.abs(sound).max()
    before = rng.uniform(0.05, 0.3) if rng.random() < 0.2 else 0.0
    behind = rng.uniform(0.5, 1.5) if rng.random() < 0.25 else 0.0
    return np.pad(sound, [(int(before * RATE), int(behind * RATE)), (0, 0)])


def write_kit(folder: Path, part: float = 1.0, seed: int = 0) -> int:
    """Write the files of a kit, or of a part of it, as `kick/kick_00.wav` and so on; returns how many."""
    rng = np.random.default_rng(seed)
    names = [f"{kind}/{kind}_{number:02}.wav" for kind, count in FILES.items() for number in range(round(part * count))]
    mono = set(rng.choice(len(names), round(part * MONO), replace=False).tolist())
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = hit(name.split("/")[0], rng)
        soundfile.write(path, sound.mean(axis=1) if number in mono else sound, RATE, subtype="PCM_24")
    for number in range(SILENT):
        soundfile.write(folder / f"silence_{number}.wav", np.zeros((round((0.04 + number) * RATE), 2)), RATE)
    return len(names) + SILENT


def main() -> None:
    """Write a kit into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{arguments.folder}: {write_kit(arguments.folder, seed=arguments.seed)} files")


if __name__ == "__main__":
    main()

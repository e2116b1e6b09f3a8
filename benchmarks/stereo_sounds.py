"""Ten stereo sounds by synthesis, as wide as those that people have: loops, rooms, pads, pairs of microphones, voices.

Correlations of their channels go from -0.35 to 0.98. Each is a function of its own seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import signal

RATE = 44100
"""Hz."""
Wave = NDArray[np.float64]


def band(x: Wave, low: float, high: float) -> Wave:
    """What of a sound lies between two frequencies in Hz."""
    return np.asarray(signal.sosfilt(signal.butter(2, [low, high], "bandpass", fs=RATE, output="sos"), x))


def time(seconds: float) -> Wave:
    """(n_samples,) in seconds."""
    return np.arange(int(seconds * RATE)) / RATE


def rise(x: Wave, seconds: float = 0.0015) -> Wave:
    """The sound, beginning within some milliseconds."""
    count = int(seconds * RATE)
    return np.concatenate([x[:count] * np.sin(np.linspace(0, np.pi / 2, count)) ** 2, x[count:]])


def placed(seconds: float, *events: tuple[float, float, Wave]) -> Wave:
    """Sounds (when, pan from -1 to 1, sound) in one of two channels, (n_samples, 2)."""
    out = np.zeros((int(seconds * RATE), 2))
    for when, pan, sound in events:
        start = int(when * RATE)
        part = sound[: len(out) - start]
        angle = (pan + 1) * np.pi / 4
        out[start : start + len(part)] += part[:, None] * np.array([np.cos(angle), np.sin(angle)]) * np.sqrt(2)
    return out


def room(rng: np.random.Generator, x: Wave, seconds: float, gain: float, low: float = 200, high: float = 9000) -> Wave:
    """The sound in a room whose echoes from the left and the right have nothing in common."""
    u = time(seconds)
    wet = np.zeros_like(x)
    for side in range(2):
        tail = band(rng.standard_normal(len(u)), low, high) * np.exp(-u * 6.9 / seconds)
        wet[:, side] = signal.fftconvolve(x.mean(axis=1), tail / np.sqrt(np.square(tail).sum()))[: len(x)]
    late = int(0.008 * RATE)
    return x + gain * np.concatenate([np.zeros((late, 2)), wet[:-late]])


def kick(rng: np.random.Generator) -> Wave:
    u = time(0.4)
    click = 0.2 * band(rng.standard_normal(len(u)), 1000, 6000) * np.exp(-u / 0.004)
    return rise(np.sin(2 * np.pi * np.cumsum(50 + 110 * np.exp(-u / 0.03)) / RATE) * np.exp(-u / 0.12) + click)


def snare(rng: np.random.Generator) -> Wave:
    u = time(0.3)
    wires = 0.5 * band(rng.standard_normal(len(u)), 900, 12000) * np.exp(-u / 0.07)
    return rise(0.5 * np.sin(2 * np.pi * 190 * u) * np.exp(-u / 0.06) + wires)


def hat(rng: np.random.Generator, seconds: float = 0.15, decay: float = 0.03) -> Wave:
    u = time(seconds)
    high = signal.sosfilt(signal.butter(4, 7000, "highpass", fs=RATE, output="sos"), rng.standard_normal(len(u)))
    return rise(high * np.exp(-u / decay), 0.001)


def tom(rng: np.random.Generator, hz: float) -> Wave:
    u = time(0.5)
    skin = np.sin(2 * np.pi * np.cumsum(hz * (1 + 0.4 * np.exp(-u / 0.04))) / RATE) * np.exp(-u / 0.15)
    return rise(skin + 0.05 * rng.standard_normal(len(u)) * np.exp(-u / 0.01))


def pluck(rng: np.random.Generator, hz: float) -> Wave:
    u = time(1.4)
    out = np.zeros(len(u))
    for k in range(1, int(18000 / hz)):
        partial = np.sin(2 * np.pi * hz * k * u + rng.uniform(0, 2 * np.pi))
        out += np.abs(np.sin(np.pi * k * 0.19)) / k * np.exp(-u * (1 + 0.25 * k) / 0.5) * partial
    return rise(out)


def drum_loop(rng: np.random.Generator) -> Wave:
    """A kit in a room: hats to the right, toms to the left."""
    events = [(0.25 * k, 0.0, kick(rng)) for k in (0, 2, 4, 6)]
    events += [(0.25 * k, 0.05, 0.8 * snare(rng)) for k in (1, 3, 5, 7)]
    events += [(0.125 * k, 0.6, 0.25 * hat(rng)) for k in range(16)]
    events += [(1.875, -0.7, 0.7 * tom(rng, 140)), (1.94, -0.4, 0.6 * tom(rng, 110))]
    return room(rng, placed(2.2, *events), 0.8, 0.35)


def wide_snare(rng: np.random.Generator) -> Wave:
    """Two hits, of which one hears more of the room."""
    return room(rng, placed(1.6, (0.05, 0, 0.25 * snare(rng)), (0.8, 0.1, 0.2 * snare(rng))), 1.2, 1.0, 150)


def tambourine(rng: np.random.Generator) -> Wave:
    """Jingles of which most is turned round on the right."""
    out = np.zeros((int(1.8 * RATE), 2))
    for when in np.arange(0.05, 1.55, 0.2):
        same, round_ = hat(rng, 0.2, 0.05), hat(rng, 0.2, 0.05)
        part = slice(int(when * RATE), int(when * RATE) + len(same))
        out[part] += np.stack([0.55 * same + 0.8 * round_, 0.55 * same - 0.8 * round_], axis=1)
    return room(rng, out, 0.3, 0.4, 3000, 15000)


def chorus_pad(rng: np.random.Generator) -> Wave:
    """A chord of voices out of tune with each other, three to each side."""
    u = time(2.5)
    out = np.zeros((len(u), 2))
    for hz in (130.8, 196, 246.9, 329.6):
        for side in (0, 1) * 3:
            cents = rng.uniform(-12, 12) + 4 * np.sin(2 * np.pi * 0.6 * u + rng.uniform(0, 6))
            phase = 2 * np.pi * np.cumsum(hz * 2 ** (cents / 1200)) / RATE
            voice = sum(np.sin(k * phase) / k for k in range(1, 20))
            out[:, side] += voice
            out[:, 1 - side] += 0.35 * voice
    return out * np.sin(np.clip(u / 0.3, 0, 1) * np.pi / 2)[:, None] ** 2


def spaced_pair(rng: np.random.Generator) -> Wave:
    """A guitar before two microphones that stand apart: each note comes later to one of them."""
    out = np.zeros((int(2.2 * RATE), 2))
    for number, hz in enumerate((196, 246.9, 293.7, 392, 440)):
        note, start = pluck(rng, hz), int((0.05 + 0.35 * number) * RATE)
        late = int((0.0002 + 0.00015 * number) * RATE)
        for side, delay, gain in ((0, 0, 1.0), (1, late, 0.85)):
            part = note[: len(out) - start - delay]
            out[start + delay : start + delay + len(part), side] += gain * part
    return room(rng, out, 0.6, 0.15)


def voices(rng: np.random.Generator) -> Wave:
    """Vowels of four people who stand in a row in a hall."""
    events = []
    for number, (pan, hz) in enumerate(((-0.8, 110), (0.5, 200), (-0.2, 140), (0.8, 230))):
        u = time(0.5)
        phase = 2 * np.pi * np.cumsum(hz * (1 + 0.01 * np.sin(2 * np.pi * 5 * u))) / RATE
        buzz = sum(np.sin(k * phase) / k for k in range(1, int(8000 / hz)))
        vowel = band(buzz, 500 + 100 * number, 900 + 200 * number) + 0.3 * band(buzz, 2000, 3000)
        events.append((0.05 + 0.55 * number, pan, vowel * np.sin(np.pi * u / 0.5) ** 0.5))
    return room(rng, placed(2.4, *events), 1.0, 0.5, 150, 8000)


def piano(rng: np.random.Generator) -> Wave:
    """Notes from low on the left to high on the right."""
    steps = (0, 4, 7, 12, 16, 19, 24, 28, 31, 36)
    events = [(0.05 + 0.18 * k, 0.16 * k - 0.8, pluck(rng, 110 * 2 ** (n / 12))) for k, n in enumerate(steps)]
    return room(rng, placed(2.4, *events), 0.9, 0.2)


def rain(rng: np.random.Generator) -> Wave:
    """Noise that differs from side to side, and three hundred drops anywhere between."""
    count = 2 * RATE
    out = np.stack([0.1 * band(rng.standard_normal(count), 500, 14000) for _ in range(2)], axis=1)
    u = time(0.02)
    for _ in range(300):
        drop, start = np.sin(2 * np.pi * rng.uniform(1500, 9000) * u) * np.exp(-u / 0.004), rng.integers(0, count - 900)
        out[start : start + len(u)] += 0.6 * drop[:, None] * rng.uniform(0, 1, 2)
    return out


def bells(rng: np.random.Generator) -> Wave:
    """Notes that go from side to side while they ring."""
    out, u = np.zeros((int(2.5 * RATE), 2)), time(1.5)
    for number in range(8):
        hz = 440 * 2 ** (rng.integers(0, 24) / 12)
        note = np.zeros(len(u))
        for partial, gain in ((1, 1.0), (2, 0.8), (2.4, 0.5), (3, 0.4), (5.33, 0.2)):
            note += gain * np.sin(2 * np.pi * hz * partial * u) * np.exp(-u * partial**0.6 / 0.6)
        angle = np.pi / 4 * (1 + 0.9 * np.sin(2 * np.pi * 1.5 * u + number))
        start = int((0.05 + 0.28 * number) * RATE)
        part = (rise(note)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))[: len(out) - start]
        out[start : start + len(part)] += part
    return room(rng, out, 0.7, 0.15)


def mix(rng: np.random.Generator) -> Wave:
    """Nearly mono, as most music: bass, drums, and a guitar a little to the left."""
    u = time(2.2)
    bass = 0.4 * np.sum([np.sin(2 * np.pi * 55 * k * u) / k for k in range(1, 12)], axis=0)
    events = [(0.0, 0.0, bass), *((0.05 + 0.5 * k, 0.0, kick(rng)) for k in range(4))]
    events += [(0.3 + 0.5 * k, 0.0, 0.8 * snare(rng)) for k in range(4)]
    events += [(0.05 + 0.25 * k, -0.3, 0.4 * pluck(rng, 330 * 2 ** (k / 12))) for k in range(6)]
    return room(rng, placed(2.2, *events), 0.5, 0.1)


SOUNDS: dict[str, Callable[[np.random.Generator], Wave]] = {
    "drum loop": drum_loop,
    "wide snare": wide_snare,
    "tambourine": tambourine,
    "chorus pad": chorus_pad,
    "spaced pair": spaced_pair,
    "voices": voices,
    "piano": piano,
    "rain": rain,
    "bells": bells,
    "mix": mix,
}


def sounds() -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Each one's name and waveform, float32 (n_samples, 2) with a peak of 0.8."""
    for number, (name, make) in enumerate(SOUNDS.items()):
        waveform = make(np.random.default_rng([7, number]))
        yield name, (waveform * (0.8 / np.abs(waveform).max())).astype(np.float32)


def hits(count: int) -> Iterator[NDArray[np.float32]]:
    """Drum hits to the left and right that rise within 2 to 12 ms, float32 (n_samples, 2) of 0.5 s."""
    makers = [kick, snare, hat, lambda rng: tom(rng, 120)]
    for number in range(count):
        rng = np.random.default_rng([11, number])
        hit = rise(makers[number % 4](rng), rng.uniform(0.002, 0.012))
        waveform = placed(0.5, (rng.uniform(0.03, 0.05), rng.uniform(-0.6, 0.6), hit))
        yield (waveform * (0.8 / np.abs(waveform).max())).astype(np.float32)

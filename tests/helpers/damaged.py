"""Audio files damaged in every way that we know of, made from sound ones by seeded mutation."""

from __future__ import annotations

import io
import os
import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile

FORMATS = {
    ".wav": [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "PCM_24"), ("WAV", "MS_ADPCM"), ("WAV", "ULAW")],
    ".flac": [("FLAC", "PCM_16"), ("FLAC", "PCM_24")],
    ".ogg": [("OGG", "VORBIS")],
    ".mp3": [("MP3", "MPEG_LAYER_III")],
    ".aiff": [("AIFF", "PCM_16"), ("AIFF", "DOUBLE")],
    ".au": [("AU", "FLOAT")],
    ".w64": [("W64", "PCM_16")],
    ".caf": [("CAF", "ALAC_16")],
}


def sound_bytes(rng: random.Random, suffix: str, kind: tuple[str, str]) -> bytes:
    """A sine in noise, of some length and number of channels, in a format."""
    rate, channels = rng.choice((8000, 16000, 44100)), rng.choice((1, 1, 2))
    time = np.arange(int(rng.uniform(0.05, 0.5) * rate)) / rate
    noise = np.random.default_rng(rng.randrange(1 << 30)).normal(0, 0.05, (len(time), channels))
    file = io.BytesIO()
    samples = 0.4 * np.sin(2 * np.pi * rng.uniform(100, 3000) * time)[:, None] + noise
    soundfile.write(file, samples, rate, format=kind[0], subtype=kind[1])
    return file.getvalue()


def truncated(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def bits_flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 10, 200))):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def header_flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(min(64, len(data)))] = rng.randrange(256)
    return bytes(changed)


def zeroed(rng: random.Random, data: bytes) -> bytes:
    start = rng.choice((0, rng.randrange(len(data))))
    return data[:start] + bytes(len(data) - start)


def doubled(rng: random.Random, data: bytes) -> bytes:
    return data + data[rng.randrange(len(data)) :]


def empty(rng: random.Random, data: bytes) -> bytes:
    return b""


def text(rng: random.Random, data: bytes) -> bytes:
    return b"This is no sound.\n" * rng.randint(1, 300)


def wav_header(rng: random.Random, data: bytes) -> bytes:
    """A RIFF header that lies about channels, sample rate, bits, or the lengths of its chunks."""
    changed = bytearray(plain_wav(rng))
    offset, form = rng.choice(
        ((4, "<I"), (16, "<I"), (20, "<H"), (22, "<H"), (24, "<I"), (32, "<H"), (34, "<H"), (40, "<I"))
    )
    largest = (1 << 8 * struct.calcsize(form)) - 1
    value = rng.choice((0, 1, 2, 3, 7, 100, 1024, largest // 2, largest - 1, largest, rng.randint(0, largest)))
    struct.pack_into(form, changed, offset, value)
    return bytes(changed)


def extreme_rate(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(plain_wav(rng))
    struct.pack_into("<I", changed, 24, rng.choice((1, 2, 9, 50, 192_000, 10_000_000, 2**31 - 1, 4_000_000_000)))
    return bytes(changed)


def flac_length(rng: random.Random, data: bytes) -> bytes:
    """The 36 bits of STREAMINFO that tell the number of samples say too much or too little."""
    changed = bytearray(sound_bytes(rng, ".flac", ("FLAC", "PCM_16")))
    number = rng.choice((0, 1, 100, (1 << 36) - 1, rng.randrange(1 << 36)))
    changed[21] = changed[21] & 0xF0 | number >> 32
    struct.pack_into(">I", changed, 22, number & 0xFFFFFFFF)
    return bytes(changed)


def not_finite(rng: random.Random, data: bytes) -> bytes:
    """NaN, infinite, or too large for a power to be a number, somewhere or everywhere."""
    samples = np.random.default_rng(rng.randrange(1 << 30)).normal(0, 0.1, (2000, rng.choice((1, 2))))
    value = rng.choice((np.nan, np.inf, -np.inf, 1e30, -3e38))
    samples[rng.choice((slice(None), slice(1500, None), rng.randrange(2000)))] = value
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def plain_wav(rng: random.Random) -> bytes:
    return sound_bytes(rng, ".wav", ("WAV", "PCM_16"))


GENERAL: Sequence[Callable[[random.Random, bytes], bytes]] = (
    *(truncated, bits_flipped, header_flipped, zeroed, doubled),
    *(truncated, bits_flipped, header_flipped),
)
SPECIAL: dict[Callable[[random.Random, bytes], bytes], str] = {
    wav_header: ".wav",
    extreme_rate: ".wav",
    flac_length: ".flac",
    not_finite: ".wav",
    empty: ".ogg",
    text: ".wav",
}


def write_damaged(folder: Path, count: int, seed: int = 0, recordings: Sequence[Path] = ()) -> int:
    """Write `count` damaged files and some that are no files at all; returns how many sources they are.

    recordings: real files to damage beside sounds that are made here.
    """
    rng = random.Random(seed)
    suffixes = sorted(FORMATS)
    folder.mkdir(parents=True)
    for i in range(count):
        if i % 3 == 2:
            mutate, suffix = list(SPECIAL.items())[(i // 3) % len(SPECIAL)]
            data = b""
        else:
            mutate = GENERAL[(i // 3) % len(GENERAL)]
            if recordings and i % 3 == 1:
                path = rng.choice(recordings)
                suffix, data = path.suffix, path.read_bytes()
            else:
                suffix = suffixes[i % len(suffixes)]
                data = sound_bytes(rng, suffix, rng.choice(FORMATS[suffix]))
        (folder / f"{i:03d}_{mutate.__name__}{suffix}").write_bytes(mutate(rng, data))
    return count + write_odd(folder, rng)


def write_odd(folder: Path, rng: random.Random) -> int:
    """Names and kinds of entries that no program expects; returns how many sources they are."""
    sound = plain_wav(rng)
    (folder / "folder.wav").mkdir()
    os.mkfifo(folder / "pipe.wav")
    (folder / "dangling.wav").symlink_to(folder / "nothing.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    with open(os.path.join(os.fsencode(folder), "caf\xe9.wav".encode("latin-1")), "wb") as file:
        file.write(sound)
    names = [
        "ü" * 125 + ".wav",
        "n" * 251 + ".wav",
        "two\nlines.wav",
        "*?[a]#%20'\".wav",
        " .wav",
        "-.wav",
        "ＦＵＬＬ.wav",
    ]
    names += ["/".join("d" * 100 for _ in range(3)) + "/deep.wav", "UPPER.WAV", "no.suffix.at.all.flac.wav"]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sound)
    return 5 + len(names)


SOUND_NAMES = ("deep.wav", "UPPER.WAV", "two\nlines.wav", " .wav")
"""Some of the odd names whose content is sound."""

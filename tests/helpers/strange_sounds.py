"""Sound files as strangers have them: joined, cut, piped, of unknown length, under another's suffix."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from pipelines.audio.loading import Loader

RATE = 44100


def sine(seconds: float, rate: int = RATE, channels: int = 1, hz: float = 440.0) -> np.ndarray:
    """float32 (n_samples, channels)."""
    wave = 0.4 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def encoded(
    samples: np.ndarray, kind: str, subtype: str | None = None, rate: int = RATE, endian: str | None = None
) -> bytes:
    """By libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype, endian=endian)
    return file.getvalue()


def mp3(samples: np.ndarray, rate: int = RATE, mode: str = "CONSTANT", level: float = 0.5) -> bytes:
    """An MP3 with a header that tells its length."""
    file = io.BytesIO()
    channels = samples.shape[1]
    options = {"format": "MP3", "bitrate_mode": mode, "compression_level": level}
    with soundfile.SoundFile(file, "w", rate, channels, **options) as sound:
        sound.write(samples)
    return file.getvalue()


_KBIT = {1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)}
_KBIT[2] = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def mp3_frames(data: bytes) -> Iterator[bytes]:
    """The frames of an MP3 that holds nothing else."""
    at = 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        is_first = data[at + 1] & 8
        kbit = _KBIT[1 if is_first else 2][data[at + 2] >> 4]
        rate = (44100, 48000, 32000)[data[at + 2] >> 2 & 3] >> (not is_first)
        size = (144 if is_first else 72) * kbit * 1000 // rate + (data[at + 2] >> 1 & 1)
        yield data[at : at + size]
        at += size


def without_length(data: bytes) -> bytes:
    """An MP3 without its first frame, which tells the length and has no sound."""
    return b"".join(list(mp3_frames(data))[1:])


def piped_flac(data: bytes) -> bytes:
    """A FLAC whose number of samples is not known, as of a program that writes to a pipe."""
    changed = bytearray(data)
    changed[21] &= 0xF0
    changed[22:26] = bytes(4)
    return bytes(changed)


def with_sizes(wav: bytes, riff: int, data: int) -> bytes:
    """A WAV whose header tells these sizes."""
    changed = bytearray(wav)
    struct.pack_into("<I", changed, 4, riff)
    struct.pack_into("<I", changed, changed.index(b"data") + 4, data)
    return bytes(changed)


def by_pyav(samples: np.ndarray, kind: str, codec: str, rate: int = 48000, **options: str) -> bytes:
    """By FFmpeg's encoders, into a container that is written as to a file."""
    import av

    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name, "sound")
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    with folder, av.open(str(path), "w", format=kind, options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for start in range(0, len(samples), 4096):
            planes = np.ascontiguousarray(samples[start : start + 4096].T)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
        container.close()
        return path.read_bytes()


def tiny_flac_of_hours() -> bytes:
    """55 bytes that decode to 65,535 samples at 23 Hz: one constant frame, and a header that tells so."""
    rate, size = 23, 65535
    info = struct.pack(">HH", size, size) + bytes(6)
    info += ((rate << 44) | (0 << 41) | (15 << 36) | size).to_bytes(8, "big") + bytes(16)
    header = b"\xff\xf8" + bytes([0b0111_0000 | 0, 0b0000_1000, 0]) + struct.pack(">H", size - 1)
    frame = header + bytes([_crc(header, 0x07, 8)]) + b"\x00\x00\x00"
    return b"fLaC\x80\0\0\x22" + info + frame + _crc(frame, 0x8005, 16).to_bytes(2, "big")


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    value, top = 0, 1 << (bits - 1)
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & ((1 << bits) - 1)
    return value


def cut(data: bytes, share: float = 0.5) -> bytes:
    """Its first part."""
    return data[: round(share * len(data))]


def loaded(path: Path, data: bytes, rate: int | None = None, **options: object) -> tuple[np.ndarray, list[str]]:
    """Samples at the file's own rate, and what is told of it."""
    path.write_bytes(data)
    loader = Loader(rate, **options)  # type: ignore[arg-type]
    samples = loader.load(str(path))
    return samples, loader.warnings.get(str(path), [])

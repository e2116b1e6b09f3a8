"""WAV files of the plainest kind, 16 bits a sample, decoded by numpy: to the bit as libsndfile does it, and sooner."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipelines.decoders.source_file import SourceFile
from pipelines.decoders.streams import BLOCK_FRAMES, BLOCK_VALUES, AudioStream, Opened

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_MOST_CHANNELS = 1024  # libsndfile's
_FULL_SCALE = np.float32(1 << 15)


def reads(opened: Opened) -> bool:
    """Whether it is a local file of this kind that is whole; libsndfile sees to all others."""
    if opened.file.is_remote or len(opened.head) < _HEADER.size:
        return False
    riff, _, wave, fmt, length, kind, channels, rate, _, frame_bytes, bits, data, num_bytes = _HEADER.unpack_from(
        opened.head
    )
    return (
        (riff, wave, fmt, length, kind, bits, data) == (b"RIFF", b"WAVE", b"fmt ", 16, 1, 16, b"data")
        and 0 < channels <= _MOST_CHANNELS
        and frame_bytes == 2 * channels
        and 0 < rate < 1 << 31
        and 0 < num_bytes <= min(opened.file.size - _HEADER.size, 0x7FFFF000)  # more says that it is not known
        and num_bytes % frame_bytes == 0
        and opened.file.size < 1 << 32  # else it may have wrapped
    )


@contextlib.contextmanager
def opened(opened: Opened, seconds: float | None) -> Iterator[AudioStream]:
    """The stream of a file that `reads` accepts."""
    channels, rate, _, frame_bytes, _, _, num_bytes = struct.unpack_from("<HIIHH4sI", opened.head, 22)
    num_frames = num_bytes // frame_bytes
    wanted = num_frames if seconds is None else min(num_frames, int(seconds * rate))
    blocks = _blocks(opened.file, channels, wanted)
    yield AudioStream(rate, channels, blocks, num_bytes=opened.file.size, promised_frames=num_frames)


def _blocks(file: SourceFile, channels: int, num_frames: int) -> Iterator[NDArray[np.float32]]:
    at_once = min(BLOCK_FRAMES, BLOCK_VALUES // channels)
    for start in range(0, num_frames, at_once):
        length = 2 * channels * min(at_once, num_frames - start)
        data = file.read_at(_HEADER.size + 2 * channels * start, length)
        whole = len(data) // (2 * channels)  # less than asked for when the file was cut meanwhile
        if whole:
            samples = np.frombuffer(data, "<i2", whole * channels).astype(np.float32)
            samples /= _FULL_SCALE
            yield samples.reshape(whole, channels)

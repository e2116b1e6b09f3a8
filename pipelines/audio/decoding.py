"""Audio files as streams of float32 blocks: libsndfile for most formats, PyAV (an extra) for the others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipelines import store
from pipelines.audio.formats import AV_SUFFIXES, suffix_of
from pipelines.errors import SourceError, describe, stage_of
from pipelines.store.paths import local_path

BLOCK_FRAMES = 1 << 18
"""Sample frames decoded at a time: a few seconds of sound, about a megabyte a channel."""
_BLOCK_VALUES = 8 * BLOCK_FRAMES  # of all channels: headers claim up to 1024 of them


@dataclass(frozen=True)
class AudioStream:
    """An open file. sample_rate in Hz; blocks yields float32 (n_samples, n_channels) at full scale ±1."""

    sample_rate: int
    n_channels: int
    blocks: Iterator[NDArray[np.float32]]


@contextlib.contextmanager
def open_audio(uri: str, seconds: float | None = None, first_piece: bytes | None = None) -> Iterator[AudioStream]:
    """Open an audio file on any fsspec file system, to be read in blocks.

    seconds: read no more than int(seconds * sample_rate) sample frames. first_piece: of a file on another store
    the first `first_bytes(seconds)`, when they are known. SourceError when it can't be opened or decoded.
    """
    opener = _open_av if suffix_of(uri) in AV_SUFFIXES else _open_soundfile
    path = local_path(uri)
    with contextlib.ExitStack() as stack:
        try:
            target: Any = path
            if path is None:
                target = stack.enter_context(store.open_read(uri, first_bytes(seconds), first_piece))
            stream = stack.enter_context(opener(uri, target, seconds))
        except (OSError, soundfile.LibsndfileError) as error:
            raise SourceError(uri, stage_of(error, "open"), describe(error)) from error
        yield stream


def first_bytes(seconds: float | None) -> int:
    """How many bytes of a file on another store to ask for at first."""
    return store.WHOLE_BYTES if seconds is None else store.START_BYTES


def duration_seconds(uri: str) -> float:
    """The length of an audio file by its header, without decoding it. SourceError when it has none."""
    path = local_path(uri)
    with contextlib.ExitStack() as stack:
        try:
            target = path or stack.enter_context(store.open_read(uri, store.HEADER_BYTES))
            if suffix_of(uri) in AV_SUFFIXES:
                container = stack.enter_context(_av(uri).open(target))
                return float(container.duration or 0) / 1e6
            info = soundfile.info(target)
        except (OSError, soundfile.LibsndfileError) as error:
            raise SourceError(uri, "open", describe(error)) from error
        return float(info.frames) / float(info.samplerate)


@contextlib.contextmanager
def _open_soundfile(uri: str, target: str | BinaryIO, seconds: float | None) -> Iterator[AudioStream]:
    remote = None if isinstance(target, str) else _Remembering(target)
    try:
        with soundfile.SoundFile(remote or target) as file:
            limit = None if seconds is None else int(seconds * file.samplerate)
            yield AudioStream(file.samplerate, file.channels, _soundfile_blocks(uri, file, remote, limit))
    except soundfile.LibsndfileError as error:
        raise (remote and remote.error) or error from error


class _Remembering:
    """A remote file that keeps the first error: libsndfile takes a read that fails for the end of the file."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek = file.seek
        self.tell = file.tell
        self.error: OSError | None = None
        self._file = file

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            self.error = self.error or error
            return b""


def _soundfile_blocks(
    uri: str, file: soundfile.SoundFile, remote: _Remembering | None, limit: int | None
) -> Iterator[NDArray[np.float32]]:
    at_once = max(1, min(BLOCK_FRAMES, _BLOCK_VALUES // file.channels))
    while limit is None or limit > 0:
        wanted = at_once if limit is None else min(at_once, limit)
        failed: Exception | None = None
        try:
            block = file.read(wanted, dtype="float32", always_2d=True)
        except (OSError, soundfile.LibsndfileError) as error:
            failed = error
        if failed := (remote and remote.error) or failed:
            raise SourceError(uri, stage_of(failed, "decode"), describe(failed)) from failed
        if len(block) == 0:
            return
        yield block
        if len(block) < wanted:
            return
        if limit is not None:
            limit -= len(block)


def _av(uri: str) -> Any:
    try:
        import av
    except ImportError as error:
        reason = f"{suffix_of(uri)} needs PyAV: pip install 'audio-vae[formats]'"
        raise SourceError(uri, "open", reason) from error
    return av


@contextlib.contextmanager
def _open_av(uri: str, target: str | BinaryIO, seconds: float | None) -> Iterator[AudioStream]:
    av = _av(uri)
    with av.open(target) as container:
        if not container.streams.audio:
            raise SourceError(uri, "open", "holds no audio stream")
        track = container.streams.audio[0]
        limit = None if seconds is None else int(seconds * track.rate)
        yield AudioStream(track.rate, track.channels, _av_blocks(uri, av, container, track, limit))


def _av_blocks(uri: str, av: Any, container: Any, track: Any, limit: int | None) -> Iterator[NDArray[np.float32]]:
    """Decoded packets, gathered into blocks of at least BLOCK_FRAMES so that the resampler is called seldom."""
    resampler = av.AudioResampler(format="fltp", layout=track.layout, rate=track.rate)
    pending: list[NDArray[np.float32]] = []
    total = 0
    try:
        for frame in container.decode(track):
            for converted in resampler.resample(frame):
                pending.append(converted.to_ndarray().T)
                total += len(pending[-1])
            if limit is not None and total >= limit:
                break
            if sum(map(len, pending)) >= BLOCK_FRAMES:
                yield np.concatenate(pending)
                pending = []
    except av.error.FFmpegError as error:
        raise SourceError(uri, "decode", describe(error)) from error
    if pending:
        last = np.concatenate(pending)
        keep = len(last) if limit is None else len(last) - max(0, total - limit)
        yield last[:keep]

"""Decoding by libsndfile. What it leaves of a file is noticed, and then PyAV is asked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipelines.decoders import containers, with_pyav
from pipelines.decoders.containers import Samples
from pipelines.decoders.streams import (
    BLOCK_FRAMES,
    BLOCK_VALUES,
    INSTALL,
    SAME_SECONDS,
    UNKNOWN_FRAMES,
    AudioStream,
    Incomplete,
    Opened,
    cut_short,
)
from pipelines.errors import SourceError, describe, stage_of
from pipelines.store.paths import local_path

NAME = "libsndfile"
_NOT_ITS = ("mov", "matroska", "asf", "aac")
_COMPRESSED = {"FLAC": "flac", "OGG": "ogg", "MP3": "mp3"}
_NOISY = ("AIFF", "IMA_ADPCM")
_LONGEST_PATH = 1000  # bytes; libsndfile takes a longer one for no file


def reads(opened: Opened) -> bool:
    """Whether it is worth a try."""
    return opened.container not in _NOT_ITS


@contextlib.contextmanager
def opened(opened: Opened, seconds: float | None) -> Iterator[AudioStream]:
    """The stream of an open file. SourceError when it can't be opened."""
    file = opened.file
    samples = containers.promised_samples(opened.head, file.size, file.read_at)
    try:
        sound = soundfile.SoundFile(_target(opened, samples), closefd=False)
    except soundfile.LibsndfileError as error:
        raise _failed(opened, error, "open") from error
    with sound:
        # soundfile looks a format's name up in a list, which takes a while: nearly all files are WAV
        kind, subtype = ("WAV", "") if opened.container == "wav" else (sound.format, sound.subtype)
        is_noisy = (kind, subtype) == _NOISY
        if is_noisy and with_pyav.is_installed():
            raise SourceError(opened.uri, "open", "decodes this kind of AIFF with noise")
        if kind == "MP3":
            sound.seekable = _never  # soundfile seeks after each block; in MP3 that costs the next one its beginning
        limit = None if seconds is None else int(seconds * sound.samplerate)
        decoding = _Decoding(opened, sound, _COMPRESSED.get(kind), samples, limit)
        if is_noisy:
            decoding.warnings.append(f"was decoded with noise at -52 dB; PyAV does better: {INSTALL}")
        yield AudioStream(
            sound.samplerate,
            sound.channels,
            decoding.blocks(),
            num_bytes=file.size,
            promised_frames=decoding.promised_frames,
            warnings=decoding.warnings,
            order=containers.WAV_ORDER.get(sound.channels) if subtype in ("VORBIS", "OPUS") else None,
            may_be_part=decoding.compressed is not None,
        )


def _never() -> bool:
    return False


def _target(opened: Opened, samples: Samples | None) -> Any:
    """What libsndfile opens: a file descriptor, or what reads through Python."""
    file = opened.file
    mended = containers.mended_header(opened.head, file.size, samples, file.read_at)
    if file.descriptor is None or mended:
        return file.stream(mended)
    path = local_path(opened.uri)
    is_named = path is not None and len(os.fsencode(path)) < _LONGEST_PATH
    if opened.container is None and is_named and opened.suffix in (".au", ".snd"):
        return path  # of those it goes by the name where there is no header
    return _Descriptor.of(file.descriptor, opened.uri)


class _Descriptor(int):
    """A file descriptor that messages show as the file's name."""

    name = ""

    @classmethod
    def of(cls, number: int, name: str) -> _Descriptor:
        descriptor = cls(number)
        descriptor.name = name
        return descriptor

    def __repr__(self) -> str:
        return self.name

    __str__ = __repr__


def _failed(opened: Opened, error: Exception, stage: str) -> SourceError:
    """Why it failed; the store's own error, where it has one, is the reason."""
    cause = opened.file.error or error
    return SourceError(opened.uri, stage_of(cause, stage), describe(cause))


@dataclass
class _Decoding:
    opened: Opened
    sound: soundfile.SoundFile
    compressed: str | None  # "flac", "ogg", "mp3"
    samples: Samples | None
    limit: int | None
    warnings: list[str] = field(default_factory=list)
    promised_frames: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        frames = self.sound.frames
        self.promised_frames = frames if 0 < frames < UNKNOWN_FRAMES else 0

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        at_once = max(1, min(BLOCK_FRAMES, BLOCK_VALUES // self.sound.channels))
        while self.limit is None or self.total < self.limit:
            wanted = at_once if self.limit is None else min(at_once, self.limit - self.total)
            failed: Exception | None = None
            try:
                block = self.sound.read(wanted, dtype="float32", always_2d=True)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's
                failed = error
            if failed := self.opened.file.error or failed:
                self._give_up(failed)
            self.total += len(block)
            if len(block):
                yield block
            if len(block) < wanted:
                self._end()
                return

    def _give_up(self, error: Exception) -> None:
        """Fail, unless the other decoder gives the file up to where it was cut."""
        failure = _failed(self.opened, error, "decode")
        if failure.stage != "read" and self.compressed is not None:
            self._ask_pyav()
            if not with_pyav.is_installed():
                reason = f"{failure.reason}; PyAV may read more of it: {INSTALL}"
                failure = SourceError(self.opened.uri, "decode", reason)
        raise failure from error

    def _end(self) -> None:
        """Compare what came with what was promised and with what there is."""
        file, rate = self.opened.file, self.sound.samplerate
        seconds = self.total / rate
        if self.samples is not None and (lack := self.samples.missing(file.size)):
            there = max(1, file.size - self.samples.start)
            self.warnings.append(cut_short(seconds, seconds * (there + lack) / there))
        container = self.compressed
        if container is None:
            return
        lacks = self.promised_frames - self.total > SAME_SECONDS * rate
        if containers.goes_on(container, file.position, file.size, file.read_at):
            self._ask_pyav()
            if not with_pyav.is_installed():
                left = file.size - file.position
                more = f"{left:,} bytes at its end" if left else "a second stream in it"
                self.warnings.append(f"was not read to its end: {more} may hold more sound, for PyAV: {INSTALL}")
        elif container == "ogg" and not containers.ogg_is_whole(file.size, file.read_at):
            self.warnings.append(cut_short(seconds))
        elif lacks and (container == "flac" or containers.mp3_promises_length(file.read_at)):
            self.warnings.append(cut_short(seconds, self.promised_frames / rate))
        elif container == "mp3" and containers.last_frame_is_cut(container, file.size, file.read_at):
            self.warnings.append(cut_short(seconds))

    def _ask_pyav(self) -> None:
        """Incomplete when PyAV gives more of the file."""
        given = with_pyav.seconds_given(self.opened)
        if given is not None and given > self.total / self.sound.samplerate + SAME_SECONDS:
            raise Incomplete(self.opened.uri, "decode", "is given whole by PyAV alone")

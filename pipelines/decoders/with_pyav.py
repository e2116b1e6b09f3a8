"""Decoding by PyAV, an extra: m4a, aac, webm, wma, and what libsndfile reads in part or not at all.

A file is opened as the one container that its bytes say it is, and nothing else is opened for it: FFmpeg would follow
lists of other files and of addresses.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.decoders import containers
from pipelines.decoders.streams import BLOCK_FRAMES, INSTALL, SAME_SECONDS, AudioStream, Opened, cut_short
from pipelines.errors import SourceError, describe, stage_of
from pipelines.signals import import_whole

NAME = "PyAV"
_GOES_ON_AFTER_ERRORS = ("mp3", "aac")  # frames that stand alone: tags and foreign bytes lie between them
_NO_PROMISE = ("mp3", "aac")  # FFmpeg guesses their lengths
_FEW_BAD_PACKETS = 2  # the tags of joined files are as many


def is_installed() -> bool:
    """Whether PyAV is there; it is not imported."""
    return importlib.util.find_spec("av") is not None


def reads(opened: Opened) -> bool:
    """Whether it is worth a try: only as a container that is known."""
    return opened.container is not None


@contextlib.contextmanager
def opened(opened: Opened, seconds: float | None) -> Iterator[AudioStream]:
    """The stream of an open file. SourceError when it can't be opened, or PyAV is not there."""
    with contextlib.ExitStack() as stack:
        try:
            decoding = _decoding(stack, opened)
        except SourceError:
            raise
        except Exception as error:
            raise _failed(opened, error, "open") from error
        decoding.limit = None if seconds is None else int(seconds * decoding.rate)
        yield AudioStream(
            decoding.rate,
            decoding.channels,
            decoding.blocks(),
            num_bytes=opened.file.size,
            promised_frames=round(decoding.told_seconds * decoding.rate),
            warnings=decoding.warnings,
        )


def seconds_given(opened: Opened) -> float | None:
    """How many seconds it decodes, None when it is not there or fails on the way."""
    if not is_installed():
        return None
    try:
        with contextlib.ExitStack() as stack:
            decoding = _decoding(stack, opened)
            for _ in decoding.blocks():
                opened.alive()
            return decoding.total / decoding.rate
    except Exception:  # noqa: BLE001 - then the other decoder's word stands
        return None


def _decoding(stack: contextlib.ExitStack, opened: Opened) -> _Decoding:
    try:
        import_whole("av")
        import av
    except ImportError as error:
        what = opened.suffix if opened.suffix in containers.OF_SUFFIX else f"what it holds ({opened.container})"
        raise SourceError(opened.uri, "open", f"{what} needs PyAV: {INSTALL}") from error
    options = {"protocol_whitelist": ""}
    container = stack.enter_context(
        av.open(opened.file.stream(), format=opened.container, options=options, metadata_errors="replace")
    )
    if not container.streams.audio:
        raise SourceError(opened.uri, "open", "holds no audio stream")
    track = container.streams.audio[0]
    if track.codec_context is None:
        raise SourceError(opened.uri, "open", "holds sound of a kind that FFmpeg does not know")
    if not track.rate or not track.channels:
        raise SourceError(opened.uri, "open", "tells no sample rate or no channels")
    if opened.container == "flac":
        track.codec_context.options = {"err_detect": "crccheck+explode"}
    return _Decoding(opened, av, container, track)


def _failed(opened: Opened, error: Exception, stage: str) -> SourceError:
    cause = opened.file.error or error
    return SourceError(opened.uri, stage_of(cause, stage), describe(cause))


@dataclass
class _Decoding:
    opened: Opened
    av: Any
    container: Any
    track: Any
    limit: int | None = None
    warnings: list[str] = field(default_factory=list)
    total: int = 0
    bad_packets: int = 0
    last_error: Exception | None = None

    def __post_init__(self) -> None:
        self.rate, self.channels = self.track.rate, self.track.channels  # the track's change with what is decoded

    @property
    def told_seconds(self) -> float:
        """The length that the container tells, 0 when it tells none."""
        if self.track.duration and self.track.time_base:
            return float(self.track.duration * self.track.time_base)
        is_alone = len(self.container.streams) == 1
        return self.container.duration / 1e6 if self.container.duration and is_alone else 0.0

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Decoded packets, gathered into blocks of at least BLOCK_FRAMES so that the resampler is called seldom."""
        pending: list[NDArray[np.float32]] = []
        try:
            for piece in self._pieces():
                pending.append(piece)
                self.total += len(piece)
                if self.limit is not None and self.total >= self.limit:
                    break
                if sum(map(len, pending)) >= BLOCK_FRAMES:
                    yield np.concatenate(pending)
                    pending = []
        except SourceError:
            raise
        except Exception as error:
            raise _failed(self.opened, error, "decode") from error
        if self.opened.file.error:
            raise _failed(self.opened, self.opened.file.error, "decode")
        if pending:
            last = np.concatenate(pending)
            keep = len(last) if self.limit is None else len(last) - max(0, self.total - self.limit)
            yield last[:keep]
        if self.limit is None or self.total < self.limit:
            self._end()

    def _pieces(self) -> Iterator[NDArray[np.float32]]:
        """Frames of the track's rate and channels; what comes in others is converted."""
        converter, form = None, None
        for frame in self._frames():
            if (found := (frame.format.name, frame.layout.name, frame.sample_rate)) != form:
                if converter is not None and form is not None and form[2] != self.rate:
                    yield from map(self._samples, converter.resample(None))
                converter = self.av.AudioResampler(format="flt", layout=frame.layout, rate=self.rate)
                form = found
            yield from map(self._samples, converter.resample(frame))  # type: ignore[union-attr]
        if converter is not None and form is not None and form[2] != self.rate:
            yield from map(self._samples, converter.resample(None))

    def _samples(self, frame: Any) -> NDArray[np.float32]:
        """Float32 (n_samples, n_channels) in as many channels as the file had first."""
        samples: NDArray[np.float32] = frame.to_ndarray().reshape(frame.samples, -1)  # of planes PyAV reads eight
        if samples.shape[1] != self.channels:
            samples = np.repeat(samples.mean(axis=1, keepdims=True), self.channels, axis=1)
        return samples

    def _frames(self) -> Iterator[Any]:
        """Decoded frames. A packet that can't be decoded is the file's damage, unless it is its last, cut in two."""
        for packet in self.container.demux(self.track):
            try:
                frames = packet.decode()
            except self.av.error.EOFError:
                continue
            except self.av.error.FFmpegError as error:
                self.bad_packets += 1
                self.last_error = error
                continue
            if self.last_error is not None and packet.size and frames:
                if self.opened.container not in _GOES_ON_AFTER_ERRORS:
                    raise self.last_error
                self.last_error = None
            yield from frames

    def _end(self) -> None:
        """Compare what came with what was promised and with what there is."""
        seconds, told, file = self.total / self.rate, self.told_seconds, self.opened.file
        samples = containers.promised_samples(self.opened.head, file.size, file.read_at)
        if self.total == 0 and self.last_error is not None:
            raise _failed(self.opened, self.last_error, "decode")
        if samples is not None and (lack := samples.missing(file.size)):
            there = max(1, file.size - samples.start)
            self.warnings.append(cut_short(seconds, seconds * (there + lack) / there))
        elif self.opened.container not in _NO_PROMISE and told - seconds > SAME_SECONDS:
            self.warnings.append(cut_short(seconds, told))
        elif self.last_error is not None or self._end_is_cut():
            self.warnings.append(cut_short(seconds))
        elif self.bad_packets > _FEW_BAD_PACKETS:
            self.warnings.append(f"holds {self.bad_packets:,} parts that are no sound; they were left out")

    def _end_is_cut(self) -> bool:
        """Whether the file does not end as a whole one of its container does."""
        container, file = self.opened.container, self.opened.file
        if container == "ogg":
            return not containers.ogg_is_whole(file.size, file.read_at)
        return container in ("mp3", "aac") and containers.last_frame_is_cut(container, file.size, file.read_at)

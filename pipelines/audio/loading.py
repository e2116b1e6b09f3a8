"""From an audio file to waveform segments, in bounded memory however long the file is.

A waveform is float32 (n_samples, n_channels) at full scale ±1.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import soxr
from numpy.typing import NDArray

from pipelines import store
from pipelines.audio.decoding import BLOCK_FRAMES, AudioStream, Incomplete, first_bytes, open_audio
from pipelines.audio.formats import JOINABLE_SUFFIXES, suffix_of
from pipelines.audio.limits import SourceLimits
from pipelines.audio.segments import Padder, Segment, cut_segments
from pipelines.audio.soundness import checked
from pipelines.config import AudioConfig
from pipelines.course_names import also_called
from pipelines.decoders.streams import Alive, unwatched
from pipelines.errors import SourceError, describe, require, stage_of
from pipelines.store.paths import local_path

Tell = Callable[[str], object]
QUALITY = "HQ"
"""soxr's quality preset, the same that librosa resamples with by default."""
_FARTHEST_RATIO = 1000.0
"""No recording is resampled by more than this; a header that asks for it lies, and would fill disks with nothing."""
_LEAST_RATE_HZ = 1000
"""No recording has a lower sample rate, unless one is asked for that is lower still."""
_MAX_RATIO = 8.0
"""Up to this ratio a whole block is resampled at once; beyond it in pieces, to bound the memory of the result."""
_PRELOADED_VALUES = 1 << 16  # at most, of a file that is worth loading ahead, before and after resampling


class Loader:
    """Loads audio as `librosa.load` does: decoded, mixed to mono, resampled with soxr HQ.

    sample_rate: Hz of the waveform, None keeps the file's. duration: seconds to read from the start, None reads all.
    mono: mix the channels to one (their mean), or keep them. channels: with mono=False, how many there must be; a file
    with one channel is repeated. limits: what a file is let be. warnings: what is to be told of files that were loaded
    to their ends, by URI. alive: called now and then while no block comes.

    >>> waveform = Loader(sample_rate=8000).load(str(sounds / "tone_00.wav"))
    >>> waveform.shape, waveform.dtype.name
    ((8000, 1), 'float32')
    """

    def __init__(
        self,
        sample_rate: int | None,
        duration: float | None = None,
        mono: bool = True,
        channels: int | None = None,
        limits: SourceLimits | None = None,
    ) -> None:
        if sample_rate is not None:
            require(sample_rate > 0, "sample_rate", sample_rate, "a positive number of Hz")
        if duration is not None:
            require(duration > 0, "duration", duration, "a positive number of seconds")
        self.sample_rate = sample_rate
        self.duration = duration
        self.mono = mono
        self.channels = channels
        self.limits = limits or SourceLimits()
        self.warnings: dict[str, list[str]] = {}
        self.alive: Alive = unwatched
        self._by_pyav: set[str] = set()
        self._preloaded: dict[str, NDArray[np.float32]] = {}
        self._first_pieces: dict[str, bytes] = {}

    @also_called(file_path="uri")
    def load(self, uri: str) -> NDArray[np.float32]:
        """Return the waveform of a file at a path or any fsspec URI, float32 (n_samples, n_channels).

        Its axis of channels stays with mono=True: `load(path)[:, 0]` is what librosa.load gives. Resampled, it has
        ceil(n * sample_rate / native rate) samples. SourceError when the file can't be used.
        """
        try:
            return np.concatenate(list(self.blocks(uri)))
        except Incomplete:
            return np.concatenate(list(self.blocks(uri, again=True)))

    def blocks(self, uri: str, again: bool = False) -> Iterator[NDArray[np.float32]]:
        """The waveform in pieces, at least one, together equal to `load`'s.

        Incomplete, a SourceError, when they turn out to be a part only: then again=True gives all of it from its start.
        """
        if uri in self._preloaded:
            yield self._preloaded.pop(uri)
            return
        if again:
            self._by_pyav.add(uri)
        try:
            yield from self._resampled(uri)
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(uri, stage_of(error, "decode"), describe(error)) from error

    def _resampled(self, uri: str) -> Iterator[NDArray[np.float32]]:
        first_piece, by_pyav = self._first_pieces.pop(uri, None), uri in self._by_pyav
        with open_audio(uri, self.duration, first_piece, by_pyav, self.alive) as stream:
            yield from _resample(stream, self._mixed(uri, stream), self._rate(uri, stream))
            if stream.warnings:
                self.warnings[uri] = stream.warnings

    def settle(self, uri: str) -> None:
        """Find out which decoder gives all of a file, for callers that can't begin anew: `blocks` then does not."""
        if suffix_of(uri) not in JOINABLE_SUFFIXES:
            return
        with open_audio(uri, self.duration) as stream:
            try:
                for _ in stream.blocks if stream.may_be_part else ():
                    pass
            except Incomplete:
                self._by_pyav.add(uri)

    def fetch(self, uris: Iterable[str]) -> None:
        """Ask for the beginnings of files on other stores at once, so that `preload` and `blocks` have them at hand.

        Those that don't come are asked for again by `blocks`.
        """
        self._first_pieces = store.first_pieces(uris, first_bytes(self.duration))

    def read_ahead(self, uri: str, size: int) -> None:
        """Read all of a short local file of this size, once for all that is done with it."""
        path = local_path(uri)
        if path is None:
            return
        with contextlib.suppress(OSError):  # whoever opens it says why
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                content = os.read(descriptor, size + 1)
            finally:
                os.close(descriptor)
            if len(content) == size:
                self._first_pieces[uri] = content

    def fetched(self, uri: str) -> bytes | None:
        """What is at hand of a file that has not been loaded yet: its beginning, or all of it."""
        return self._first_pieces.get(uri)

    def preload(self, uris: Iterable[str]) -> None:
        """Load short files, a few dozen at most, so that `blocks` has them at hand; the samples are the same.

        soxr designs its filter anew in each call, which takes longer than resampling a second of sound. So files of one
        rate are resampled in one call, as channels, which never mix. Files that are longer or can't be used are left
        for `blocks`.
        """
        alike: dict[tuple[int, int, int], list[tuple[str, NDArray[np.float32]]]] = {}
        for uri in uris:
            piece = self._first_pieces.get(uri)
            if piece is None and local_path(uri) is None:
                continue
            with contextlib.suppress(Exception), open_audio(uri, self.duration, piece) as stream:
                blocks = self._mixed(uri, stream)
                block, rate = next(blocks), self._rate(uri, stream)
                is_short = block.size * max(1.0, rate / stream.sample_rate) <= _PRELOADED_VALUES
                if is_short and next(blocks, None) is None and not stream.warnings:
                    # those within a factor of two in length, so that little is padded
                    kind = stream.sample_rate, rate, len(block).bit_length()
                    alike.setdefault(kind, []).append((uri, block))
        self._preloaded = {}
        for (native_rate, rate, _), files in alike.items():
            with contextlib.suppress(Exception):
                resampled = resample_alike([block for _, block in files], native_rate, rate)
                self._preloaded |= {uri: waveform for (uri, _), waveform in zip(files, resampled, strict=True)}

    def _mixed(self, uri: str, stream: AudioStream) -> Iterator[NDArray[np.float32]]:
        """The decoded blocks with the channels that are wanted."""
        mixes = self.mono and stream.n_channels > 1
        blocks = checked(uri, stream, self.limits, self.duration, mixes)
        if self.mono:
            return blocks
        order = stream.order
        if order is not None:
            blocks = (block[:, order] for block in blocks)
        if self.channels is not None:
            channels = self.channels
            return (_with_channels(uri, block, channels) for block in blocks)
        return blocks

    def _rate(self, uri: str, stream: AudioStream) -> int:
        """The sample rate to resample to."""
        rate = self.sample_rate or stream.sample_rate
        least = min(_LEAST_RATE_HZ, rate) if self.sample_rate else 1
        if stream.sample_rate < least:
            reason = f"its sample rate of {stream.sample_rate} Hz is that of no recording, {least:,} Hz at least"
            raise SourceError(uri, "open", reason)
        if not 1 / _FARTHEST_RATIO <= rate / stream.sample_rate <= _FARTHEST_RATIO:
            reason = f"its sample rate of {stream.sample_rate} Hz is too far from sample_rate={rate}"
            raise SourceError(uri, "open", reason)
        return rate


def loader_of(config: AudioConfig, limits: SourceLimits | None = None) -> Loader:
    """The loader that these settings ask for."""
    duration = config.segment_seconds if config.segments == "first" else None
    mono = config.channels == 1
    return Loader(config.sample_rate, duration, mono, None if mono else config.channels, limits)


def iter_segments(uri: str, config: AudioConfig, tell: Tell | None = None) -> Iterator[Segment]:
    """Decode, mix, resample and cut a file, as a stream.

    With `segments="first"` only the first segment_seconds are read, else segments start every segment_hop_seconds until
    the whole file is covered and the last one is padded. tell: called with a warning, when there is one, at the end.
    SourceError when the file can't be used.
    """
    loader = loader_of(config)
    loader.settle(uri)
    blocks = loader.blocks(uri)
    size, hop = config.segment_samples, config.segment_hop_samples
    for segment in cut_segments(blocks, size, hop, config.sample_rate, Padder(config.pad_mode)):
        yield segment
        if config.segments == "first":
            return
    if tell is not None and uri in loader.warnings:
        tell("; ".join(loader.warnings[uri]))


def _with_channels(uri: str, block: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    found = block.shape[1]
    if found == 1 and channels > 1:
        return np.repeat(block, channels, axis=1)
    if found != channels:
        raise SourceError(uri, "decode", f"has {found} channels, channels={channels} are wanted")
    return block


def resample_alike(
    waveforms: Sequence[NDArray[np.float32]], native_rate: int, sample_rate: int
) -> list[NDArray[np.float32]]:
    """Resample waveforms of one native rate in one call.

    Each (n_samples, n_channels) becomes (ceil(n_samples * sample_rate / native_rate), n_channels), to the bit what
    `soxr.resample` gives for it alone, with a zero behind it where that is shorter.
    """
    if native_rate == sample_rate:
        return list(waveforms)
    ends = list(itertools.accumulate(waveform.shape[1] for waveform in waveforms))
    rows = np.zeros((ends[-1], max(map(len, waveforms))), dtype=np.float32)
    for waveform, end in zip(waveforms, ends, strict=True):
        rows[end - waveform.shape[1] : end, : len(waveform)] = waveform.T
    # The copy is for numpy 2.2, where soxr refuses the strides of a single sample.
    columns = rows.T if rows.shape[1] > 1 else rows.T.copy()
    together = soxr.resample(columns, native_rate, sample_rate, QUALITY)
    resampled = []
    for waveform, end in zip(waveforms, ends, strict=True):
        alone = np.zeros((math.ceil(len(waveform) * (sample_rate / native_rate)), waveform.shape[1]), np.float32)
        n_alone = int(len(waveform) / (native_rate / sample_rate) + 0.5)  # what libsoxr gives for it alone
        alone[:n_alone] = together[:n_alone, end - waveform.shape[1] : end]
        resampled.append(alone)
    return resampled


def _resample(
    stream: AudioStream, blocks: Iterator[NDArray[np.float32]], sample_rate: int
) -> Iterator[NDArray[np.float32]]:
    """Resample a stream; the result does not depend on where the blocks end."""
    if stream.sample_rate == sample_rate:
        yield from blocks
        return
    ratio = sample_rate / stream.sample_rate
    if ratio > _MAX_RATIO:
        blocks = _pieces(blocks, max(1, int(BLOCK_FRAMES * _MAX_RATIO / ratio)))
    block = next(blocks)
    following = next(blocks, None)
    if following is None:  # one call, the same samples as the stream's
        yield from resample_alike([block], stream.sample_rate, sample_rate)
        return
    received, sent = len(block), 0
    resampler = soxr.ResampleStream(stream.sample_rate, sample_rate, block.shape[1], "float32", QUALITY)
    while True:
        resampled = resampler.resample_chunk(block, last=following is None)
        sent += len(resampled)
        yield resampled.reshape(-1, block.shape[1])
        if following is None:
            break
        block, following = following, next(blocks, None)
        received += len(block)
    missing = math.ceil(received * ratio) - sent
    if missing > 0:
        yield np.zeros((missing, block.shape[1]), dtype=np.float32)


def _pieces(blocks: Iterator[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    for block in blocks:
        for start in range(0, len(block), size):
            yield block[start : start + size]

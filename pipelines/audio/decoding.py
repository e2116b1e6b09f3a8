"""Audio files as streams of float32 blocks: libsndfile for most formats, PyAV (an extra) for the others.

Each stands in for the other where one can't open a file, and PyAV where libsndfile would give only a part of one. The
plainest WAV files need neither.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pipelines import store
from pipelines.audio.formats import AV_SUFFIXES, suffix_of
from pipelines.decoders import containers, with_numpy, with_pyav, with_soundfile
from pipelines.decoders.source_file import SourceFile, source_file
from pipelines.decoders.streams import BLOCK_FRAMES, INSTALL, Alive, AudioStream, Incomplete, Opened, unwatched
from pipelines.errors import SourceError, describe, stage_of

__all__ = ["BLOCK_FRAMES", "AudioStream", "Incomplete"]  # beside what is defined here


@contextlib.contextmanager
def open_audio(
    uri: str,
    seconds: float | None = None,
    first_piece: bytes | None = None,
    by_pyav: bool = False,
    alive: Alive = unwatched,
) -> Iterator[AudioStream]:
    """Open an audio file on any fsspec file system, to be read in blocks.

    seconds: read no more than int(seconds * sample_rate) sample frames. first_piece: of a file on another store the
    first `first_bytes(seconds)`, of a local one all of it, when they are known. by_pyav: leave the others aside. alive:
    called while it is found out which decoder gives more. SourceError when it can't be opened or decoded; the blocks
    end with Incomplete when PyAV would give more of it.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(source_file(uri, first_bytes(seconds), first_piece))
            stream = _open(stack, _head(uri, file, alive), seconds, by_pyav)
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(uri, stage_of(error, "open"), describe(error)) from error
        yield stream


def first_bytes(seconds: float | None) -> int:
    """How many bytes of a file on another store to ask for at first."""
    return store.WHOLE_BYTES if seconds is None else store.START_BYTES


def header_of(uri: str) -> tuple[float, int, int]:
    """Seconds, sample rate and channels of a file by its header, without decoding it. SourceError without one."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(source_file(uri, store.HEADER_BYTES))
            stream = _open(stack, _head(uri, file), None, by_pyav=False)
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(uri, "open", describe(error)) from error
        return stream.promised_frames / stream.sample_rate, stream.sample_rate, stream.n_channels


def _head(uri: str, file: SourceFile, alive: Alive = unwatched) -> Opened:
    head = file.read_at(0, containers.HEAD_BYTES)
    if not containers.is_marked(head) and (reason := containers.why_no_sound(head)):
        raise SourceError(uri, "open", f"Format not recognised: {reason}")
    suffix = suffix_of(uri)
    return Opened(uri, suffix, file, head, containers.container_of(head, suffix), alive)


def _open(stack: contextlib.ExitStack, opened: Opened, seconds: float | None, by_pyav: bool) -> AudioStream:
    """By the decoder of the file's suffix, else by the other one. The reason of a failure names both."""
    if by_pyav:
        return stack.enter_context(with_pyav.opened(opened, seconds))
    if with_numpy.reads(opened):
        return stack.enter_context(with_numpy.opened(opened, seconds))
    decoders: list[Any] = [with_soundfile, with_pyav]
    if opened.suffix in AV_SUFFIXES:
        decoders.reverse()
    reasons = []
    for decoder in decoders:
        if not decoder.reads(opened):
            continue
        try:
            return stack.enter_context(decoder.opened(opened, seconds))
        except SourceError as error:
            if error.stage == "read":
                raise
            reasons.append(f"{error.reason} ({decoder.NAME})" if INSTALL not in error.reason else error.reason)
    if len(reasons) == 1:
        reasons = [reasons[0].removesuffix(f" ({with_soundfile.NAME})")]
    raise SourceError(opened.uri, "open", "; ".join(reasons))

"""What a decoder is given and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.decoders.source_file import SourceFile
from pipelines.errors import SourceError

BLOCK_FRAMES = 1 << 18
"""Sample frames decoded at a time: a few seconds of sound, about a megabyte a channel."""
BLOCK_VALUES = 8 * BLOCK_FRAMES
"""At most, of all channels: headers claim up to 1024 of them."""
INSTALL = "pip install 'audio-vae[formats]'"
"""What brings PyAV. A source whose reason or warning says so is tried again when it is there."""
SAME_SECONDS = 0.25
"""Two decoders, or a header and a decoder, tell one length when they differ by less: codecs pad at both ends."""
UNKNOWN_FRAMES = 1 << 60
"""libsndfile gives such a length or more to a file that does not tell its own."""


Alive = Callable[[], object]
"""Called now and then by what takes long: a sign of life."""


def unwatched() -> None:
    """No sign of life is asked for."""


@dataclass(frozen=True)
class Opened:
    """A file, its suffix and first bytes, and FFmpeg's name of its container, None when that is not known."""

    uri: str
    suffix: str
    file: SourceFile
    head: bytes
    container: str | None
    alive: Alive = unwatched


@dataclass(frozen=True)
class AudioStream:
    """An open file. sample_rate in Hz; blocks yields float32 (n_samples, n_channels) at full scale ±1.

    promised_frames: what the header says, 0 when it says nothing. num_bytes: of the file. warnings: what is to be told
    of the file, whole once the blocks have ended. order: the channels in the order of a WAV, None when they are so.
    may_be_part: whether the blocks may end with Incomplete.
    """

    sample_rate: int
    n_channels: int
    blocks: Iterator[NDArray[np.float32]]
    num_bytes: int = 0
    promised_frames: int = 0
    warnings: list[str] = field(default_factory=list)
    order: tuple[int, ...] | None = None
    may_be_part: bool = False


class Incomplete(SourceError):
    """One decoder came to its end, and the other gives more of the file: it is to be opened again, by that one."""


def cut_short(seconds: float, promised_seconds: float | None = None) -> str:
    """The warning of a file that ends before its end."""
    if promised_seconds is None:
        return f"is cut short: it ends after {seconds:.4g} s, without the mark of an end"
    return f"is cut short: it promises {promised_seconds:.4g} s, and {seconds:.4g} s are there"

"""Waveforms to segments of one length: cut, and the last one padded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.config import PAD_MODES
from pipelines.course_names import also_called
from pipelines.errors import require


@dataclass(frozen=True)
class Segment:
    """One piece of a source, padded to its full length.

    samples: float32 (segment_samples, n_channels). index: from 0. start_seconds: where it begins in the source.
    valid_samples: samples before padding begins.
    """

    samples: NDArray[np.float32]
    index: int
    start_seconds: float
    valid_samples: int


class Padder:
    """Lengthens an array along its first axis in one of numpy's pad modes.

    >>> import numpy as np
    >>> Padder("constant").right_pad(np.float32([1, 2]), 2).tolist()
    [1.0, 2.0, 0.0, 0.0]
    >>> Padder("edge").left_pad(np.float32([1, 2]), 1).tolist()
    [1.0, 1.0, 2.0]
    """

    def __init__(self, mode: str = "constant") -> None:
        require(mode in (*PAD_MODES, "empty"), "mode", mode, f"one of {', '.join(PAD_MODES)}, empty")
        self.mode = mode

    @also_called(num_missing_items="num_missing")
    def left_pad(self, array: NDArray[np.float32], num_missing: int) -> NDArray[np.float32]:
        """Put num_missing items before the array."""
        return self._pad(array, num_missing, 0)

    @also_called(num_missing_items="num_missing")
    def right_pad(self, array: NDArray[np.float32], num_missing: int) -> NDArray[np.float32]:
        """Put num_missing items behind the array."""
        return self._pad(array, 0, num_missing)

    def _pad(self, array: NDArray[np.float32], before: int, after: int) -> NDArray[np.float32]:
        require(before + after >= 0, "num_missing", before + after, "a number of items, at least 0")
        if self.mode == "constant":  # in a fifth of np.pad's time
            padded = np.zeros((before + len(array) + after, *array.shape[1:]), dtype=array.dtype)
            padded[before : before + len(array)] = array
            return padded
        widths = [(before, after)] + [(0, 0)] * (array.ndim - 1)
        return np.pad(array, widths, mode=self.mode)  # type: ignore[call-overload]


def cut_segments(
    blocks: Iterable[NDArray[np.float32]], size: int, hop: int, sample_rate: int, padder: Padder
) -> Iterator[Segment]:
    """Cut a waveform of n samples that comes in blocks into ceil((n - size) / hop) + 1 segments, at least one.

    size, hop: samples in a segment and from one's start to the next's, hop at most size.
    """
    pending: NDArray[np.float32] | None = None
    index = 0
    uncovered = True  # whether samples have come since the last segment's end
    for block in blocks:
        uncovered = uncovered or len(block) > 0
        pending = block if pending is None else np.concatenate([pending, block])
        start = 0
        while start + size <= len(pending):
            yield Segment(pending[start : start + size], index, index * hop / sample_rate, size)
            uncovered = start + size < len(pending)
            index += 1
            start += hop
        pending = pending[start:]
    if pending is not None and uncovered:
        padded = padder.right_pad(pending, size - len(pending))
        yield Segment(padded, index, index * hop / sample_rate, len(pending))


def worth_keeping(
    segments: Iterable[Segment], hop: int, min_level_db: float | None, one_shot_db: float | None
) -> Iterator[tuple[Segment, bool]]:
    """The segments of one file, each with whether it is to become a record.

    hop: samples from one's start to the next's. min_level_db: none without a sample so loud, in dB of full scale.
    one_shot_db: where the file ends within two lengths of a segment, and what follows the first is so much quieter than
    that by their loudest samples, then the first alone. None of either: all.
    """
    least = 0.0 if min_level_db is None else 10 ** (min_level_db / 20)
    for segment, is_fade in _with_fades(segments, hop, one_shot_db):
        is_quiet = min_level_db is not None and _peak(segment.samples[: segment.valid_samples]) < least
        yield segment, not (is_fade or is_quiet)


def _with_fades(segments: Iterable[Segment], hop: int, one_shot_db: float | None) -> Iterator[tuple[Segment, bool]]:
    """The segments, each with whether it has nothing but the fade of a one-shot that the first one does not have."""
    rest = iter(segments)
    held: list[Segment] = []
    for segment in rest if one_shot_db is not None else ():
        held.append(segment)
        if segment.index * hop + segment.valid_samples > 2 * len(segment.samples):
            break  # a long file
    else:
        yield from ((segment, segment.index > 0 and _is_faded(held, hop, one_shot_db or 0.0)) for segment in held)
        held = []
    yield from ((segment, False) for segment in (*held, *rest))


def _is_faded(segments: list[Segment], hop: int, decibels: float) -> bool:
    """Whether what follows the first segment is so much quieter than it is."""
    first, *after = segments
    size = len(first.samples)
    pieces = (each.samples[max(0, size - each.index * hop) : each.valid_samples] for each in after)
    return max(map(_peak, pieces), default=0.0) <= _peak(first.samples) * 10 ** (-decibels / 20)


def _peak(samples: NDArray[np.float32]) -> float:
    return float(np.abs(samples).max(initial=0.0))


def valid_frames(valid_samples: int, segment_samples: int, hop_length: int) -> int:
    """Frames whose centre lies before padding begins; all frames of a segment without padding."""
    n_frames = 1 + segment_samples // hop_length
    return n_frames if valid_samples >= segment_samples else min(n_frames, math.ceil(valid_samples / hop_length))

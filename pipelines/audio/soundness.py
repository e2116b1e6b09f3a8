"""Whether what a decoder gives can be a recording: finite, of bounded level and length, not silenced by its own mix."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.limits import SourceLimits
from pipelines.decoders.streams import AudioStream
from pipelines.errors import SourceError

_FAR_OVER_DB = 20.0
_CANCELLED = 1e-3  # -60 dB
_AUDIBLE = 1e-4
_SECONDS_PER_BYTE = 1.0
"""Of the densest sound there is: silence in FLAC has a third of a second a byte, in its largest blocks."""
_GRACE_SECONDS = 60.0


def checked(
    uri: str, stream: AudioStream, limits: SourceLimits, duration: float | None, mixes: bool
) -> Iterator[NDArray[np.float32]]:
    """The stream's blocks, mixed to one channel (their mean) if `mixes`. SourceError for what is no recording.

    duration: seconds that are read, None for all. What is odd but no error is added to the stream's warnings.
    """
    rate, peak, mixed_peak, position = stream.sample_rate, 0.0, 0.0, 0
    most = limits.max_source_seconds
    if duration is None and stream.promised_frames > most * rate:
        raise SourceError(uri, "open", _too_long(f"promises {stream.promised_frames / rate:,.0f} s", most))
    densest = max(_GRACE_SECONDS, _SECONDS_PER_BYTE * stream.num_bytes)
    for block in stream.blocks:
        loudest = max(float(block.max(initial=0.0)), -float(block.min(initial=0.0)))
        if not math.isfinite(loudest):
            finite = np.isfinite(block).all(axis=1)
            raise SourceError(uri, "decode", f"sample {position + int(np.argmin(finite))} is not a finite number")
        peak = max(peak, loudest)
        position += len(block)
        if position > most * rate:
            raise SourceError(uri, "decode", _too_long(f"goes on after {position / rate:,.0f} s", most))
        if position > densest * rate:
            reason = (
                f"gives {position / rate:,.0f} s of sound and more from {stream.num_bytes:,} bytes: no recording does"
            )
            raise SourceError(uri, "decode", reason)
        if peak > 1.0 and _decibels(peak) > limits.max_over_full_scale_db:
            reason = f"its level of {_decibels(peak):.0f} dB over full scale is above --max-over-full-scale-db="
            raise SourceError(uri, "decode", f"{reason}{limits.max_over_full_scale_db:g}")
        if mixes:
            block = block.mean(axis=1, keepdims=True)
            mixed_peak = max(mixed_peak, float(block.max(initial=0.0)), -float(block.min(initial=0.0)))
        yield block
    if position == 0:
        raise SourceError(uri, "decode", "holds no samples")
    if peak > 1.0 and _decibels(peak) > _FAR_OVER_DB:
        stream.warnings.append(f"its level is {_decibels(peak):.0f} dB over full scale")
    if mixes and peak > _AUDIBLE and mixed_peak < _CANCELLED * peak:
        stream.warnings.append("its channels cancel each other: their mix is silence")


def _too_long(what: str, most: float) -> str:
    return f"{what} of sound, --max-source-seconds={most:g} allows less"


def _decibels(peak: float) -> float:
    return 20 * math.log10(peak)

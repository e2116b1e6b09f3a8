"""Which preset would keep what the headers of recordings promise."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.audio.headers import Header
from pipelines.config import AudioConfig

MUSIC = "music"
MUSIC_HZ = 32000
"""Music has sample rates from here on, and two channels; speech seldom has both."""


def is_like_music(headers: Sequence[Header]) -> bool:
    """Whether half of some recordings at least are in stereo at a rate of music's."""
    return bool(headers) and 2 * len(_in_stereo(headers)) >= len(headers)


def what_is_lost(headers: Sequence[Header], total: int, audio: AudioConfig) -> str | None:
    """A line where settings keep one channel, or half of the bandwidth, of what is like music; None of others.

    headers: of some of the recordings. total: how many those are.
    """
    stereo = _in_stereo(headers)
    if not is_like_music(headers) or (audio.channels > 1 and audio.sample_rate >= MUSIC_HZ):
        return None
    rates = sorted(header.sample_rate for header in stereo)
    longer = sum(header.seconds > audio.segment_seconds for header in headers) / len(headers)
    of = f"{total:,} files" if len(headers) == total else f"{len(headers)} files that were looked at"
    text = f"{len(stereo):,} of {of} are in stereo at {rates[len(rates) // 2] / 1000:g} kHz"
    return f"{text}, {longer:.0%} are longer than a segment of {audio.segment_seconds:g} s: --preset {MUSIC} keeps that"


def _in_stereo(headers: Sequence[Header]) -> list[Header]:
    return [header for header in headers if header.channels > 1 and header.sample_rate >= MUSIC_HZ]

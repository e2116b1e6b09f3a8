"""Lengths of time as people write them: 90s, 15m, 12h, 7d."""

from __future__ import annotations

import re

from pipelines.errors import SettingError, shortened

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


def seconds_of(name: str, text: str) -> float:
    """Seconds of a text such as 90s, 15m, 12h or 7d; a plain number is seconds. SettingError names the setting."""
    found = _PATTERN.fullmatch(text.strip())
    if not found:
        raise SettingError(f"{name}={shortened(text)} must be a length of time such as 90s, 15m, 12h or 7d")
    return float(found[1]) * _SECONDS[found[2]]


def in_words(seconds: float) -> str:
    """The largest unit that it has at least two of: `50 hours`, `3 days`."""
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"


def duration_text(seconds: float) -> str:
    """`2:05` or `1:02:05`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

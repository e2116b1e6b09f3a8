"""Which files count as audio, and where a URI lies; needs no decoder."""

from __future__ import annotations

SOUNDFILE_SUFFIXES = frozenset(
    {".wav", ".wave", ".w64", ".rf64", ".caf", ".aif", ".aiff", ".aifc"}
    | {".au", ".snd", ".flac", ".ogg", ".oga", ".opus", ".mp3"}
)
"""Read by libsndfile."""
AV_SUFFIXES = frozenset((".m4a", ".aac", ".webm", ".wma", ".mka"))
"""Read by PyAV, an extra."""
JOINABLE_SUFFIXES = frozenset((".mp3", ".flac", ".ogg", ".oga", ".opus"))
"""Files that may hold more than their first stream or header tells."""
AUDIO_SUFFIXES = SOUNDFILE_SUFFIXES | AV_SUFFIXES
"""Lower-case suffixes that count as audio."""


def suffix_of(path: str) -> str:
    """The lower-case suffix of a path with its dot, or an empty string."""
    name = path.rsplit("/", 1)[-1]
    return "." + name.rsplit(".", 1)[-1].lower() if "." in name else ""

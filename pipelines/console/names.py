"""Names of files on a terminal: whoever made them decides nothing about how the line looks."""

from __future__ import annotations

import unicodedata

from pipelines.errors import SourceError

_OF_WRITING = "\u200c\u200d"  # joiners, which Persian and emoji need
_ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(text: str) -> str:
    """The text with line ends, escape sequences, marks of direction, and broken characters spelt out, as `\\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def one_line(error: Exception) -> str:
    """What an error says, on one line."""
    text = str(error)
    return printable(text if isinstance(error, SourceError) else " ".join(text.split()))


def _escaped(character: str) -> str:
    if unicodedata.category(character) in _ESCAPED and character not in _OF_WRITING:
        return character.encode("unicode_escape", "surrogatepass").decode()
    return character

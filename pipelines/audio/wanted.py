"""Which of the files that lie in a folder are looked at: none that systems leave there, and what patterns ask for."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from pipelines.audio.formats import AUDIO_SUFFIXES, suffix_of

_OF_SYSTEMS = frozenset(("@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information", "__MACOSX"))
HIDDEN, OF_SYSTEMS, EXCLUDED, NOT_INCLUDED = "hidden", "in folders of the system's", "excluded", "not included"


@dataclass(frozen=True)
class Wanted:
    """include: shell patterns of which a file matches one, any file without them. exclude: of which it matches none.

    A pattern without `/` is one of names, of the file or a folder on its way; one with `/` is one of the relative path,
    in which `*` stands for `/` too. Case counts.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def why_no_folder(self, name: str) -> str | None:
        """Why a folder, by its relative path, isn't entered; None for one that is."""
        last = name.rsplit("/", 1)[-1]
        if last.startswith("."):
            return HIDDEN
        if last in _OF_SYSTEMS:
            return OF_SYSTEMS
        return EXCLUDED if any(_matches(name, pattern) for pattern in self.exclude) else None

    def why_not(self, name: str) -> str | None:
        """Why a file, by its relative path, isn't looked at; its kind where it is no audio; None for one that is."""
        if name.startswith(".") or "/." in name:
            return HIDDEN
        if not _OF_SYSTEMS.isdisjoint(name.split("/")[:-1]):
            return OF_SYSTEMS
        if suffix_of(name) not in AUDIO_SUFFIXES:
            return suffix_of(name) or "without a suffix"
        if any(_matches(name, pattern) for pattern in self.exclude):
            return EXCLUDED
        if self.include and not any(_matches(name, pattern) for pattern in self.include):
            return NOT_INCLUDED
        return None


def _matches(name: str, pattern: str) -> bool:
    if "/" in pattern:
        return fnmatch.fnmatchcase(name, pattern.strip("/")) or fnmatch.fnmatchcase(name, f"{pattern.strip('/')}/*")
    return any(fnmatch.fnmatchcase(part, pattern) for part in name.split("/"))


def in_words(ignored: dict[str, int]) -> str:
    """`12 of other kinds (.jpg, .txt), 3 hidden` of counts by reason; an empty string when there are none."""
    kinds = {why: count for why, count in ignored.items() if why.startswith(".") or why == "without a suffix"}
    words = []
    if kinds:
        most = sorted(kinds, key=lambda kind: (-kinds[kind], kind))
        shown = ", ".join(most[:4]) + (", …" if len(most) > 4 else "")
        words.append(f"{sum(kinds.values()):,} of other kinds ({shown})")
    words += [f"{ignored[why]:,} {why}" for why in (HIDDEN, OF_SYSTEMS, EXCLUDED, NOT_INCLUDED) if why in ignored]
    return ", ".join(words)

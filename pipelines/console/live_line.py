"""One line that shows how far a work has come: replaced on a terminal, printed seldom in a log."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_ERASE = "\033[K"  # the rest of the terminal's line


class LiveLine:
    """A line that the next one replaces on a terminal; elsewhere each is printed below the last.

    stream: where to, standard error unless given. live_seconds, plain_seconds: the least time between two of them on a
    terminal and elsewhere, for `is_due`.
    """

    def __init__(self, stream: TextIO | None = None, live_seconds: float = 0.1, plain_seconds: float = 10.0) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.seconds = live_seconds if self.live else plain_seconds
        self._shown = time.monotonic()
        self._open = False

    @property
    def columns(self) -> int:
        """The width of the terminal that the line is on, which standard output may not be."""
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        except OSError:
            return shutil.get_terminal_size().columns

    def is_due(self, now: float) -> bool:
        """Whether at `now`, of time.monotonic, the next line may be shown; it then counts as shown."""
        due = now - self._shown >= self.seconds
        self._shown = now if due else self._shown
        return due

    def show(self, text: str) -> None:
        """Replace the line, or print one."""
        self._write(f"\r{text}{_ERASE}" if self.live else f"{text}\n")
        self._open = self.live

    def clear(self) -> None:
        """Leave nothing on the terminal's line; what was printed elsewhere stays."""
        if self.live:
            self._write(f"\r{_ERASE}")
            self._open = False

    def end(self) -> None:
        """Leave the line where it stands; what follows starts on a new one."""
        if self._open:
            self._write("\n")
            self._open = False

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


class Counter:
    """Shows how many of `total` are done."""

    def __init__(self, total: int, what: str) -> None:
        self.total = total
        self.what = what
        self.done = 0
        self.line = LiveLine()

    def add(self, count: int = 1) -> None:
        """So many more are done."""
        self.done += count
        if self.line.is_due(time.monotonic()):
            self.line.show(f"{self.done:,}/{self.total:,} {self.what}")


@contextmanager
def counting(total: int, what: str) -> Iterator[Counter]:
    """A Counter that leaves nothing on the terminal."""
    counter = Counter(total, what)
    try:
        yield counter
    finally:
        counter.line.clear()

"""One line on the terminal that shows how far a work has come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LIVE_SECONDS, _PLAIN_SECONDS = 0.1, 10.0


class Counter:
    """Shows how many of `total` are done: one changing line on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, total: int, what: str) -> None:
        self.total = total
        self.what = what
        self.done = 0
        self._live = sys.stderr.isatty()
        self._shown = time.monotonic()

    def add(self, count: int = 1) -> None:
        """So many more are done."""
        self.done += count
        now = time.monotonic()
        if now - self._shown >= (_LIVE_SECONDS if self._live else _PLAIN_SECONDS):
            self._shown = now
            line = f"{self.done:,}/{self.total:,} {self.what}"
            sys.stderr.write(f"\r\033[K{line}" if self._live else f"{line}\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Clear the changing line."""
        if self._live:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


@contextmanager
def counting(total: int, what: str) -> Iterator[Counter]:
    """A Counter that leaves nothing on the terminal."""
    counter = Counter(total, what)
    try:
        yield counter
    finally:
        counter.close()

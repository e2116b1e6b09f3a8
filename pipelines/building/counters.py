"""What builder processes have done so far, counted where other processes can read it."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

PROGRESS_FILE = "progress"
"""In a folder of each builder's own."""


class Progress:
    """Counters in a memory-mapped file, written by one builder and read by anyone.

    ticks: signs of life. index: source being decoded, -1 between tasks. sources, seconds, shards: done in whole tasks.
    task_sources, task_seconds: done in the task at hand.
    """

    _AT_HAND = struct.Struct("<qqqd")
    _DONE = struct.Struct("<qdq")
    FIELDS = ("ticks", "index", "task_sources", "task_seconds", "sources", "seconds", "shards")

    def __init__(self, path: str, create: bool = False) -> None:
        size = self._AT_HAND.size + self._DONE.size
        if create:
            Path(path).write_bytes(self._AT_HAND.pack(0, -1, 0, 0.0) + bytes(self._DONE.size))
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)

    def read(self) -> dict[str, Any]:
        """The counters by name."""
        values = self._AT_HAND.unpack_from(self._map) + self._DONE.unpack_from(self._map, self._AT_HAND.size)
        return dict(zip(self.FIELDS, values, strict=True))

    def at_hand(self, ticks: int, index: int, task_sources: int, task_seconds: float) -> None:
        """Give a sign of life: where the task at hand is."""
        self._AT_HAND.pack_into(self._map, 0, ticks, index, task_sources, task_seconds)

    def done(self, sources: int, seconds: float, shards: int) -> None:
        """Say what is done in whole tasks."""
        self._DONE.pack_into(self._map, self._AT_HAND.size, sources, seconds, shards)

    def idle(self) -> None:
        """Say that there is no task at hand."""
        self.at_hand(self.read()["ticks"], -1, 0, 0.0)


def total_progress(folder: str) -> dict[str, float]:
    """Sources, seconds and shards done by all builders that count in a folder."""
    total = {"sources": 0.0, "seconds": 0.0, "shards": 0.0}
    for path in Path(folder).glob(f"*/{PROGRESS_FILE}"):
        counters = Progress(str(path)).read()
        total["sources"] += counters["sources"] + counters["task_sources"]
        total["seconds"] += counters["seconds"] + counters["task_seconds"]
        total["shards"] += counters["shards"]
    return total

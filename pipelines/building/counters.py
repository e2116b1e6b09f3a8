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

    _LAYOUT = struct.Struct("<qqqdqqd")
    FIELDS = ("ticks", "index", "sources", "seconds", "shards", "task_sources", "task_seconds")

    def __init__(self, path: str, create: bool = False) -> None:
        if create:
            Path(path).write_bytes(self._LAYOUT.pack(0, -1, 0, 0.0, 0, 0, 0.0))
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), self._LAYOUT.size)

    def read(self) -> dict[str, Any]:
        """The counters by name."""
        return dict(zip(self.FIELDS, self._LAYOUT.unpack_from(self._map), strict=True))

    def write(self, **values: float) -> None:
        """Replace some counters."""
        current = self.read() | values
        self._LAYOUT.pack_into(self._map, 0, *(current[name] for name in self.FIELDS))


def total_progress(folder: str) -> dict[str, float]:
    """Sources, seconds and shards done by all builders that count in a folder."""
    total = {"sources": 0.0, "seconds": 0.0, "shards": 0.0}
    for path in Path(folder).glob(f"*/{PROGRESS_FILE}"):
        counters = Progress(str(path)).read()
        total["sources"] += counters["sources"] + counters["task_sources"]
        total["seconds"] += counters["seconds"] + counters["task_seconds"]
        total["shards"] += counters["shards"]
    return total

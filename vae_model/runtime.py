"""What a command does before it uses Keras, and how a signal stops it at a step's end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from pipelines.terminal import held_stderr

_CGROUP_FILES = {"": ("memory.max", "memory.current"), "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes")}
"""The files of a memory limit and use, in version 2 of control groups and in version 1."""


def prepare() -> None:
    """Import TensorFlow as Keras's backend and start its devices, without a word on the terminal.

    TensorFlow's C++ side writes notes to file descriptor 2 before any setting reaches it, so the descriptor itself
    is held meanwhile; if the start fails, what it wrote is shown.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with held_stderr():
        import tensorflow

        if "TF_CONFIG" not in os.environ:  # a cluster must be joined before the devices start
            tensorflow.config.list_logical_devices()
        tensorflow.get_logger().setLevel("ERROR")


def available_bytes() -> int:
    """Memory that this process may still take: what is available, or what its cgroup leaves if that is less."""
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError, StopIteration):  # no Linux: what is installed
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    for limit, usage in _cgroup_files():
        with contextlib.suppress(OSError, ValueError):  # no such group, or "max": no limit
            left = int(limit.read_text(encoding="ascii")) - int(usage.read_text(encoding="ascii"))
            available = min(available, max(left, 0))
    return available


def _cgroup_files() -> Iterator[tuple[Path, Path]]:
    """Limit and use of this process's group and of the one that a container sees as its root."""
    with contextlib.suppress(OSError):  # no Linux
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            controller, path = line.split(":", 2)[1:]
            if controller in _CGROUP_FILES:
                limit, usage = _CGROUP_FILES[controller]
                root = Path("/sys/fs/cgroup", controller)
                for folder in (root, root / path.lstrip("/")):
                    yield folder / limit, folder / usage


def default_cache_mb() -> int:
    """A quarter of the available memory in MB."""
    return available_bytes() // 4 // 2**20


class StopSignals:
    """Inside its `with`, SIGINT and SIGTERM set `asked` instead of ending the process; a second one interrupts.

    What is asked is done at the end of a step, where weights, optimiser, noise and metrics belong together: an
    interrupt just anywhere could fall between a step and its being counted. Signals reach the main thread alone; in
    another thread, and without `hold`, this does nothing.
    """

    def __init__(self, hold: bool = True) -> None:
        self.asked = False
        self._hold = hold
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if self._hold and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

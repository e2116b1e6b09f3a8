"""Signals that end a training at the next step, with everything saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


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

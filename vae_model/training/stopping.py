"""Signals that end a training at the next step, with everything saved."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import FrameType

from pipelines.signals import handling


class StopSignals:
    """Inside its `with`, what asks to end sets `asked` instead of ending the process; a second one interrupts.

    What is asked is done at the end of a step, where weights, optimiser, noise and metrics belong together: an
    interrupt just anywhere could fall between a step and its being counted. Signals reach the main thread alone; in
    another thread, and without `hold`, this does nothing.
    """

    def __init__(self, hold: bool = True) -> None:
        self.asked = False
        self._held: AbstractContextManager[None] = handling(self._ask) if hold else nullcontext()

    def __enter__(self) -> StopSignals:
        self._held.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.__exit__(None, None, None)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

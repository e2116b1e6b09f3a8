"""What asks a process to end: all of it as Ctrl-C does, so that a command cleans up and says a line."""

from __future__ import annotations

import _thread
import importlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C; what a scheduler or a shutdown sends; what comes when the terminal is closed."""
_IMPORTING = "<frozen importlib._bootstrap>"
_AGAIN_SECONDS = 0.002
_PATIENCE_SECONDS = 30.0
_import_lock = threading.RLock()


@contextmanager
def handling(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Let a function handle in the block what asks to end; those signals that are ignored, as by nohup, stay ignored.

    In another thread than the main one this does nothing: somebody else handles signals.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for handled, previous in before.items():
            signal.signal(handled, signal.SIG_DFL if previous is None else previous)


@contextmanager
def terminable() -> Iterator[None]:
    """Let what asks to end raise KeyboardInterrupt in the block, amid an import as soon as that is done.

    Parts of large packages take any error for a module that is not there, and go on.
    """
    interrupt = _Interrupt()
    with handling(interrupt):
        try:
            yield
        finally:
            asked = interrupt.forget()
        if asked:
            raise KeyboardInterrupt


class _Interrupt:
    """A handler of signals."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._waiting: int | None = None
        self._since = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._waiting is None:
            self._since = now
        if _is_importing(frame) and now - self._since < _PATIENCE_SECONDS:
            self._waiting = number
            _thread.start_new_thread(self._send_again, ())  # takes no lock that the interrupted code may hold
            return
        self._waiting = None
        raise KeyboardInterrupt

    def _send_again(self) -> None:
        time.sleep(_AGAIN_SECONDS)
        with self._lock:
            if self._waiting is not None:
                os.kill(os.getpid(), self._waiting)

    def forget(self) -> bool:
        """Whether a signal still waits; it is sent no more."""
        with self._lock:
            waiting, self._waiting = self._waiting is not None, None
        return waiting


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False


@contextmanager
def held_signals() -> Iterator[None]:
    """Hold what asks to end back until the block has ended: what must not be left half done, or would swallow it."""
    came: list[int] = []
    try:
        with handling(lambda number, frame: came.append(number)):
            yield
    finally:
        if came:
            signal.raise_signal(came[0])


def import_whole(*names: str) -> None:
    """Import modules that several threads may want at once: one thread all of them, before another begins.

    Python lets a thread see a module that another has half imported when both would wait for each other; of TensorFlow
    and what stands on it, that thread then keeps wrong parts for good.
    """
    with _import_lock, held_signals():
        for name in names:
            importlib.import_module(name)

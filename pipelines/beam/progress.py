"""Live progress of a run on standard error: one line that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import TextIO

from pipelines.building.counters import total_progress
from pipelines.building.supervision import end_children
from pipelines.console.durations import duration_text
from pipelines.console.live_line import LiveLine

_TERMINAL_SECONDS = 0.25


def progress_text(done: dict[str, float], num_sources: int, num_shards: int, elapsed_seconds: float) -> str:
    """What is done of all, how fast, and the time left at that speed."""
    sources = int(done["sources"])
    text = f"sources {sources:,}/{num_sources:,}  shards {int(done['shards'])}/{num_shards}"
    if sources == 0 or elapsed_seconds <= 0:
        return text
    left = (num_sources - sources) * elapsed_seconds / sources
    speed = done["seconds"] / elapsed_seconds
    return f"{text}  audio {duration_text(done['seconds'])} at {speed:,.0f} s/s  left {duration_text(left)}"


@contextlib.contextmanager
def show_progress(num_sources: int, num_shards: int, stream: TextIO | None = None) -> Iterator[str]:
    """Show what builders of this machine count in the folder that is yielded, until the block ends.

    stream: where to, standard error unless given.
    """
    shown = LiveLine(stream, _TERMINAL_SECONDS)
    ended = threading.Event()
    # The builders make this folder, and the last of them removes it should this process be killed.
    folder = os.path.join(tempfile.gettempdir(), f"audio-vae-{secrets.token_hex(8)}")
    start = time.monotonic()

    most = {"sources": 0.0, "seconds": 0.0, "shards": 0.0}

    def line() -> str:
        most.update({name: max(most[name], count) for name, count in total_progress(folder).items()})
        return progress_text(most, num_sources, num_shards, time.monotonic() - start)

    def show() -> None:
        while not ended.wait(shown.seconds):
            shown.show(line())

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield folder
    finally:
        ended.set()
        thread.join()
        shown.show(line())
        shown.end()
        end_children()
        shutil.rmtree(folder, ignore_errors=True)

"""Many sounds, each into a WAV file of its own, with progress on standard error."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.config import require
from vae_model.outputs import Output

_LIVE_SECONDS, _PLAIN_SECONDS = 0.1, 10.0


def add_seed(parser: argparse.ArgumentParser) -> None:
    """The flag `--seed`, whose value `settled_seed` completes."""
    parser.add_argument(
        "--seed", type=int, metavar="S", help="the same seed gives the same sounds (default: a new one)"
    )


def settled_seed(given: int | None) -> int:
    """The seed that was given, or a new one. SettingError when it is out of range."""
    seed = secrets.randbelow(2**31) if given is None else given
    require(0 <= seed < 2**31, "--seed", seed, "at least 0 and below 2**31")
    return seed


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


def write_sounds(
    output: Output, name: str, waveforms: Iterable[NDArray[np.float32]], sample_rate: int, total: int
) -> list[dict[str, Any]]:
    """Write each waveform (n_samples, n_channels) as `<name>-00001.wav` and so on, and publish them.

    Returns `path` and `num_samples` of each.
    """
    from vae_model.sound import write_wav

    written = []
    with counting(total, "sounds") as counter:
        for number, waveform in enumerate(waveforms, start=1):
            file = f"{name}-{number:05}.wav"
            samples = write_wav(output.path / file, [waveform], sample_rate)
            written.append({"path": output.file(file), "num_samples": samples})
            counter.add()
    output.publish()
    print(f"{len(written):,} sounds in {output.name}", file=sys.stderr)
    return written

"""Lengths of audio files by their headers, read in processes of their own: a damaged header costs its file only."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import select
import subprocess
import sys
from pathlib import Path

from pipelines.errors import CONTENT_ERRORS, SourceError

_TIMEOUT_SECONDS = 5.0
_START_SECONDS = 300.0
_MOST_FAILURES = 3  # hangs or crashes after which lengths are not worth the time


class _Prober:
    """Asks one child process for one length after the other, and takes a new one when it hangs or ends."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._failures = 0

    def seconds(self, uri: str) -> float | None:
        """The length that a file's header tells, None when it has none."""
        if self._failures >= _MOST_FAILURES:
            return None
        if self._child is None:
            self._child = self._start()
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(uri).encode() + b"\n")
            self._child.stdin.flush()
            answer = self._answer(self._child, _TIMEOUT_SECONDS)
        except BrokenPipeError:
            answer = b""
        if not answer:
            self._failures += 1
            self.close()
            return None
        length: float | None = json.loads(answer)
        return length

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
            self._child = None

    def _start(self) -> subprocess.Popen[bytes]:
        source_root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [source_root, os.environ.get("PYTHONPATH")]))
        child = subprocess.Popen(
            [sys.executable, "-m", "pipelines.audio.headers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(os.environ, PYTHONPATH=path),
            start_new_session=True,
        )
        self._answer(child, _START_SECONDS)
        return child

    @staticmethod
    def _answer(child: subprocess.Popen[bytes], timeout_seconds: float) -> bytes:
        assert child.stdout is not None
        return child.stdout.readline() if select.select([child.stdout], [], [], timeout_seconds)[0] else b""


def header_seconds(uris: list[str], num_processes: int = 1) -> list[float | None]:
    """The length in seconds of each file, None for one without a readable header."""
    share = -(-len(uris) // num_processes) or 1

    def probe(start: int) -> list[float | None]:
        prober = _Prober()
        try:
            return [prober.seconds(uri) for uri in uris[start : start + share]]
        finally:
            prober.close()

    with concurrent.futures.ThreadPoolExecutor(num_processes) as pool:
        return [length for part in pool.map(probe, range(0, len(uris), share)) for length in part]


def main() -> None:
    """The child: answer each line, a URI, with a line, the seconds or null."""
    from pipelines.audio.decoding import duration_seconds

    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a decoder prints must not mix with the answers
    answers.write(b"\n")
    for line in sys.stdin.buffer:
        try:
            length: float | None = duration_seconds(json.loads(line))
        except (SourceError, *CONTENT_ERRORS):
            length = None
        answers.write(json.dumps(length).encode() + b"\n")


if __name__ == "__main__":
    main()

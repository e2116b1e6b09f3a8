"""Lengths of audio files by their headers, read in processes of their own: a damaged header costs its file only."""

from __future__ import annotations

import concurrent.futures
import json
import sys

from pipelines.audio.child import START_SECONDS, Child, Ended, open_answers, write_line

_TIMEOUT_SECONDS = 5.0
_MOST_FAILURES = 3  # hangs or crashes after which lengths are not worth the time


class _Prober:
    """Asks one child process for one length after the other, and takes a new one when it hangs or ends."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._failures = 0

    def seconds(self, uri: str) -> float | None:
        """The length that a file's header tells, None when it has none."""
        if self._failures >= _MOST_FAILURES:
            return None
        try:
            if self._child is None:
                self._child = Child("pipelines.audio.headers")
                self._answer(self._child, START_SECONDS)
            self._child.send(uri)
            return self._answer(self._child, _TIMEOUT_SECONDS)
        except Ended:
            self._failures += 1
            self.close()
            return None

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.end()
            self._child = None

    @staticmethod
    def _answer(child: Child, timeout_seconds: float) -> float | None:
        """What it says. Ended also when it says nothing for so long."""
        if not child.wait(timeout_seconds):
            raise Ended
        seconds: float | None = child.receive()
        return seconds


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

    answers = open_answers()
    write_line(answers, None)
    for line in sys.stdin.buffer:
        try:
            length: float | None = duration_seconds(json.loads(line))
        except Exception:  # noqa: BLE001 - a header that none can read
            length = None
        write_line(answers, length)


if __name__ == "__main__":
    main()

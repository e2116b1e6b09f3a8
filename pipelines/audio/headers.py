"""What the headers of audio files say, read in processes of their own: a damaged header costs its file only."""

from __future__ import annotations

import concurrent.futures
import json
import sys
from typing import NamedTuple

from pipelines.audio.child import START_SECONDS, Child, Ended, open_answers, write_line

_TIMEOUT_SECONDS = 5.0
_MOST_FAILURES = 3  # hangs or crashes after which lengths are not worth the time


class Header(NamedTuple):
    """What a file's header says: its length, its sample rate in Hz, and its channels."""

    seconds: float
    sample_rate: int
    channels: int


class _Prober:
    """Asks one child process for one header after the other, and takes a new one when it hangs or ends."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._failures = 0

    def header(self, uri: str) -> Header | None:
        """What a file's header says, None when it has none."""
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
    def _answer(child: Child, timeout_seconds: float) -> Header | None:
        """What it says. Ended also when it says nothing for so long."""
        if not child.wait(timeout_seconds):
            raise Ended
        said: list[float] | None = child.receive()
        return None if said is None else Header(said[0], int(said[1]), int(said[2]))


def read_headers(uris: list[str], num_processes: int = 1) -> list[Header | None]:
    """The header of each file, None for one without a readable one."""
    share = -(-len(uris) // num_processes) or 1

    def probe(start: int) -> list[Header | None]:
        prober = _Prober()
        try:
            return [prober.header(uri) for uri in uris[start : start + share]]
        finally:
            prober.close()

    with concurrent.futures.ThreadPoolExecutor(num_processes) as pool:
        return [header for part in pool.map(probe, range(0, len(uris), share)) for header in part]


def main() -> None:
    """The child: answer each line, a URI, with a line, the header or null."""
    from pipelines.audio.decoding import header_of

    answers = open_answers()
    write_line(answers, None)
    for line in sys.stdin.buffer:
        try:
            header: tuple[float, int, int] | None = header_of(json.loads(line))
        except Exception:  # noqa: BLE001 - a header that none can read
            header = None
        write_line(answers, header)


if __name__ == "__main__":
    main()

"""A process of its own for what strangers' files can hang, crash or bloat, spoken to in lines of JSON.

Decoders are C libraries: a damaged file can end their process, and no exception comes of it. So they run in a child
that starts light (no Beam, no TensorFlow) and stays; when it hangs or ends, it costs the file that it was at, and a new
one goes on.
The child's own half is `open_answers` and `write_line`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

START_SECONDS = 300.0
"""A child may take so long to say that it is there: a busy machine, a cold disk."""
_ROOT = str(Path(__file__).resolve().parents[2])


class Ended(Exception):
    """The child has ended by itself."""


class Child:
    """A Python process that answers each line on its standard input with one on its standard output.

    module: what it runs, with these arguments. environment: added to this process's. errors: a file for its standard
    error; without one, what it says there is dropped. Ctrl-C does not reach it: it is for this process alone, which
    ends its children. Once started it says one line by itself, which is to be received.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        errors: IO[bytes] | None = None,
    ) -> None:
        path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors or subprocess.DEVNULL,
            env={**os.environ, **(environment or {}), "PYTHONPATH": path},
            start_new_session=True,
        )

    @property
    def status(self) -> int:
        """What it has ended with, once `end` has been called; the number of a signal is below 0."""
        return self._process.returncode

    def send(self, request: Any, *lines: bytes) -> None:
        """Hand a request over, and lines after it as they are. Ended when nobody is there to take it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.writelines(
                line.rstrip(b"\n") + b"\n" for line in (json.dumps(request).encode(), *lines)
            )
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise Ended from error

    def wait(self, seconds: float) -> bool:
        """Whether `receive` will not block: an answer is there, or the child has ended. Waits at most so long."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], seconds)[0])

    def receive(self) -> Any:
        """The next answer. Ended when there will be none."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Ended
        return json.loads(line)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def end(self, kill: bool = True) -> None:
        """Wait for its end, which `kill` brings about, and close what leads to it."""
        if kill:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):  # a request that it did not take
            self._process.communicate()
        self._process.wait()


def open_answers() -> IO[bytes]:
    """In the child: standard output, for answers alone. What a decoder prints goes to standard error from here on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def write_line(stream: IO[bytes], value: Any) -> None:
    """Write a JSON value as a line, at once."""
    stream.write(json.dumps(value).encode() + b"\n")
    stream.flush()

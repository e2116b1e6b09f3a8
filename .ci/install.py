"""`pip install` with its arguments, in a line that says how far it is; what pip says is shown when it fails.

For the Makefile: it runs before anything is installed, so it needs nothing but Python and pip.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

PACKAGES = Path(sysconfig.get_path("purelib"))
EVERY_SECONDS = (0.2, 15.0)
"""How often the line is written anew at a terminal, and in a log."""


class Installation:
    """pip at work, and what it said last."""

    def __init__(self, arguments: list[str]) -> None:
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
        self.said: list[str] = []
        self.doing = "looking for packages"
        self.found = 0
        self.wanted = 0
        self.before = self._installed()
        self.process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            words = line.split()
            if words[:1] == ["Collecting"]:
                self.found += 1
                self.doing = f"package {self.found}: {words[1]}"
            elif words[:1] == ["Downloading"]:
                self.doing = f"package {self.found}: downloading {' '.join(words[1:]).rsplit('/', 1)[-1]}"
            elif words[:3] == ["Installing", "collected", "packages:"]:
                self.wanted = len(words) - 3

    def _installed(self) -> int:
        return sum(1 for _ in PACKAGES.glob("*.dist-info"))

    def line(self) -> str:
        """What it does now."""
        if self.wanted:
            return f"{self._installed() - self.before} of {self.wanted} packages written"
        return self.doing


def main(arguments: list[str]) -> int:
    """Install, and return pip's exit status."""
    is_terminal = sys.stderr.isatty()
    start, told = time.monotonic(), -1e9
    pip = Installation(arguments)
    try:
        while pip.reader.is_alive():
            pip.reader.join(EVERY_SECONDS[0])
            now = time.monotonic()
            if is_terminal or now - told >= EVERY_SECONDS[1]:
                told = now
                text = f"installing, {now - start:.0f} s: {pip.line()}"
                print(f"\r\x1b[K{text[:78]}" if is_terminal else text, end="" if is_terminal else "\n", file=sys.stderr)
                sys.stderr.flush()
    except KeyboardInterrupt:
        pip.process.wait()
        return 130
    status = pip.process.wait()
    said = "" if status == 0 else "".join(pip.said)
    done = f"installed in {time.monotonic() - start:.0f} s" if status == 0 else "pip could not install:"
    print(f"\r\x1b[K{done}" if is_terminal else done, said, sep="\n" if said else "", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

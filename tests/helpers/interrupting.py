"""Sends a command a signal at a chosen moment of its start: at the n-th module or file that it asks for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.helpers.places import ROOT

_HOOK = """
import os, signal, sys

_at, _number, _log = int(os.environ.pop("SIGNAL_AT")), int(os.environ.pop("SIGNAL")), os.environ.pop("SIGNAL_LOG")
_seen, _begun = 0, False

def _hook(event, args):
    global _seen, _begun
    if event not in ("import", "open"):
        return
    if not _begun:  # the command's own beginning, before which a signal ends Python itself
        _begun = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        return
    _seen += 1
    if _seen == _at:
        os.kill(os.getpid(), _number)

sys.addaudithook(_hook)

import atexit
def _write():
    with open(_log, "w") as file:
        file.write(str(_seen))
atexit.register(_write)
"""


class Interrupting:
    """Runs commands. scratch: a new folder for the hook, and for temporary files."""

    def __init__(self, scratch: Path) -> None:
        self._hooks = scratch / "hook"
        self._hooks.mkdir(parents=True)
        (self._hooks / "sitecustomize.py").write_text(_HOOK)
        self.temporary = scratch / "temporary"
        self.temporary.mkdir()
        self._log = scratch / "seen"

    def run(
        self, *arguments: object, at: int = 0, number: int = signal.SIGTERM, seconds: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. at: which module or file, from 1; 0 for none."""
        environment = dict(
            os.environ,
            PYTHONPATH=f"{self._hooks}{os.pathsep}{ROOT}",
            TMPDIR=str(self.temporary),
            SIGNAL_AT=str(at),
            SIGNAL=str(int(number)),
            SIGNAL_LOG=str(self._log),
        )
        command = [sys.executable, "-m", "vae_model.cli", *map(str, arguments)]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=environment,
            preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGHUP)],
        )

    @property
    def seen(self) -> int:
        """How many modules and files the last command asked for that came to its end."""
        return int(self._log.read_text())

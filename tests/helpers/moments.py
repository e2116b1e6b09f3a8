"""Ends a command at a chosen moment: before the n-th change that it makes below a folder, in whichever process.

The hook is installed by `sitecustomize`, so that the command itself and every process that it starts run unchanged.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.places import ROOT

_HOOK = """
import os, signal, sys

_folder, _log = os.environ["MOMENTS_FOLDER"], os.environ["MOMENTS_LOG"]
_at, _signal, _whom = int(os.environ["MOMENTS_AT"]), int(os.environ["MOMENTS_SIGNAL"]), os.environ["MOMENTS_WHOM"]
_leader = int(os.environ.setdefault("MOMENTS_LEADER", str(os.getpid())))
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def _changes(event, args):
    if event == "open":
        path, mode, flags = args
        if isinstance(path, int) or not (set(mode or "") & set("wax+") or (flags or 0) & _WRITES):
            return False
    elif event not in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"):
        return False
    path = os.fsdecode(args[0])
    if event in ("os.remove", "os.rmdir") and args[1] >= 0:
        path = os.path.join(os.readlink(f"/proc/self/fd/{args[1]}"), path)
    return path.startswith(_folder)


def _hook(event, args):
    if not _changes(event, args) or _whom == "builder" and os.getpid() == _leader:
        return
    log = os.open(_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, b".")
    position = os.fstat(log).st_size
    os.close(log)
    if position == _at:  # never twice, even if others write at the same time: then it comes not at all
        if _whom == "group":
            os.killpg(_leader, _signal)
        else:
            os.kill(_leader if _whom == "leader" else os.getpid(), _signal)


sys.addaudithook(_hook)
"""


class Moments:
    """Runs the command with its processes' temporary files in one folder, and ends it at a moment.

    folder: changes below it count. scratch: a new folder for the hook and for temporary files.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.temporary = scratch / "temporary"
        self.temporary.mkdir(parents=True)
        self._log = scratch / "moments.log"
        (scratch / "hook").mkdir()
        (scratch / "hook" / "sitecustomize.py").write_text(_HOOK)
        self._path = f"{scratch / 'hook'}{os.pathsep}{ROOT}"

    def environment(self, at: int = 0, number: int = signal.SIGKILL, whom: str = "leader") -> dict[str, str]:
        """at: the change before which the signal comes, from 1; 0 for none. whom: leader, its group, or a builder."""
        self._log.write_bytes(b"")
        values = {"FOLDER": str(self.folder), "LOG": str(self._log), "AT": str(at)}
        values |= {"SIGNAL": str(int(number)), "WHOM": whom}
        named = {f"MOMENTS_{name}": value for name, value in values.items()}
        return dict(os.environ, PYTHONPATH=self._path, TMPDIR=str(self.temporary), **named)

    def run(
        self, *arguments: object, at: int = 0, number: int = signal.SIGKILL, whom: str = "leader"
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, whoever brings it about, and wait for the processes that it started."""
        command = [sys.executable, "-m", "vae_model.cli", *map(str, arguments)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=300,
            env=self.environment(at, number, whom),
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
        )
        self.wait_for_the_last_process()
        return done

    @property
    def left_files(self) -> list[Path]:
        """Temporary files that are still there; of a killed command an empty folder or two, until the next begins."""
        kept = ("beam-", "audio-vae-run-")
        return [path for path in self.temporary.rglob("*") if not (path.is_dir() and path.name.startswith(kept))]

    @property
    def count(self) -> int:
        """Changes that the last command made."""
        return self._log.stat().st_size

    def wait_for_the_last_process(self) -> None:
        """Processes that the command started end by themselves within seconds."""
        deadline = time.monotonic() + 20
        while survivors := self._processes():
            assert time.monotonic() < deadline, f"still running: {survivors}"
            time.sleep(0.05)

    def _processes(self) -> Mapping[int, str]:
        mark = f"MOMENTS_LOG={self._log}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes() and (folder / "stat").read_text().split()[2] != "Z":
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
        return found

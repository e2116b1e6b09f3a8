"""Temporary folders that go with their process: at its end, or when the next one begins if it was killed."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import glob
import os
import shutil
import stat
import tempfile
from pathlib import Path

_RUN = "audio-vae-run-"
_held: list[int] = []
"""Descriptors of the folders of this process, locked as long as it lives."""
_system_folder: list[str] = []


def own_temporary_folder() -> None:
    """Let all temporary files of this process, libraries' too, lie in a folder of its own, which goes with the process.

    To be called before libraries are imported: what they do as the process ends, such as Beam's stopping of a job
    server, then still finds its files. Where no folder can be made they lie where they did: not all commands need one.
    """
    try:
        before = tempfile.gettempdir()
        folder = own_folder(_RUN)
    except OSError:
        return
    _system_folder.append(before)
    tempfile.tempdir = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def own_folder(prefix: str, parent: str | None = None) -> Path:
    """A new folder of this process, for its user's eyes alone; those that killed ones left are removed.

    prefix: what its name begins with, before the number of the process. parent: where, among the temporary files of the
    system unless given. The caller removes it at the end.
    """
    top = parent or (_system_folder[-1] if _system_folder else tempfile.gettempdir())
    _remove_left_behind(top, prefix)
    while True:
        folder = tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=top)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        if _is_locked(descriptor, folder):
            _held.append(descriptor)
            return Path(folder)
        os.close(descriptor)  # whoever cleans up, in a container with other numbers, was faster


def keep(folder: Path) -> None:
    """Let a folder of this process stay for good: its user was told where it is. The mark takes no room on its disk."""
    os.chmod(folder, stat.S_IRWXU | stat.S_ISVTX)


def _remove_left_behind(top: str, prefix: str) -> None:
    """Remove folders of this user and this prefix whose process is gone, and which no process holds."""
    for folder in Path(top).glob(f"{glob.escape(prefix)}*-*"):
        number = folder.name.removeprefix(prefix).split("-")[0]
        if not number.isdecimal() or _is_running(int(number)):
            continue
        with contextlib.suppress(OSError):  # no folder, or another user's, or already gone
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                status = os.fstat(descriptor)
                is_left = status.st_uid == os.geteuid() and not status.st_mode & stat.S_ISVTX
                if is_left and _is_locked(descriptor, str(folder)):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _is_locked(descriptor: int, folder: str) -> bool:
    """Whether this process holds the folder now, and it still is what its name names."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), os.stat(folder))
    except OSError:
        return False


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True

"""Temporary folders that go with their process: at its end, or when the next one begins if it was killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def own_folder(prefix: str) -> Path:
    """A new temporary folder of this process, for its user's eyes alone; those that killed ones left are removed.

    prefix: what its name begins with, before the number of the process. The caller removes it at the end.
    """
    _remove_left_behind(prefix)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))


def _remove_left_behind(prefix: str) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*-*"):
        number = folder.name.removeprefix(prefix).split("-")[0]
        if number.isdecimal() and not _is_running(int(number)):
            shutil.rmtree(folder, ignore_errors=True)  # no link is followed, and others' folders stay


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True

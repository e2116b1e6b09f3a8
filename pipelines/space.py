"""Room on disks: why something could not be written, and whether what is planned fits."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from pipelines.errors import WorkError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PROBED_BYTES = 1 << 20


def why_unwritten(error: OSError, place: str | os.PathLike[str]) -> str:
    """Why a local file or folder could not be written: of a full disk which one, and what to do."""
    disk = disk_of(place)
    if error.errno == errno.ENOSPC:
        usage = os.statvfs(disk)
        free, whole = (size_text(blocks * usage.f_frsize) for blocks in (usage.f_bavail, usage.f_blocks))
        return f"the disk at {disk} is full, {free} of {whole} are free: make room there, or write to another place"
    if error.errno == errno.EDQUOT:
        return f"the quota on the disk at {disk} is used up: make room there, or write to another place"
    if error.errno == errno.EFBIG:
        return f"{error.strerror} for `ulimit -f` or for the disk at {disk}: raise that, or write elsewhere"
    return error.strerror or str(error)


def fault_of_writing(place: Path) -> OSError | None:
    """What the system says when more is written to a file, or into a folder; for libraries that don't tell.

    The file is longer afterwards: it is one that goes because it could not be written.
    """
    try:
        with tempfile.TemporaryFile(dir=place) if place.is_dir() else place.open("ab") as file:
            file.write(bytes(_PROBED_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error
    return None


def unwritten(place: Path, name: str, error: Exception) -> WorkError | None:
    """The error to tell when a library failed at writing a local file or folder, None when the disk is not to blame.

    place: where it wrote, which is still there. name: what the user knows it by.
    """
    fault = error if isinstance(error, OSError) and error.errno in FULL else fault_of_writing(place)
    return None if fault is None else WorkError(f"{name} cannot be written: {why_unwritten(fault, place)}")


def disk_of(place: str | os.PathLike[str]) -> str:
    """Where the file system is mounted that a path lies on, or will lie on."""
    path = os.path.realpath(place)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def free_bytes(place: str | os.PathLike[str]) -> int:
    """What this user may still write to the disk of a path."""
    usage = os.statvfs(disk_of(place))
    return usage.f_bavail * usage.f_frsize


def require_room(place: str, name: str, needed: float, of_what: str) -> None:
    """WorkError unless so many bytes, of what, fit onto the disk of a local path. name: what the user knows it by."""
    free = free_bytes(place)
    if needed > free:
        sizes = f"needs {size_text(needed)} at least, {size_text(free)} are free on the disk at {disk_of(place)}"
        raise WorkError(f"{name} {sizes}: {of_what}. Nothing was decoded")


def size_text(num_bytes: float) -> str:
    """Such as 12 kB, 3.4 GB."""
    for unit in ("bytes", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.1f} GB"

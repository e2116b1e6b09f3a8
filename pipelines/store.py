"""Files of a dataset folder on any fsspec store: small atomic writes, reads, listings."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pipelines.errors import SettingError, WorkError
from pipelines.formats import local_path

_REMOVALS = 5
_COPIED_BYTES = 8 * 2**20


def join(folder: str, *parts: str) -> str:
    """A path or URI below a folder."""
    return "/".join([folder.rstrip("/"), *parts])


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a URI and the path in it; SettingError when there is none for its scheme."""
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise SettingError(f"{uri}: must be a path or URI of a known file system: {error}") from error
    return fs, path


@contextlib.contextmanager
def open_read(uri: str) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes."""
    path = local_path(uri)
    if path is not None:
        with open(path, "rb") as file:
            yield file
    else:
        fs, path = filesystem(uri)
        with fs.open(path, "rb") as file:
            yield file


def read_bytes(uri: str) -> bytes:
    """The content of a file."""
    with open_read(uri) as file:
        return file.read()


def read_range(uri: str, offset: int, length: int) -> bytes:
    """length bytes of a file from offset."""
    with open_read(uri) as file:
        file.seek(offset)
        return file.read(length)


def get_file(uri: str, path: Path) -> None:
    """Copy a file to a local path."""
    with open_read(uri) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, _COPIED_BYTES)


@contextlib.contextmanager
def open_atomic(uri: str) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears whole, under its name, when the block ends without an error.

    Locally a temporary name is flushed to disk and renamed; an object store publishes a file when it is closed.
    WorkError names the file when it can't be written, and nothing is left of it.
    """
    path = local_path(uri)
    try:
        if path is None:
            fs, remote = filesystem(uri)
            with fs.transaction, fs.open(remote, "wb") as file:
                yield file
            return
        temporary = f"{path}.tmp-{os.getpid()}"
        try:
            with open(temporary, "wb") as local:
                yield local
                local.flush()
                os.fsync(local.fileno())
            replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise WorkError(f"{uri}: cannot be written: {error.strerror or error}") from error


def replace(temporary: str, path: str) -> None:
    """Rename a local file that was flushed to disk, so that a power cut leaves the old one or the whole new one."""
    os.replace(temporary, path)
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(uri: str, data: bytes) -> None:
    """Write a file atomically."""
    with open_atomic(uri) as file:
        file.write(data)


def put_file(path: Path, uri: str) -> None:
    """Copy a local file to a place where it appears whole, or not at all."""
    with path.open("rb") as source, open_atomic(uri) as target:
        shutil.copyfileobj(source, target, _COPIED_BYTES)


def exists(uri: str) -> bool:
    """Whether a file or folder exists."""
    path = local_path(uri)
    if path is not None:
        return os.path.lexists(path)
    fs, path = filesystem(uri)
    return bool(fs.exists(path))


def names(folder: str) -> list[str]:
    """The names in a folder in order; none when there is no such folder."""
    path = local_path(folder)
    if path is not None:
        return sorted(os.listdir(path)) if os.path.isdir(path) else []
    fs, path = filesystem(folder)
    try:
        found = fs.ls(path, detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    own = path.rstrip("/").rsplit("/", 1)[-1]
    return sorted({name.rstrip("/").rsplit("/", 1)[-1] for name in found} - ({own} if found == [path] else set()))


def make_folder(uri: str) -> None:
    """Make a folder and those above it."""
    path = local_path(uri)
    try:
        if path is not None:
            os.makedirs(path, exist_ok=True)
        else:
            fs, path = filesystem(uri)
            fs.makedirs(path, exist_ok=True)
    except OSError as error:
        raise WorkError(f"{uri}: cannot be made: {error.strerror or error}") from error


def remove_folder(uri: str) -> None:
    """Remove a file, or a folder and all that is in it; none need exist. WorkError when something stays."""
    fs, path = filesystem(uri)
    for attempt in range(_REMOVALS):  # a process that is being ended may write once more
        try:
            fs.rm(path, recursive=True)
        except FileNotFoundError:
            return
        except OSError as error:
            if attempt == _REMOVALS - 1:
                raise WorkError(f"{uri}: cannot be removed: {error.strerror or error}") from error
            time.sleep(0.1)

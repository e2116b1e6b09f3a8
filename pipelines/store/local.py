"""This machine's disks."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from typing import IO

from pipelines.errors import Conflict
from pipelines.store.paths import local_path
from pipelines.store.protocol import Item

_COPIED_BYTES = 8 * 2**20


def _path(uri: str) -> str:
    path = local_path(uri)
    assert path is not None
    return path


class Local:
    """Files as the system has them."""

    def open_read(self, uri: str, first_bytes: int, first_piece: bytes | None) -> IO[bytes]:
        return open(_path(uri), "rb")

    def first_pieces(self, uris: list[str], first_bytes: int) -> dict[str, bytes]:
        return {}  # nothing is gained by asking ahead

    def fetch(self, uri: str, start: int, end: int) -> bytes:
        with open(_path(uri), "rb") as file:
            file.seek(start)
            return file.read(end - start)

    @contextlib.contextmanager
    def write(self, uri: str) -> Iterator[IO[bytes]]:
        """A temporary name is flushed to disk and renamed."""
        path = _path(uri)
        temporary = f"{path}.tmp-{os.getpid()}-{secrets.token_hex(4)}"  # pods on a shared folder have the same ids
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def put(self, local: str, uri: str) -> None:
        with open(local, "rb") as source, self.write(uri) as target:
            shutil.copyfileobj(source, target, _COPIED_BYTES)

    def version(self, uri: str) -> str | None:
        try:
            with open(_path(uri), "rb") as file:
                return hashlib.sha256(file.read()).hexdigest()
        except FileNotFoundError:
            return None

    def replace_if_unchanged(self, uri: str, data: bytes, expected: str | None) -> None:
        """Compared, then replaced: a lock is needed beside."""
        if self.version(uri) != expected:
            raise Conflict(f"{uri}: was changed meanwhile")
        with self.write(uri) as file:
            file.write(data)

    def exists(self, uri: str) -> bool:
        return os.path.lexists(_path(uri))

    def is_file(self, uri: str) -> bool:
        return os.path.exists(_path(uri)) and not os.path.isdir(_path(uri))

    def names(self, folder: str) -> list[str]:
        path = _path(folder)
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def files(self, folder: str, is_wanted: Callable[[str], bool]) -> Iterator[Item]:
        """Links to folders are not followed."""
        top = _path(folder)
        for place, _, names in os.walk(top, onerror=_raise):
            for name in names:
                path = os.path.join(place, name)
                status = os.stat(path)
                yield Item(os.path.relpath(path, top), status.st_size, str(status.st_mtime_ns))

    def one_file(self, uri: str) -> Item | None:
        path = _path(uri)
        if not os.path.isfile(path):
            return None
        status = os.stat(path)
        return Item(os.path.basename(path), status.st_size, str(status.st_mtime_ns))

    def make_folder(self, uri: str) -> None:
        os.makedirs(_path(uri), exist_ok=True)

    def remove(self, uri: str) -> None:
        path = _path(uri)
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except FileNotFoundError:  # perhaps of a file within that another process removed first
            if not os.path.lexists(path):
                raise

    def require_writable(self, uri: str) -> None:
        """Shows soon enough when the folder is made."""

    def identity(self, uri: str) -> str:
        return os.path.realpath(_path(uri))


def _raise(error: OSError) -> None:
    raise error


def replace(temporary: str, path: str) -> None:
    """Rename a local file that was flushed to disk, so that a power cut leaves the old one or the whole new one."""
    os.replace(temporary, path)
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

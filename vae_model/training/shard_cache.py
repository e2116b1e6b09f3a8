"""Shards on a remote store, read through local copies: fetched when needed, bounded in size, gone at the end."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from pathlib import Path

from pipelines import store

FETCHES = 4
"""Shards that are fetched at a time, ahead of those that are being read."""
KEPT = 16
"""Copies that are never removed to make room: those that are being read, and the next ones."""
_PREFIX = "audio-vae-shards-"


class ShardCache:
    """Copies of remote files in a temporary folder, at most `limit_mb` of them, those longest unused removed first.

    The folder goes with the process, also after an error or a signal that ends it in order; what a killed one left,
    the next one removes. The last KEPT copies stay however large they are. Safe to use from several threads.
    """

    def __init__(self, limit_mb: int = 4096) -> None:
        self.limit_mb = limit_mb
        self._folder: Path | None = None
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._busy: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """Bytes of all copies."""
        with self._lock:
            return sum(self._sizes.values())

    @property
    def folder(self) -> Path:
        """Where the copies are."""
        with self._lock:
            if self._folder is None:
                _remove_left_behind()
                self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            return self._folder

    def fetch(self, uri: str, num_bytes: int) -> str:
        """The path of a copy of the file, made if there is none. OSError when it isn't num_bytes long, or not there."""
        path = self._path(self.folder, uri)
        with self._lock:
            busy = self._busy.setdefault(uri, threading.Lock())
        with busy:
            with self._lock:
                if uri in self._sizes:
                    self._sizes.move_to_end(uri)
                    return str(path)
            partial = path.with_name(f"{path.name}.partial")
            store.get_file(uri, partial)
            if partial.stat().st_size != num_bytes:
                raise OSError(f"{uri}: {partial.stat().st_size} bytes came of {num_bytes}")
            partial.rename(path)
            with self._lock:
                self._sizes[uri] = num_bytes
                self._make_room()
        return str(path)

    def clear(self) -> None:
        """Remove all copies."""
        with self._lock:
            for uri in list(self._sizes):
                self._remove(uri)

    def _make_room(self) -> None:
        while len(self._sizes) > KEPT and sum(self._sizes.values()) > self.limit_mb * 2**20:
            self._remove(next(iter(self._sizes)))

    def _remove(self, uri: str) -> None:
        del self._sizes[uri]
        if self._folder is not None:
            self._path(self._folder, uri).unlink(missing_ok=True)

    def _path(self, folder: Path, uri: str) -> Path:
        return folder / hashlib.sha256(uri.encode()).hexdigest()[:32]


CACHE = ShardCache()
"""The process's own."""


def _remove_left_behind() -> None:
    """Remove the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        number = folder.name.removeprefix(_PREFIX).split("-")[0]
        if number.isdecimal() and not _is_running(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Shards on a remote store, read through local copies: fetched when needed, bounded in size, gone at the end."""

from __future__ import annotations

import atexit
import gc
import hashlib
import queue
import shutil
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from pipelines import store
from pipelines.own_folder import own_folder

FETCHES = 4
"""Shards that are fetched at a time, ahead of those that are being read."""
KEPT = 16
"""Copies that are never removed to make room: those that are being read, and the next ones."""
_PREFIX = "audio-vae-shards-"
_NOT_FETCHED = "not-fetched"
_QUIET_SECONDS = 0.2
_LONGEST_END_SECONDS = 5.0


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
                self._folder = own_folder(_PREFIX)
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


class Fetches:
    """Copies for threads of TensorFlow's, which must not fail, as it logs each traceback, and must not wait for ever.

    After the first failure, which `failure` keeps, nobody waits any more and all get the path of a file that is not
    there, until the next `begin`. The fetching itself is done by threads that end with the process, whatever they wait
    for.
    """

    def __init__(self, cache: ShardCache) -> None:
        self.failure: Exception | None = None
        self._cache = cache
        self._changed = threading.Condition()
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._workers = 0
        self._waiting = 0
        self._round = 0
        self._last_change = 0.0
        self._ended = False

    def begin(self) -> None:
        """Forget a failure."""
        with self._changed:
            self._round += 1
            self.failure = None

    def path(self, uri: str, num_bytes: int, check: Callable[[str], None]) -> str:
        """The path of a copy that `check` has looked at; of a file that is not there once something has failed."""
        found: list[str] = []
        with self._changed:
            this_round = self._round
            if not self._is_over(this_round):
                self._asked.put(lambda: self._fetch(uri, num_bytes, check, found, this_round))
                self._start_workers()
            self._waiting += 1
            self._changed.wait_for(lambda: found or self._is_over(this_round))
            self._waiting -= 1
            self._last_change = time.monotonic()
        return found[0] if found else str(self._cache.folder / _NOT_FETCHED)

    def end(self) -> None:
        """Let nobody wait any more, for good, and return when all have gone.

        A thread of TensorFlow's that is in Python when the interpreter ends never leaves it, and the iterator that is
        destroyed then waits for it. So iterators that only cycles hold go here, and the others' threads come to rest.
        """
        with self._changed:
            if not self._workers:
                return
            self._ended = True
            self._changed.notify_all()
        gc.collect()
        deadline = time.monotonic() + _LONGEST_END_SECONDS
        while time.monotonic() < deadline:
            with self._changed:
                if not self._waiting and time.monotonic() - self._last_change > _QUIET_SECONDS:
                    return
            time.sleep(_QUIET_SECONDS / 10)

    def _is_over(self, this_round: int) -> bool:
        return self._ended or self.failure is not None or this_round != self._round

    def _start_workers(self) -> None:
        while self._workers < FETCHES:
            self._workers += 1
            threading.Thread(target=self._work, name="audio-vae-fetch", daemon=True).start()

    def _work(self) -> None:
        while True:
            self._asked.get()()

    def _fetch(self, uri: str, num_bytes: int, check: Callable[[str], None], found: list[str], this_round: int) -> None:
        try:
            if self._is_over(this_round):
                return
            path = self._cache.fetch(uri, num_bytes)
            check(path)
            found.append(path)
        except Exception as error:  # noqa: BLE001 - the caller of `begin` is told of it
            if not self._is_over(this_round):
                self.failure = error
        finally:
            with self._changed:
                self._changed.notify_all()


FETCHED = Fetches(CACHE)
"""The process's own."""
atexit.register(FETCHED.end)

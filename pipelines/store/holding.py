"""A folder on any store held for one process at a time: by the system's lock where it is local, else by a lease.

A lease is a file that says who holds the folder and until when. Its holder renews it while it lives, so that one which
was killed is in nobody's way after a few minutes. Clocks must agree to about a minute.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

from pipelines import store
from pipelines.errors import Conflict, WorkError
from pipelines.store.paths import local_path

LEASE_FILE = "lease.json"
LEASE_SECONDS = 300.0
_RENEWALS = 5  # within that time, so that one or two may fail


@contextlib.contextmanager
def hold_workspace(folder: str, lease_seconds: float = LEASE_SECONDS) -> Iterator[None]:
    """Hold a folder for this process alone, making it if need be. WorkError when another one holds it."""
    path = local_path(folder)
    with _local_lock(folder, path) if path is not None else _Lease(folder, lease_seconds):
        yield


@contextlib.contextmanager
def _local_lock(folder: str, path: str) -> Iterator[None]:
    """The system releases it when the process ends, however it ends."""
    store.make_folder(folder)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise WorkError(f"workspace {folder}: cannot be locked: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkError(f"workspace {folder}: another rerun is at work in it") from None
        yield
    finally:
        os.close(descriptor)


class _Lease:
    """Inside its `with`, a thread renews the lease."""

    def __init__(self, folder: str, seconds: float) -> None:
        self._folder = folder
        self._uri = store.join(folder, LEASE_FILE)
        self._seconds = seconds
        self._version: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> None:
        self._version = store.version(self._uri)
        if self._version is not None and (holder := self._holder()) is not None:
            raise WorkError(f"workspace {self._folder}: another rerun is at work in it, {holder}")
        try:
            self._write()
        except Conflict:
            raise WorkError(f"workspace {self._folder}: another rerun is at work in it") from None
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(WorkError):  # it runs out by itself
            if store.version(self._uri) == self._version:
                store.remove_folder(self._uri)

    def _holder(self) -> str | None:
        """Who holds the lease that is there, None when it has run out or can't be read."""
        try:
            values: dict[str, Any] = json.loads(store.read_bytes(self._uri))
            until = datetime.datetime.fromisoformat(values["until"])
            return f"{values['holder']}, until {values['until']}" if until > _now() else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self) -> None:
        until = _now() + datetime.timedelta(seconds=self._seconds)
        values = {"holder": f"process {os.getpid()} of {socket.gethostname()}", "until": until.isoformat()}
        store.replace_if_unchanged(self._uri, (json.dumps(values) + "\n").encode(), self._version)
        self._version = store.version(self._uri)

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / _RENEWALS):
            with contextlib.suppress(WorkError, OSError):  # the store may be away for a while
                self._write()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


@contextlib.contextmanager
def lock(dataset_uri: str) -> Iterator[None]:
    """Hold a local dataset folder for this process alone, making it if need be. WorkError when another run holds it.

    The system releases the lock when the process ends, however it ends. Other stores have no lock: there the commit
    replaces only the state that it knows. It is looked at here whether they can be written.
    """
    path = local_path(dataset_uri)
    if path is None:
        store.require_writable(dataset_uri)
        yield
        return
    made = not os.path.isdir(path)
    store.make_folder(dataset_uri)
    descriptor: int | None = None
    try:
        try:
            descriptor = os.open(path, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_same = _is_open_at(descriptor, path)  # a failed run may have removed the folder meanwhile
        except (BlockingIOError, FileNotFoundError):
            is_same = False
        except OSError as error:
            raise WorkError(f"DATASET {dataset_uri}: cannot be locked: {error.strerror}") from error
        if not is_same:
            raise WorkError(f"DATASET {dataset_uri}: another run is writing to it")
        yield
    finally:
        if made:
            with contextlib.suppress(OSError):
                os.rmdir(path)  # only when nothing was committed
        if descriptor is not None:
            os.close(descriptor)


def _is_open_at(descriptor: int, path: str) -> bool:
    return os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path))

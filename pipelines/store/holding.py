"""A folder held for one process at a time: by the system's lock where it is local, else by a lease, where it needs one.

A lease is a file that says who holds the folder and until when. Its holder renews it while it lives, so that one which
was killed is in nobody's way after a few minutes, and on the same machine at once. Clocks must agree to about a minute.
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
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pipelines import store
from pipelines.errors import Conflict, WorkError
from pipelines.store.paths import local_path

LEASE_FILE = "lease.json"
LEASE_SECONDS = 300.0
_MODEL_LEASE_SECONDS = 120.0  # of a training that was killed, the next one is to go on soon
_RENEWALS = 5  # within that time, so that one or two may fail


@contextlib.contextmanager
def lock(dataset_uri: str) -> Iterator[None]:
    """Hold a local dataset folder for this process alone, making it if need be. WorkError when another run holds it.

    Other stores have no lock: there the commit replaces only the state that it knows. It is looked at here whether they
    can be written.
    """
    path = local_path(dataset_uri)
    if path is None:
        store.require_writable(dataset_uri)
        yield
        return
    with _locked(dataset_uri, path, "DATASET", "another run is writing to it"):
        yield


def hold_model(folder: str) -> AbstractContextManager[None]:
    """Hold a MODEL folder for this process alone, making it if need be. WorkError when another one trains in it."""
    return _hold(folder, "MODEL", "another run is writing to it", _MODEL_LEASE_SECONDS)


def hold_workspace(folder: str, lease_seconds: float = LEASE_SECONDS) -> AbstractContextManager[None]:
    """Hold a folder for this process alone, making it if need be. WorkError when another one holds it."""
    return _hold(folder, "workspace", "another rerun is at work in it", lease_seconds)


def _hold(folder: str, what: str, busy: str, lease_seconds: float) -> AbstractContextManager[None]:
    path = local_path(folder)
    if path is not None:
        return _locked(folder, path, what, busy)
    return _Lease(folder, f"{what} {folder}: {busy}", lease_seconds)


@contextlib.contextmanager
def _locked(folder: str, path: str, what: str, busy: str) -> Iterator[None]:
    """A folder that is made here, and of which nothing is made, is gone again when the block ends."""
    made = not os.path.isdir(path)
    store.make_folder(folder)
    with contextlib.ExitStack() as stack:
        try:
            is_held = stack.enter_context(flocked(path, wait=False))
        except OSError as error:
            raise WorkError(f"{what} {folder}: cannot be locked: {error.strerror}") from error
        if not is_held:
            raise WorkError(f"{what} {folder}: {busy}")
        try:
            yield
        finally:
            if made:
                with contextlib.suppress(OSError):
                    os.rmdir(path)  # only when it is empty


@contextlib.contextmanager
def flocked(path: str, wait: bool, follows_links: bool = True) -> Iterator[bool]:
    """Hold a local folder by the system's lock, which is released when the process ends, however it ends.

    Yields whether it is held, and still what its name names: who held it before may have removed it. OSError when it
    can't be locked.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | (0 if follows_links else os.O_NOFOLLOW))
    except (FileNotFoundError, NotADirectoryError):
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            is_held = False
        else:
            is_held = os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path))
        yield is_held
    finally:
        os.close(descriptor)


class _Lease:
    """Inside its `with`, a thread renews the lease."""

    def __init__(self, folder: str, busy: str, seconds: float) -> None:
        self._uri = store.join(folder, LEASE_FILE)
        self._busy = busy
        self._seconds = seconds
        self._version: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> None:
        self._version = store.version(self._uri)
        if self._version is not None and (holder := self._holder()) is not None:
            raise WorkError(f"{self._busy}, {holder}")
        try:
            self._write()
        except Conflict:
            raise WorkError(self._busy) from None
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(WorkError):  # it runs out by itself
            if store.version(self._uri) == self._version:
                store.remove_folder(self._uri)

    def _holder(self) -> str | None:
        """Who holds the lease that is there, None when it has run out, its process is gone, or it can't be read."""
        try:
            values: dict[str, Any] = json.loads(store.read_bytes(self._uri))
            until = datetime.datetime.fromisoformat(values["until"])
            holder = f"{values['holder']}, until {values['until']}" if until > _now() else None
            return None if _has_ended(values.get("process")) else holder
        except (ValueError, TypeError, KeyError, AttributeError, FileNotFoundError):
            return None

    def _write(self) -> None:
        until = _now() + datetime.timedelta(seconds=self._seconds)
        holder = f"process {os.getpid()} of {socket.gethostname()}"
        values = {"holder": holder, "until": until.isoformat(), "process": _process(os.getpid())}
        store.replace_if_unchanged(self._uri, (json.dumps(values) + "\n").encode(), self._version)
        self._version = store.version(self._uri)

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / _RENEWALS):
            with contextlib.suppress(WorkError, OSError):  # the store may be away for a while
                self._write()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _process(number: int) -> list[Any] | None:
    """What no other process has, ever: this boot of this machine, the space of its numbers, and its number and start.

    None when there is no such process. Where the system does not tell, the first two are None.
    """
    try:
        machine = [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]
    except OSError:
        return [None, None, number, None]
    try:
        facts = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if facts[0] == "Z" else [*machine, number, facts[19]]


def _has_ended(process: Any) -> bool:
    """Whether a lease's process is known to be gone: it is of this machine, and no longer there."""
    own = _process(os.getpid())
    if own is None or own[0] is None or not isinstance(process, list) or process[:2] != own[:2]:
        return False
    return _process(int(process[2])) != process

"""The sounds that were made on each page that is open, for one download: the last ones, no more than a few MB."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path

MAX_SOUNDS, MAX_MB = 100, 64
"""Of a session so many sounds are kept, of this size together: the last ones."""
MAX_SESSIONS = 8
"""Of more pages that are open at once those have none kept on which nothing was made for longest."""


class Sessions:
    """Sounds by session, as files below `folder`. Threads may use it at the same time."""

    def __init__(
        self,
        folder: str,
        max_sounds: int = MAX_SOUNDS,
        max_bytes: int = MAX_MB * 2**20,
        max_sessions: int = MAX_SESSIONS,
    ) -> None:
        self._folder = folder
        self._max_sounds, self._max_bytes, self._max_sessions = max_sounds, max_bytes, max_sessions
        self._sessions: dict[str, _Session] = {}  # the last used comes last
        self._lock = threading.Lock()

    def keep(self, session: str, path: str) -> None:
        """Keep a copy of a file; what a session has too much of goes, the oldest first."""
        with self._lock:
            own = self._sessions.pop(session, None) or _Session(self._folder)
            self._sessions[session] = own
            own.add(Path(path))
            while len(own.files) > self._max_sounds or (len(own.files) > 1 and own.num_bytes > self._max_bytes):
                own.drop(next(iter(own.files)))
            while len(self._sessions) > self._max_sessions:
                self._sessions.pop(next(iter(self._sessions))).close()

    def zip(self, session: str) -> str | None:
        """The path of a ZIP of all that is kept, in the order in which it was made; None when that is nothing."""
        with self._lock:
            own = self._sessions.get(session)
            return own.zip() if own is not None and own.files else None

    def forget(self, session: str) -> None:
        """Remove what is kept."""
        with self._lock:
            own = self._sessions.pop(session, None)
            if own is not None:
                own.close()


class _Session:
    """files: sizes by name, the last made last."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="session-", dir=folder))
        self.files: dict[str, int] = {}

    @property
    def num_bytes(self) -> int:
        """Of all files together."""
        return sum(self.files.values())

    def add(self, path: Path) -> None:
        """Copy a file here; one of the same name and content becomes the last, another of the name gets a number."""
        name, number = path.name, 1
        while name in self.files and not filecmp.cmp(path, self._folder / name, shallow=False):
            number += 1
            name = f"{path.stem} {number}{path.suffix}"
        self.files.pop(name, None)
        shutil.copyfile(path, self._folder / name)
        self.files[name] = path.stat().st_size

    def drop(self, name: str) -> None:
        """Remove a file."""
        del self.files[name]
        (self._folder / name).unlink(missing_ok=True)

    def zip(self) -> str:
        """Write all files into one, in a folder of its own below this one, so that no sound has its name."""
        path = self._folder / "zip" / "sounds.zip"
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in self.files:
                archive.write(self._folder / name, name)
        return str(path)

    def close(self) -> None:
        """Remove all."""
        shutil.rmtree(self._folder, ignore_errors=True)

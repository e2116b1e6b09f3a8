"""Any store that fsspec knows, such as memory://, and what all stores but local disks have in common.

Of fsspec only those calls are used that take a name as it is: its `rm`, `get`, `put`, `glob` and `expand_path` read
`[`, `?` and `*` as patterns, so that `rm("set[1]", recursive=True)` removes `set1`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar

from pipelines.errors import Conflict
from pipelines.store import remote
from pipelines.store.paths import scheme_of, split
from pipelines.store.protocol import Item
from pipelines.store.reading import BUFFER_BYTES, RemoteFile

_one_writer = threading.Lock()
T = TypeVar("T")


class Other:
    """A file system of fsspec's. It may not write atomically; conditions of writes are compared first."""

    package: str | None = None
    """The extra of this package that installs what is needed."""
    tries: int | None = None
    """Instead of remote.TRIES."""

    def filesystem(self, uri: str) -> tuple[Any, str]:
        """The fsspec file system of a URI, this thread's own, and the path in it. SettingError when there is none."""
        import fsspec

        with remote.told(uri, self.package):
            found: tuple[Any, str] = fsspec.core.url_to_fs(uri, use_listings_cache=False)
        return found

    def attempt(self, uri: str, action: Callable[[], T]) -> T:
        """`remote.attempt` with the tries of this kind."""
        return remote.attempt(uri, action, self.tries)

    def info(self, uri: str) -> dict[str, Any]:
        """fsspec's facts about a file or folder. FileNotFoundError when there is none."""
        fs, path = self.filesystem(uri)
        found: dict[str, Any] = self.attempt(uri, lambda: fs.info(path))
        return found

    def open_read(self, uri: str, first_bytes: int, first_piece: bytes | None) -> IO[bytes]:
        return io.BufferedReader(RemoteFile(self, uri, first_bytes, first_piece), BUFFER_BYTES)

    def first_pieces(self, uris: list[str], first_bytes: int) -> dict[str, bytes]:
        fs = self.filesystem(uris[0])[0]
        paths = [self.filesystem(uri)[1] for uri in uris]
        came = zip(uris, fs.cat_ranges(paths, 0, first_bytes, on_error="return"), strict=True)
        return {uri: piece for uri, piece in came if isinstance(piece, bytes) and len(piece) <= first_bytes}

    def fetch(self, uri: str, start: int, end: int) -> bytes:
        fs, path = self.filesystem(uri)
        data: bytes = self.attempt(uri, lambda: fs.cat_file(path, start=start, end=end))
        return data

    def size(self, uri: str) -> int:
        """Bytes of a file."""
        return int(self.info(uri)["size"])

    @contextlib.contextmanager
    def write(self, uri: str) -> Iterator[IO[bytes]]:
        """A local file is sent when it is complete."""
        with tempfile.NamedTemporaryFile(prefix="audio-vae-") as complete:
            yield complete  # type: ignore[misc]
            complete.flush()
            self.put(complete.name, uri)

    def put(self, local: str, uri: str) -> None:
        fs, path = self.filesystem(uri)
        self.attempt(uri, lambda: fs.put_file(local, path))

    def version(self, uri: str) -> str | None:
        fs, path = self.filesystem(uri)
        try:
            content: bytes = self.attempt(uri, lambda: fs.cat_file(path))
        except FileNotFoundError:
            return None
        return hashlib.sha256(content).hexdigest()

    def replace_if_unchanged(self, uri: str, data: bytes, expected: str | None) -> None:
        """In memory a lock decides; elsewhere it is compared, then written."""
        fs, path = self.filesystem(uri)
        with _one_writer:
            if self.version(uri) != expected:
                raise Conflict(uri)
            self.attempt(uri, lambda: fs.pipe_file(path, data))

    def exists(self, uri: str) -> bool:
        try:
            return bool(self.info(uri))
        except FileNotFoundError:
            return False

    def is_file(self, uri: str) -> bool:
        try:
            return bool(self.info(uri)["type"] == "file")
        except FileNotFoundError:
            return False

    def names(self, folder: str) -> list[str]:
        fs, path = self.filesystem(folder)
        try:
            paths = self.attempt(folder, lambda: fs.ls(path, detail=False))
        except (FileNotFoundError, NotADirectoryError):
            return []
        own = path.rstrip("/").rsplit("/", 1)[-1]
        return sorted({name.rstrip("/").rsplit("/", 1)[-1] for name in paths} - ({own} if paths == [path] else set()))

    def files(self, folder: str, is_wanted: Callable[[str], bool]) -> Iterator[Item]:
        fs, path = self.filesystem(folder)
        top = path.rstrip("/") + "/"
        for _, _, found in self.attempt(folder, lambda: list(fs.walk(path, detail=True, on_error="raise"))):
            for info in found.values():
                yield Item(str(info["name"]).removeprefix(top).lstrip("/"), info.get("size") or 0, stamp_of(info))

    def one_file(self, uri: str) -> Item | None:
        try:
            info = self.info(uri)
        except FileNotFoundError:
            return None
        if info["type"] != "file":
            return None
        return Item(split(uri)[1], info.get("size") or 0, stamp_of(info), digest=self.digest_in(info))

    def digest_in(self, info: dict[str, Any]) -> str | None:
        """What a store says of a file's content when it lists it, the same for equal files; most say nothing."""

    def make_folder(self, uri: str) -> None:
        fs, path = self.filesystem(uri)
        self.attempt(uri, lambda: fs.makedirs(path, exist_ok=True))

    def remove(self, uri: str) -> None:
        fs, path = self.filesystem(uri)
        if self.info(uri)["type"] == "file":
            self.attempt(uri, lambda: fs.rm_file(path))
        else:
            self._remove_below(fs, uri, path)

    def _remove_below(self, fs: Any, uri: str, folder: str) -> None:
        for info in self.attempt(uri, lambda: fs.ls(folder, detail=True)):
            name = info["name"]
            if info["type"] == "directory":
                self._remove_below(fs, uri, name)
            else:
                with contextlib.suppress(FileNotFoundError):
                    self.attempt(uri, lambda name=name: fs.rm_file(name))  # type: ignore[misc]
        with contextlib.suppress(FileNotFoundError):  # where folders are but what names have in common
            self.attempt(uri, lambda: fs.rmdir(folder))

    def require_writable(self, uri: str) -> None:
        """Not known of other stores before something is written."""

    def identity(self, uri: str) -> str:
        fs, path = self.filesystem(uri)
        return f"{scheme_of(uri)}://{path}" if path else str(fs.unstrip_protocol(path))


def stamp_of(info: dict[str, Any]) -> str:
    """What changes when a file does: its generation, ETag or modification time."""
    known = ("generation", "ETag", "etag", "mtime", "Last-Modified", "LastModified", "last_modified", "updated")
    return next((str(info[key]) for key in (*known, "created") if info.get(key) is not None), "")

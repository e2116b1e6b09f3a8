"""Files read from other stores: only the bytes that are wanted, in few requests, each of them tried again alone."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable
from typing import IO, Any

from pipelines.errors import AudioVaeError
from pipelines.store.remote import GCS, HTTP, attempt, filesystem, scheme_of, status_of

HEADER_BYTES = 1 << 16
"""Asked for first of a file whose header alone is wanted."""
START_BYTES = 1 << 18
"""Of a file whose first seconds are wanted."""
WHOLE_BYTES = 1 << 22
"""Of a file that is read to its end."""
_MOST_BYTES = 1 << 23  # at once; each following piece is twice as long as the one before, up to this
_BUFFER_BYTES = 1 << 16


class RemoteFile(io.RawIOBase):
    """A file on a store, read in pieces that grow while it is read on and on.

    The first piece is asked for when the file is opened. When it is shorter than that, it is the file: so a small file
    costs one request. first_piece: what `first_pieces` has fetched of it.
    """

    def __init__(self, uri: str, first_bytes: int, first_piece: bytes | None = None) -> None:
        super().__init__()
        self.uri = uri
        self._fs, self._path = filesystem(uri)
        self._position = 0
        self._first = first_bytes
        self._piece_start, self._piece = 0, b""
        if first_piece is None:
            first_piece = self._fetch(0, first_bytes)
        self._start = first_piece
        self._size = len(first_piece) if len(first_piece) < first_bytes else self._find_size()

    def _find_size(self) -> int:
        return int(attempt(self.uri, lambda: self._fs.info(self._path))["size"])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        if self._position < len(self._start):
            piece, offset = self._start, self._position
        else:
            if not self._piece_start <= self._position < self._piece_start + len(self._piece):
                self._next_piece()
            piece, offset = self._piece, self._position - self._piece_start
        found = piece[offset : offset + wanted]
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)

    def _next_piece(self) -> None:
        position = self._position
        goes_on = position in (len(self._start), self._piece_start + len(self._piece))
        length = min(_MOST_BYTES, 2 * max(len(self._piece), self._first)) if goes_on else START_BYTES
        self._piece = self._fetch(position, min(position + length, self._size))
        self._piece_start = position
        if not self._piece:
            raise OSError(f"it ends at byte {position}, of {self._size}: it was replaced while it was read")

    def _fetch(self, start: int, end: int) -> bytes:
        try:
            return attempt(self.uri, lambda: self._fs.cat_file(self._path, start=start, end=end))
        except OSError as error:
            cause = error.__cause__
            may_be_empty = status_of(cause) == 416 or (scheme_of(self.uri) in GCS and isinstance(cause, ValueError))
            if start == 0 and may_be_empty and self._find_size() == 0:
                return b""
            raise


class _HttpFile(RemoteFile):
    """A file on a web server. One that can only send whole files does so once, to a temporary file."""

    def __init__(self, uri: str, first_bytes: int, first_piece: bytes | None = None) -> None:
        self._copy: IO[bytes] | None = None
        self._ranges: Any = None
        super().__init__(uri, first_bytes, first_piece)

    def _fetch(self, start: int, end: int) -> bytes:
        if self._copy is None:
            self._open()
        if self._copy is None:
            with contextlib.suppress(_OnlyWhole):
                return attempt(self.uri, lambda: self._range(start, end))
            self._copy_whole()
        assert self._copy is not None
        self._copy.seek(start)
        return self._copy.read(end - start)

    def _find_size(self) -> int:
        return self._copy.seek(0, io.SEEK_END) if self._copy is not None else int(self._ranges.size)

    def _open(self) -> None:
        if self._ranges is None:
            info = http_info(self._fs, self._path)
            if info.get("size") is None or not info.get("partial", True):
                self._copy_whole()
            else:
                self._ranges = self._fs.open(self._path, size=info["size"], cache_type="none")

    def _range(self, start: int, end: int) -> bytes:
        self._ranges.seek(start)
        try:
            return self._ranges.read(end - start)
        except ValueError as error:  # fsspec says so when the server answers a range with the whole file
            raise _OnlyWhole from error

    def _copy_whole(self) -> None:
        self._copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this file
        copy = self._copy

        def get() -> None:
            copy.seek(0)
            copy.truncate()
            self._fs.get_file(self._path, copy)

        attempt(self.uri, get)

    def close(self) -> None:
        if self._copy is not None:
            self._copy.close()
        super().close()


class _OnlyWhole(AudioVaeError):
    """The server sends whole files only: nothing that another try would change."""


def http_info(fs: Any, url: str) -> dict[str, Any]:
    """Size, ETag and so on of a file on a web server. fsspec calls every failure a missing file; this does not."""

    def info() -> dict[str, Any]:
        try:
            found: dict[str, Any] = fs.info(url)
        except FileNotFoundError as error:
            if error.__cause__ is not None and status_of(error.__cause__) not in (404, 410):
                raise error.__cause__ from None
            raise
        return found

    return attempt(url, info)


def open_remote(uri: str, first_bytes: int, first_piece: bytes | None = None) -> IO[bytes]:
    """Open a file for reading. FileNotFoundError or another OSError when it can't be."""
    kind = _HttpFile if scheme_of(uri) in HTTP else RemoteFile
    return io.BufferedReader(kind(uri, first_bytes, first_piece), _BUFFER_BYTES)


def first_pieces(uris: Iterable[str], first_bytes: int) -> dict[str, bytes]:
    """The first bytes of files, asked for at the same time, as far as they came: `open_remote` asks again."""
    groups: dict[str, list[str]] = {}
    for uri in uris:
        groups.setdefault(scheme_of(uri), []).append(uri)
    found: dict[str, bytes] = {}
    for group in groups.values():
        fs = filesystem(group[0])[0]
        paths = [filesystem(uri)[1] for uri in group]
        pieces = fs.cat_ranges(paths, 0, first_bytes, on_error="return")
        came = zip(group, pieces, strict=True)
        found |= {uri: piece for uri, piece in came if isinstance(piece, bytes) and len(piece) <= first_bytes}
    return found

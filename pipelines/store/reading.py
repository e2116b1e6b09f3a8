"""Files read from other stores: only the bytes that are wanted, in few requests, each of them tried again alone."""

from __future__ import annotations

import io
from typing import Any, Protocol

from pipelines.errors import NotPermitted, NotThere, StoreError, Unreachable

HEADER_BYTES = 1 << 16
"""Asked for first of a file whose header alone is wanted."""
START_BYTES = 1 << 18
"""Of a file whose first seconds are wanted."""
WHOLE_BYTES = 1 << 22
"""Of a file that is read to its end."""
_MOST_BYTES = 1 << 23  # at once; each following piece is twice as long as the one before, up to this
BUFFER_BYTES = 1 << 16


class _Source(Protocol):
    """What a file on a store is read from."""

    def fetch(self, uri: str, start: int, end: int) -> bytes: ...

    def size(self, uri: str) -> int: ...


class RemoteFile(io.RawIOBase):
    """A file on a store, read in pieces that grow while it is read on and on.

    The first piece is asked for when the file is opened. When it is shorter than that, it is the file: so a small file
    costs one request. first_piece: what `first_pieces` has fetched of it.
    """

    def __init__(self, store: _Source, uri: str, first_bytes: int, first_piece: bytes | None = None) -> None:
        super().__init__()
        self.store = store
        self.uri = uri
        self._position = 0
        self._first = first_bytes
        self._piece_start, self._piece = 0, b""
        if first_piece is None:
            first_piece = self._fetch(0, first_bytes)
        self._start = first_piece
        self._size = len(first_piece) if len(first_piece) < first_bytes else self._find_size()

    def _find_size(self) -> int:
        return self.store.size(self.uri)

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
            return self.store.fetch(self.uri, start, end)
        except (NotThere, NotPermitted, Unreachable):
            raise
        except StoreError:  # an empty file has no first bytes that could be asked for
            if start == 0 and self._find_size() == 0:
                return b""
            raise

"""A file that a decoder reads, here or on another store, and what its bytes are beside the decoder's back."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from pipelines import store
from pipelines.store.paths import local_path


class SourceFile:
    """An open file. size in bytes; error: the first of its reads that failed, which decoders take for its end."""

    def __init__(self, file: BinaryIO | None, descriptor: int | None = None) -> None:
        self._file = file
        self.descriptor = descriptor
        self.error: OSError | None = None
        if descriptor is not None:
            self.size = os.fstat(descriptor).st_size
        else:
            assert file is not None
            self.size = file.seek(0, io.SEEK_END)
            file.seek(0)

    def read_at(self, offset: int, length: int) -> bytes:
        """Bytes from anywhere; a decoder goes on where it was."""
        if self.descriptor is not None:
            return os.pread(self.descriptor, length, offset)
        assert self._file is not None
        position = self._file.tell()
        self._file.seek(offset)
        found = self._file.read(length)
        self._file.seek(position)
        return found

    @property
    def position(self) -> int:
        """How far a decoder has come."""
        return os.lseek(self.descriptor, 0, os.SEEK_CUR) if self.descriptor is not None else self._file.tell()  # type: ignore[union-attr]

    def stream(self, mended: Mapping[int, bytes] | None = None) -> ReadOnly:
        """The file from its start, for a decoder that reads through Python. mended: bytes to read, by their offset."""
        if self.descriptor is not None:
            return ReadOnly(self, open(self.descriptor, "rb", closefd=False), mended or {})
        assert self._file is not None
        return ReadOnly(self, self._file, mended or {})


class ReadOnly:
    """What libsndfile and PyAV need of a file object. It keeps the first error, and refuses no position."""

    def __init__(self, source: SourceFile, file: BinaryIO, mended: Mapping[int, bytes]) -> None:
        self._source = source
        self._file = file
        self._mended = mended
        self.tell = file.tell
        file.seek(0)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._file.tell(), io.SEEK_END: self._source.size}[whence]
        return self._file.seek(min(max(0, start + offset), self._source.size))

    def read(self, size: int) -> bytes:
        position = self._file.tell()
        try:
            found = self._file.read(size)
        except OSError as error:
            self._source.error = self._source.error or error
            return b""
        for offset, replacement in self._mended.items():
            for index, byte in enumerate(replacement, offset - position):
                if 0 <= index < len(found):
                    found = b"%b%c%b" % (found[:index], byte, found[index + 1 :])
        return found


@contextmanager
def source_file(uri: str, first_bytes: int, first_piece: bytes | None = None) -> Iterator[SourceFile]:
    """Open a file on any store, of which first_bytes are asked for at first. OSError when it can't be."""
    path = local_path(uri)
    if path is None:
        with store.open_read(uri, first_bytes, first_piece) as file:
            yield SourceFile(file)  # type: ignore[arg-type]
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield SourceFile(None, descriptor)
    finally:
        os.close(descriptor)

"""A file that a decoder reads, here or on another store, and what its bytes are beside the decoder's back."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from pipelines import store
from pipelines.store.paths import local_path


class SourceFile:
    """An open file. size in bytes; error: the first of its reads that failed, which decoders take for its end.

    file: it, on another store. path: where it lies here. content: all of its bytes, where they have been read already;
    then it is opened for decoders alone that need more.
    """

    def __init__(self, file: BinaryIO | None, path: str = "", content: bytes | None = None) -> None:
        self._file = file
        self._path = path
        self._content = content
        self.error: OSError | None = None
        if content is not None:
            self.size = len(content)
        elif file is not None:
            self.size = file.seek(0, io.SEEK_END)
            file.seek(0)
        else:
            self.size = os.fstat(self.descriptor or 0).st_size

    @property
    def is_remote(self) -> bool:
        """Whether it lies on another store."""
        return self._file is not None

    @functools.cached_property
    def descriptor(self) -> int | None:
        """Of a local file."""
        return None if self._file is not None else os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close what was opened here."""
        descriptor: int | None = vars(self).pop("descriptor", None)
        if descriptor is not None:
            os.close(descriptor)

    def read_at(self, offset: int, length: int) -> bytes:
        """Bytes from anywhere; a decoder goes on where it was."""
        if self._content is not None:
            return self._content[offset : offset + length]
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
    """Open a file on any store. OSError when it can't be.

    first_bytes: so many are asked for at first of one on another store. first_piece: they, if known; of a local file
    all of its bytes.
    """
    path = local_path(uri)
    if path is None:
        with store.open_read(uri, first_bytes, first_piece) as remote:
            yield SourceFile(remote)  # type: ignore[arg-type]
        return
    file = SourceFile(None, path, first_piece)
    try:
        yield file
    finally:
        file.close()

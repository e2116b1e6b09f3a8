"""What the door asks of a place where bytes lie. A kind of place is a class; `files.py` chooses by the URI's scheme."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import IO, NamedTuple, Protocol


class Item(NamedTuple):
    """A file in a listing. name: below the folder that was listed. stamp: changes when the file does. error: why it
    can't be read. digest: the same for two files of the same content on this kind of store, where it says one."""

    name: str
    size: int
    stamp: str
    error: str | None = None
    digest: str | None = None


class Store(Protocol):
    """Places of one kind. Names are taken literally: nothing in a URI is a pattern, an escape or a version.

    A method raises FileNotFoundError where there is no such file, another OSError where the store does not do what it
    is asked; on stores other than local disks these are StoreErrors, after all tries.
    """

    def open_read(self, uri: str, first_bytes: int, first_piece: bytes | None) -> IO[bytes]:
        """Open a file for reading; see `files.open_read`."""

    def first_pieces(self, uris: list[str], first_bytes: int) -> dict[str, bytes]:
        """The beginnings of files, asked for all at once, as far as they came."""

    def fetch(self, uri: str, start: int, end: int) -> bytes:
        """Bytes of a file from start to before end, fewer where it is shorter."""

    def write(self, uri: str) -> AbstractContextManager[IO[bytes]]:
        """A file to write into that appears whole under its name when the block ends without an error."""

    def put(self, local: str, uri: str) -> None:
        """Copy a local file to a place where it appears whole, or not at all."""

    def version(self, uri: str) -> str | None:
        """Names the content that a file has now, None when there is no file."""

    def replace_if_unchanged(self, uri: str, data: bytes, expected: str | None) -> None:
        """Replace a file that has this version, None: that does not exist. Conflict when it has another."""

    def exists(self, uri: str) -> bool:
        """Whether there is a file or folder."""

    def is_file(self, uri: str) -> bool:
        """Whether there is a file, no folder."""

    def names(self, folder: str) -> list[str]:
        """The names in a folder in order; none when there is no such folder."""

    def files(self, folder: str, is_wanted: Callable[[str], bool]) -> Iterator[Item]:
        """The files in a folder and below. Where sizes cost a request, only names that are wanted get one."""

    def one_file(self, uri: str) -> Item | None:
        """The file of this URI under its own name, None when there is none."""

    def make_folder(self, uri: str) -> None:
        """Make a folder and those above it, where there are such things."""

    def remove(self, uri: str) -> None:
        """Remove a file, or a folder and all in it, and nothing else. FileNotFoundError when there is none."""

    def require_writable(self, uri: str) -> None:
        """SettingError when nothing can be written into a folder, WorkError without permission."""

    def identity(self, uri: str) -> str:
        """The same for all ways to name a file."""

"""What S3 and Google Cloud Storage have in common: flat names, listed in pages, written on a condition.

A folder is what the names of its files begin with, its trailing slash included.
"""

from __future__ import annotations

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pipelines.errors import Conflict, SettingError, WorkError
from pipelines.store import remote
from pipelines.store.other import Other, stamp_of
from pipelines.store.paths import join, shown
from pipelines.store.protocol import Item

PAGE = 1000
"""Names asked for at once."""


class Page(NamedTuple):
    """A part of a listing: names of folders, files, and what to ask for the next part with."""

    folders: list[str]
    items: list[Item]
    token: str | None


class Bucket(Other, ABC):
    """A store of named objects that decides by itself whether a condition of a write holds."""

    scheme: str
    no_version: str
    """What no file has as its version."""

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """How fsspec's file system is made: time limits below what its configuration says."""

    @abstractmethod
    def page(self, fs: Any, bucket: str, prefix: str, delimiter: str | None, token: str | None) -> Page:
        """One request for names that begin with a prefix."""

    @abstractmethod
    def put_if(self, fs: Any, bucket: str, key: str, data: bytes, expected: str | None) -> None:
        """One request to write an object if it has this version."""

    @abstractmethod
    def remove_keys(self, fs: Any, uri: str, bucket: str, keys: list[str]) -> None:
        """Remove at most PAGE objects; none need exist."""

    @abstractmethod
    def holds(self, fs: Any, bucket: str, key: str) -> None:
        """One request that fails when there is no object of this name."""

    def filesystem(self, uri: str) -> tuple[Any, str]:
        """Never by the URI: of that, fsspec would read parts as versions and as chains of file systems."""
        import fsspec

        with remote.told(uri, self.package):
            fs = fsspec.filesystem(self.scheme, use_listings_cache=False, **self.options())
        return fs, uri.partition("://")[2].rstrip("/")

    def place(self, uri: str) -> tuple[Any, str, str]:
        """The file system, the bucket and the object's name."""
        fs, path = self.filesystem(uri)
        bucket: str = fs.split_path(path)[0]  # which knows Amazon's names of access points
        return fs, bucket, path[len(bucket) + 1 :]

    def pages(self, uri: str, delimiter: str | None = None) -> Iterator[tuple[str, Page]]:
        """What is in a folder, its prefix beside; each page is a request of its own, tried again alone.

        fsspec would keep all pages, about a kilobyte a file.
        """
        fs, bucket, key = self.place(uri)
        prefix, token = f"{key}/" if key else "", None
        while True:
            found = self.attempt(uri, functools.partial(self.page, fs, bucket, prefix, delimiter, token))
            yield prefix, found
            token = found.token
            if not token:
                return

    def files(self, folder: str, is_wanted: Callable[[str], bool]) -> Iterator[Item]:
        for prefix, page in self.pages(folder):
            for item in page.items:
                if not item.name.endswith("/"):  # such a name is a folder's mark
                    yield item._replace(name=item.name[len(prefix) :])

    def names(self, folder: str) -> list[str]:
        try:
            pages = list(self.pages(folder, "/"))
        except FileNotFoundError:
            return []
        found = [
            name[len(prefix) :].rstrip("/")
            for prefix, page in pages
            for name in (*page.folders, *(item.name for item in page.items))
        ]
        return sorted(set(found) - {""})

    def make_folder(self, uri: str) -> None:
        """Buckets have none, and are not made."""

    def version(self, uri: str) -> str | None:
        try:
            return stamp_of(self.info(uri))
        except FileNotFoundError:
            return None

    def replace_if_unchanged(self, uri: str, data: bytes, expected: str | None) -> None:
        """Compared and replaced in one step."""
        fs, bucket, key = self.place(uri)
        try:
            self.attempt(uri, lambda: self.put_if(fs, bucket, key, data, expected))
        except OSError as error:
            if not _is_refusal(error.__cause__, expected):
                raise
            # The answer to a try that had succeeded may have been lost; then it is our own data that is in the way.
            if self.version(uri) is None or self.attempt(uri, lambda: fs.cat_file(f"{bucket}/{key}")) != data:
                raise Conflict(uri) from error

    def require_writable(self, uri: str) -> None:
        """By a write whose condition never holds."""
        probe = join(uri, ".tmp-may-be-removed")
        fs, bucket, key = self.place(probe)
        try:
            self.attempt(probe, lambda: self.put_if(fs, bucket, key, b"may be removed", self.no_version))
        except FileNotFoundError as error:
            if not _is_refusal(error.__cause__, self.no_version):
                raise SettingError(f"{uri}: must be in a bucket that exists: {error.strerror}") from error
        except OSError as error:
            if not _is_refusal(error.__cause__, self.no_version):
                raise WorkError(f"{uri}: cannot be written: {error.strerror}") from error
        else:
            self.remove_keys(fs, probe, bucket, [key])
            log = logging.getLogger(__name__)
            log.error("%s: its server ignores conditions: never let two runs write at once", shown(uri))

    def remove(self, uri: str) -> None:
        """The literal names below the exact prefix, a page at a time, and the object of the name itself."""
        fs, bucket, key = self.place(uri)
        if not key:
            raise WorkError(f"{uri}: cannot be removed: it is a whole bucket")
        found = False
        for _, page in self.pages(uri):
            if page.items:
                found = True
                self.remove_keys(fs, uri, bucket, [item.name for item in page.items])
        try:
            self.attempt(uri, lambda: self.holds(fs, bucket, key))
        except FileNotFoundError:
            if not found:
                raise
        else:
            self.remove_keys(fs, uri, bucket, [key])

    def identity(self, uri: str) -> str:
        _, bucket, key = self.place(uri)
        return f"{self.scheme}://{bucket}/{key}"


def _is_refusal(error: BaseException | None, expected: str | None) -> bool:
    """Whether a store refused a write because its condition did not hold."""
    status = remote.status_of(error)
    code = remote.answer_of(error or OSError()).get("Error", {}).get("Code")
    is_gone = status == 404 and expected is not None and code == "NoSuchKey"
    return status in (409, 412) or is_gone or isinstance(error, FileExistsError)  # which is gcsfs's 412

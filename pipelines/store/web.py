"""Web servers, by fsspec and aiohttp: read only. A folder is a page that links to what is in it."""

from __future__ import annotations

import contextlib
import functools
import io
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, NoReturn
from urllib.parse import unquote

from pipelines.errors import AudioVaeError, SettingError
from pipelines.store import remote
from pipelines.store.other import Other, stamp_of
from pipelines.store.paths import with_query
from pipelines.store.protocol import Item
from pipelines.store.reading import BUFFER_BYTES, RemoteFile

_HEADS = 16  # questions about files at a time


class Web(Other):
    """The query of an address goes along to all files below, as it may be what lets one in."""

    package = "http"

    def filesystem(self, uri: str) -> tuple[Any, str]:
        import fsspec
        from fsspec.config import conf

        scheme = uri.partition("://")[0]
        with remote.told(uri, self.package):
            import aiohttp

            limit = aiohttp.ClientTimeout(
                total=None, sock_connect=remote.CONNECT_SECONDS, sock_read=remote.SILENCE_SECONDS
            )
            options = {"timeout": limit} | conf.get(scheme, {}).get("client_kwargs", {})
            return fsspec.filesystem(scheme, use_listings_cache=False, client_kwargs=options), uri

    def info(self, uri: str) -> dict[str, Any]:
        """Size, ETag and so on. fsspec calls every failure a missing file; this does not."""
        fs, url = self.filesystem(uri)

        def info() -> dict[str, Any]:
            try:
                found: dict[str, Any] = fs.info(url)
            except FileNotFoundError as error:
                if error.__cause__ is not None and remote.status_of(error.__cause__) not in (404, 410):
                    raise error.__cause__ from None
                raise
            return found

        return self.attempt(uri, info)

    def open_read(self, uri: str, first_bytes: int, first_piece: bytes | None) -> IO[bytes]:
        return io.BufferedReader(_WebFile(self, uri, first_bytes, first_piece), BUFFER_BYTES)

    def files(self, folder: str, is_wanted: Callable[[str], bool]) -> Iterator[Item]:
        """The files that pages of folders link to. Sizes and stamps cost a request each."""
        fs, _ = self.filesystem(folder)
        base, query = with_query(folder)
        top = base.rstrip("/") + "/"
        pending, known = [top], {top}
        while pending:
            links = self._links(fs, pending.pop(), query)
            below = sorted(link for link in links if link.startswith(top) and not set(link) & set("?#"))
            inner = [link for link in below if link.endswith("/") and link not in known]
            known.update(inner)
            pending += inner
            with ThreadPoolExecutor(_HEADS) as pool:
                found = [link for link in below if not link.endswith("/")]
                yield from pool.map(lambda link: self._item(link, query, top, is_wanted), found)

    def _links(self, fs: Any, page: str, query: str) -> list[str]:
        url = page + query
        names = [link["name"] for link in self.attempt(url, functools.partial(fs.ls, url, detail=True))]
        # fsspec puts relative links behind the query
        return [page + name.removeprefix(f"{url}/") if query and name.startswith(f"{url}/") else name for name in names]

    def _item(self, link: str, query: str, top: str, is_wanted: Callable[[str], bool]) -> Item:
        name = unquote(link.removeprefix(top))
        if set(name) & set("?#%"):  # a URL needs these as they are
            name = link.removeprefix(top)
        if not is_wanted(name):
            return Item(name, 0, "")
        try:
            info = self.info(link + query)
        except FileNotFoundError:
            return Item(name, 0, "", "vanished while listing")
        return Item(name, info.get("size") or 0, stamp_of(info))

    def require_writable(self, uri: str) -> NoReturn:
        raise SettingError(f"{uri} must be a place that can be written, such as a folder or s3://bucket/name")

    def put(self, local: str, uri: str) -> NoReturn:
        self.require_writable(uri)

    def replace_if_unchanged(self, uri: str, data: bytes, expected: str | None) -> NoReturn:
        self.require_writable(uri)

    def make_folder(self, uri: str) -> NoReturn:
        self.require_writable(uri)

    def remove(self, uri: str) -> NoReturn:
        self.require_writable(uri)

    def identity(self, uri: str) -> str:
        return uri


class _WebFile(RemoteFile):
    """A file on a web server. One that can only send whole files does so once, to a temporary file."""

    store: Web

    def __init__(self, store: Web, uri: str, first_bytes: int, first_piece: bytes | None = None) -> None:
        self._copy: IO[bytes] | None = None
        self._ranges: Any = None
        self._fs, self._url = store.filesystem(uri)
        super().__init__(store, uri, first_bytes, first_piece)

    def _fetch(self, start: int, end: int) -> bytes:
        if self._copy is None:
            self._open()
        if self._copy is None:
            with contextlib.suppress(_OnlyWhole):
                return self.store.attempt(self.uri, lambda: self._range(start, end))
            self._copy_whole()
        assert self._copy is not None
        self._copy.seek(start)
        return self._copy.read(end - start)

    def _find_size(self) -> int:
        return self._copy.seek(0, io.SEEK_END) if self._copy is not None else int(self._ranges.size)

    def _open(self) -> None:
        if self._ranges is None:
            info = self.store.info(self.uri)
            if info.get("size") is None or not info.get("partial", True):
                self._copy_whole()
            else:
                self._ranges = self._fs.open(self._url, size=info["size"], cache_type="none")

    def _range(self, start: int, end: int) -> bytes:
        self._ranges.seek(start)
        try:
            data: bytes = self._ranges.read(end - start)
        except ValueError as error:  # fsspec says so when the server answers a range with the whole file
            raise _OnlyWhole from error
        return data

    def _copy_whole(self) -> None:
        self._copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this file
        copy = self._copy

        def get() -> None:
            copy.seek(0)
            copy.truncate()
            self._fs.get_file(self._url, copy)

        self.store.attempt(self.uri, get)

    def close(self) -> None:
        if self._copy is not None:
            self._copy.close()
        super().close()


class _OnlyWhole(AudioVaeError):
    """The server sends whole files only: nothing that another try would change."""

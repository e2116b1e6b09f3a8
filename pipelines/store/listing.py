"""What files there are on other stores, without keeping a listing in memory."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import unquote

from pipelines.audio.formats import AUDIO_SUFFIXES, suffix_of
from pipelines.store.reading import http_info
from pipelines.store.remote import BUCKETS, HTTP, S3, attempt, filesystem, scheme_of

_PAGE = 1000  # names asked for at once
_HEADS = 16  # questions about files on a web server at a time


class Item(NamedTuple):
    """A file in a listing. name: below the folder that was listed. stamp: changes when the file does. error: why it
    can't be read."""

    name: str
    size: int
    stamp: str
    error: str | None = None


def files(uri: str) -> Iterator[Item]:
    """The files in a folder and below. FileNotFoundError, or another OSError, when it can't be listed."""
    scheme = scheme_of(uri)
    fs, path = filesystem(uri)
    if scheme in BUCKETS:
        bucket, prefix = bucket_and_prefix(fs, path)
        for _, items in _pages(fs, uri, bucket, prefix, None):
            yield from (item._replace(name=item.name[len(prefix) :]) for item in items)
    elif scheme in HTTP:
        yield from _linked(fs, uri.rstrip("/") + "/")
    else:
        top = path.rstrip("/") + "/"
        for _, _, found in attempt(uri, lambda: list(fs.walk(path, detail=True, on_error="raise"))):
            for info in found.values():
                yield Item(str(info["name"]).removeprefix(top).lstrip("/"), info.get("size") or 0, stamp_of(info))


def one_file(uri: str) -> Item | None:
    """The file of this URI under its own name, None when there is none."""
    fs, path = filesystem(uri)
    try:
        info = http_info(fs, path) if scheme_of(uri) in HTTP else attempt(uri, lambda: fs.info(path))
    except FileNotFoundError:
        return None
    name = uri.rsplit("/", 1)[1]
    return Item(name, info.get("size") or 0, stamp_of(info)) if info["type"] == "file" else None


def names(uri: str) -> list[str]:
    """The names in a folder in order; none when there is no such folder."""
    fs, path = filesystem(uri)
    if scheme_of(uri) in BUCKETS:
        bucket, prefix = bucket_and_prefix(fs, path)
        try:
            pages = list(_pages(fs, uri, bucket, prefix, "/"))
        except FileNotFoundError:
            return []
        found = [name for folders, items in pages for name in (*folders, *(item.name for item in items))]
        return sorted({name[len(prefix) :].rstrip("/") for name in found} - {""})
    try:
        paths = attempt(uri, lambda: fs.ls(path, detail=False))
    except (FileNotFoundError, NotADirectoryError):
        return []
    own = path.rstrip("/").rsplit("/", 1)[-1]
    return sorted({name.rstrip("/").rsplit("/", 1)[-1] for name in paths} - ({own} if paths == [path] else set()))


def stamp_of(info: dict[str, Any]) -> str:
    """What changes when a file does: its generation, ETag or modification time."""
    known = ("generation", "ETag", "etag", "mtime", "Last-Modified", "LastModified", "last_modified", "updated")
    return next((str(info[key]) for key in (*known, "created") if info.get(key) is not None), "")


def bucket_and_prefix(fs: Any, path: str) -> tuple[str, str]:
    """The bucket, and what the names of all files in a folder begin with."""
    bucket, key, *_ = fs.split_path(path)
    return bucket, f"{key.rstrip('/')}/" if key.strip("/") else ""


Page = tuple[list[str], list[Item]]
"""Names of folders, and files."""


def _pages(fs: Any, uri: str, bucket: str, prefix: str, delimiter: str | None) -> Iterator[Page]:
    """Folders and files whose names begin with a prefix; each page is a request of its own, tried again alone.

    fsspec would keep all pages, about a kilobyte a file.
    """
    is_s3 = scheme_of(uri) in S3
    options: dict[str, Any] = {"Delimiter": delimiter} if delimiter else {}
    if not is_s3:
        options = {"prefix": prefix, "delimiter": delimiter, "maxResults": _PAGE}

    def page() -> dict[str, Any]:
        if is_s3:
            return fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **options)
        return fs.call("GET", "b/{}/o", bucket, json_out=True, **options)

    while True:
        found = attempt(uri, page)
        if is_s3:
            items = [Item(item["Key"], item["Size"], item["ETag"]) for item in found.get("Contents", ())]
            folders = [folder["Prefix"] for folder in found.get("CommonPrefixes", ())]
            token = options["ContinuationToken"] = found.get("NextContinuationToken")
        else:
            items = [Item(i["name"], int(i["size"]), str(i["generation"])) for i in found.get("items", ())]
            folders = found.get("prefixes", [])
            token = options["pageToken"] = found.get("nextPageToken")
        yield folders, [item for item in items if not item.name.endswith("/")]  # such a name is a folder's mark
        if not token:
            return


def _linked(fs: Any, top: str) -> Iterator[Item]:
    """The files that a web server's pages of folders link to, below a folder. Sizes and stamps cost a request each."""
    pending, known = [top], {top}
    while pending:
        folder = pending.pop()
        links = [link["name"] for link in attempt(folder, functools.partial(fs.ls, folder, detail=True))]
        below = sorted(link for link in links if link.startswith(top) and not set(link) & set("?#"))
        inner = [link for link in below if link.endswith("/") and link not in known]
        known.update(inner)
        pending += inner
        with ThreadPoolExecutor(_HEADS) as pool:
            files_below = [link for link in below if not link.endswith("/")]
            yield from pool.map(lambda link: _web_item(fs, link, top), files_below)


def _web_item(fs: Any, link: str, top: str) -> Item:
    name = unquote(link.removeprefix(top))
    if set(name) & set("?#%"):  # a URL needs these as they are
        name = link.removeprefix(top)
    if suffix_of(name) not in AUDIO_SUFFIXES:
        return Item(name, 0, "")
    try:
        info = http_info(fs, link)
    except FileNotFoundError:
        return Item(name, 0, "", "vanished while listing")
    return Item(name, info.get("size") or 0, stamp_of(info))

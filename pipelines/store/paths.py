"""How places are named: which URIs are of this machine, how a folder's files are called, what may be told of a URI."""

from __future__ import annotations

import os

from pipelines.errors import shown

__all__ = ["Place", "join", "local_path", "scheme_of", "shown", "split"]
_WEB = ("http://", "https://")

Place = str | os.PathLike[str]
"""A path, or a URI such as s3://bucket/folder."""


def local_path(uri: str) -> str | None:
    """The plain path of a URI on the local file system, None for another store."""
    if "://" not in uri:
        return uri
    return uri.removeprefix("file://") if uri.startswith("file://") else None


def scheme_of(uri: str) -> str:
    """What stands before `://`; `file` for a path."""
    scheme, separator, _ = uri.partition("://")
    return scheme if separator else "file"


def join(folder: str, *parts: str) -> str:
    """A path or URI below a folder. The query of a web address stays at its end, as it may hold what opens the door."""
    base, query = with_query(folder)
    return "/".join([base.rstrip("/"), *parts]) + query


def split(uri: str) -> tuple[str, str]:
    """The folder that a file lies in, and the file's name: what `join` puts together again."""
    base, query = with_query(uri)
    folder, _, name = base.rpartition("/")
    return folder + query, name


def with_query(uri: str) -> tuple[str, str]:
    """A web address without its query, and the query with its question mark; elsewhere that is part of a name."""
    if not uri.startswith(_WEB):
        return uri, ""
    base, mark, query = uri.partition("?")
    return base, mark + query

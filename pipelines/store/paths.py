"""Which paths and URIs are of this machine."""

from __future__ import annotations


def local_path(uri: str) -> str | None:
    """The plain path of a URI on the local file system, None for another store."""
    if "://" not in uri:
        return uri
    return uri.removeprefix("file://") if uri.startswith("file://") else None

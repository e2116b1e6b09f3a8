"""Which paths and URIs are of this machine."""

from __future__ import annotations

import os

Place = str | os.PathLike[str]
"""A path, or a URI such as s3://bucket/folder."""


def local_path(uri: str) -> str | None:
    """The plain path of a URI on the local file system, None for another store."""
    if "://" not in uri:
        return uri
    return uri.removeprefix("file://") if uri.startswith("file://") else None

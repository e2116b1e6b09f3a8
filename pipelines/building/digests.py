"""What a file's content is known by, wherever the file lies and whatever it is called. Needs no Arrow."""

from __future__ import annotations

import hashlib
import os

from pipelines import store
from pipelines.decoders.streams import Alive, unwatched
from pipelines.store.paths import local_path

_CHUNK_BYTES = 1 << 18
_BLOCK_BYTES = 1 << 12
_DIGITS = 32
"""Of the 64 of a SHA-256: no two files have these in common by chance, and a manifest is a third smaller."""


def sha256_of(uri: str, alive: Alive = unwatched) -> str:
    """The SHA-256 of a file in hexadecimal, read in pieces. alive: called after each of them."""
    digest = hashlib.sha256()
    with store.open_read(uri) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            alive()
    return digest.hexdigest()


def from_sha256(sha256: str) -> str:
    """The digest of a file whose SHA-256 is known."""
    return sha256[:_DIGITS]


def digest_of(uri: str, alive: Alive = unwatched) -> str | None:
    """The digest of a local file; None of one elsewhere, which would be sent for it, or that can't be read."""
    path = local_path(uri)
    if path is None:
        return None
    digest = hashlib.sha256()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            while chunk := os.read(descriptor, _CHUNK_BYTES):
                digest.update(chunk)
                alive()
        finally:
            os.close(descriptor)
    except OSError:
        return None  # whoever decodes it says why
    return from_sha256(digest.hexdigest())


def block_of(path: str, size: int) -> bytes | None:
    """A block in the middle of a local file, where two recordings of one length differ; None when it can't be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.pread(descriptor, _BLOCK_BYTES, max(0, (size - _BLOCK_BYTES) // 2))
        finally:
            os.close(descriptor)
    except OSError:
        return None

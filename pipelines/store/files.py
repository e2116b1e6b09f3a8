"""The door: small functions over URIs, each of which asks the kind of place that a URI names, and no one asks again."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipelines.errors import AudioVaeError, SettingError, StoreError, WorkError, shown
from pipelines.space import unwritten, why_unwritten
from pipelines.store.gcs import GoogleStorage
from pipelines.store.json_values import json_document
from pipelines.store.local import Local
from pipelines.store.other import Other
from pipelines.store.paths import local_path, scheme_of, split
from pipelines.store.protocol import Item, Store
from pipelines.store.reading import WHOLE_BYTES
from pipelines.store.s3 import S3
from pipelines.store.web import Web

_LOCAL, _S3, _GCS, _WEB, _OTHER = Local(), S3(), GoogleStorage(), Web(), Other()
_KINDS: dict[str, Store] = {"file": _LOCAL, "s3": _S3, "s3a": _S3, "gs": _GCS, "gcs": _GCS, "http": _WEB, "https": _WEB}
_REMOVALS = 5
_COPIED_BYTES = 8 * 2**20


def _store_of(uri: str) -> Store:
    return _KINDS.get(scheme_of(uri), _OTHER)


@contextlib.contextmanager
def open_read(uri: str, first_bytes: int = WHOLE_BYTES, first_piece: bytes | None = None) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes.

    Of one on another store, first_bytes are asked for at once; first_piece is what `first_pieces` has of it already.
    """
    with _store_of(uri).open_read(uri, first_bytes, first_piece) as file:
        yield file


def require_plain_file(uri: str) -> None:
    """OSError when there is something at a local path that is no file: a pipe or a device is read without end."""
    path = local_path(uri)
    if path is not None and not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "is no file", uri)


def first_pieces(uris: Iterable[str], first_bytes: int) -> dict[str, bytes]:
    """The beginnings of files on other stores, asked for all at once, for `open_read`; some may be missing."""
    groups: dict[str, list[str]] = {}
    for uri in uris:
        groups.setdefault(scheme_of(uri), []).append(uri)
    found: dict[str, bytes] = {}
    for group in groups.values():
        found |= _store_of(group[0]).first_pieces(group, first_bytes)
    return found


def read_bytes(uri: str) -> bytes:
    """The content of a file."""
    with open_read(uri) as file:
        return file.read()


def read_range(uri: str, offset: int, length: int) -> bytes:
    """length bytes of a file from offset."""
    return _store_of(uri).fetch(uri, offset, offset + length)


def get_file(uri: str, path: Path) -> None:
    """Copy a file to a local path."""
    with open_read(uri) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, _COPIED_BYTES)


@contextlib.contextmanager
def local_copy(uri: str) -> Iterator[str]:
    """The path of a file: its own when it is local, else that of a copy, which goes when the block ends."""
    path = local_path(uri)
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="audio-vae-") as folder:
        copy = Path(folder, split(uri)[1])
        get_file(uri, copy)
        yield str(copy)


@contextlib.contextmanager
def open_atomic(uri: str) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears whole, under its name, when the block ends without an error.

    WorkError names the file when it can't be written, and nothing is left of it.
    """
    with _named_when_unwritable(uri), _store_of(uri).write(uri) as file:
        yield file


@contextlib.contextmanager
def _named_when_unwritable(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, StoreError) and error.filename != shown(uri):
            raise  # another file could not be read
        path = local_path(uri)
        why = (error.strerror or str(error)) if path is None else why_unwritten(error, path)
        raise WorkError(f"{shown(uri)}: cannot be written: {why}") from error


def write_bytes(uri: str, data: bytes) -> None:
    """Write a file atomically."""
    with open_atomic(uri) as file:
        file.write(data)


def put_file(path: Path, uri: str) -> None:
    """Copy a local file to a place where it appears whole, or not at all."""
    with _named_when_unwritable(uri):
        _store_of(uri).put(str(path), uri)


def version(uri: str) -> str | None:
    """Names the content that a file has now, None when there is no file; for `replace_if_unchanged`."""
    return _store_of(uri).version(uri)


def replace_if_unchanged(uri: str, data: bytes, expected: str | None) -> None:
    """Replace a file that still has the version `expected` (None: does not exist), atomically. Else Conflict.

    S3 and Google Cloud Storage compare and replace in one step, and so does memory://. Locally, and on stores that are
    none of these, the file is compared and then replaced: there a lock is needed beside (locally `holding.lock`).
    """
    with _named_when_unwritable(uri):
        _store_of(uri).replace_if_unchanged(uri, data, expected)


def exists(uri: str) -> bool:
    """Whether a file or folder exists."""
    return _store_of(uri).exists(uri)


def is_file(uri: str) -> bool:
    """Whether there is a file, which is no folder."""
    return _store_of(uri).is_file(uri)


def names(folder: str) -> list[str]:
    """The names in a folder in order; none when there is no such folder."""
    return _store_of(folder).names(folder)


def files(folder: str, is_wanted: Callable[[str], bool] = lambda name: True) -> Iterator[Item]:
    """The files in a folder and below. FileNotFoundError, or another OSError, when it can't be listed.

    is_wanted: of a name. Where sizes and stamps cost a request a file, others go without.
    """
    return _store_of(folder).files(folder, is_wanted)


def one_file(uri: str) -> Item | None:
    """The file of this URI under its own name, None when there is none."""
    return _store_of(uri).one_file(uri)


def identity(uri: str) -> str:
    """The same for all ways to name a file."""
    return _store_of(uri).identity(uri)


def make_folder(uri: str) -> None:
    """Make a folder and those above it. Buckets have none, and are not made."""
    try:
        _store_of(uri).make_folder(uri)
    except OSError as error:
        path = local_path(uri)
        why = (error.strerror or str(error)) if path is None else why_unwritten(error, path)
        raise WorkError(f"{shown(uri)}: cannot be made: {why}") from error


def require_writable(uri: str) -> None:
    """Find out, before any work is done, whether files can be put into a folder on another store.

    SettingError when its bucket does not exist or the store can't be written at all, WorkError without permission.
    """
    _store_of(uri).require_writable(uri)


def remove_folder(uri: str) -> None:
    """Remove a file, or a folder and all that is in it; none need exist. WorkError when something stays."""
    for number in range(_REMOVALS):  # a process that is being ended may write once more
        try:
            _store_of(uri).remove(uri)
        except FileNotFoundError:
            return
        except OSError as error:
            if number == _REMOVALS - 1 or isinstance(error, StoreError):
                raise WorkError(f"{shown(uri)}: cannot be removed: {error.strerror or error}") from error
            time.sleep(0.1)
    raise WorkError(f"{shown(uri)}: cannot be removed: it is still there")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path of the same suffix that takes the place of `path` when the block ends without an error.

    WorkError when it can't be written, also where a library that writes it does not say that its disk is full.
    """
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    except AudioVaeError:
        raise
    except Exception as error:
        if told := unwritten(partial, str(path), error):
            raise told from error
        if isinstance(error, OSError):
            raise WorkError(f"{path} cannot be written: {error.strerror or error}") from error
        raise
    finally:
        with contextlib.suppress(OSError):  # of a folder that can't be written nothing can be removed: that is told
            partial.unlink()


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file, all at once."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path | str) -> dict[str, Any]:
    """The object in the JSON file at a path or URI; SettingError when it can't be read as one."""
    try:
        require_plain_file(str(path))
        values = json_document(read_bytes(str(path)))
    except WorkError:  # of a store that does not answer
        raise
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} must be a readable JSON file: {error}") from error
    if not isinstance(values, dict):
        raise SettingError(f"{path} must hold a JSON object, not {type(values).__name__}")
    return values

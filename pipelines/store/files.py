"""Files of a dataset folder on any fsspec store: small atomic writes, reads, listings."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipelines.errors import Conflict, SettingError, StoreError, WorkError
from pipelines.store import listing, reading, remote, writing
from pipelines.store.json_values import json_document
from pipelines.store.paths import local_path
from pipelines.store.reading import HEADER_BYTES, START_BYTES, WHOLE_BYTES

__all__ = ["HEADER_BYTES", "START_BYTES", "WHOLE_BYTES", "Conflict"]  # beside what is defined here
_REMOVALS = 5
_COPIED_BYTES = 8 * 2**20


def join(folder: str, *parts: str) -> str:
    """A path or URI below a folder."""
    return "/".join([folder.rstrip("/"), *parts])


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a URI and the path in it; SettingError when there is none for its scheme."""
    return remote.filesystem(uri)


@contextlib.contextmanager
def open_read(uri: str, first_bytes: int = WHOLE_BYTES, first_piece: bytes | None = None) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes.

    Of one on another store, first_bytes are asked for at once; first_piece is what `first_pieces` has of it already.
    """
    path = local_path(uri)
    if path is not None:
        with open(path, "rb") as file:
            yield file
    else:
        with reading.open_remote(uri, first_bytes, first_piece) as file:
            yield file


def require_plain_file(uri: str) -> None:
    """OSError when there is something at a local path that is no file: a pipe or a device is read without end."""
    path = local_path(uri)
    if path is not None and not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "is no file", uri)


def first_pieces(uris: Iterable[str], first_bytes: int) -> dict[str, bytes]:
    """The beginnings of files on other stores, asked for all at once, for `open_read`; some may be missing."""
    return reading.first_pieces([uri for uri in uris if local_path(uri) is None], first_bytes)


def read_bytes(uri: str) -> bytes:
    """The content of a file."""
    with open_read(uri) as file:
        return file.read()


def read_range(uri: str, offset: int, length: int) -> bytes:
    """length bytes of a file from offset."""
    if local_path(uri) is None:
        fs, path = filesystem(uri)
        data: bytes = remote.attempt(uri, lambda: fs.cat_file(path, start=offset, end=offset + length))
        return data
    with open_read(uri) as file:
        file.seek(offset)
        return file.read(length)


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
        copy = Path(folder, uri.rsplit("/", 1)[1])
        get_file(uri, copy)
        yield str(copy)


@contextlib.contextmanager
def open_atomic(uri: str) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears whole, under its name, when the block ends without an error.

    Locally a temporary name is flushed to disk and renamed; to another store a local file is sent when it is complete.
    WorkError names the file when it can't be written, and nothing is left of it.
    """
    path = local_path(uri)
    with _named_when_unwritable(uri):
        if path is None:
            with tempfile.NamedTemporaryFile(prefix="audio-vae-") as complete:
                yield complete  # type: ignore[misc]
                complete.flush()
                writing.put(complete.name, uri)
            return
        temporary = f"{path}.tmp-{os.getpid()}-{secrets.token_hex(4)}"  # pods on a shared folder have the same ids
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


@contextlib.contextmanager
def _named_when_unwritable(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, StoreError) and error.filename != uri:
            raise  # another file could not be read
        raise WorkError(f"{uri}: cannot be written: {error.strerror or error}") from error


def replace(temporary: str, path: str) -> None:
    """Rename a local file that was flushed to disk, so that a power cut leaves the old one or the whole new one."""
    os.replace(temporary, path)
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(uri: str, data: bytes) -> None:
    """Write a file atomically."""
    with open_atomic(uri) as file:
        file.write(data)


def put_file(path: Path, uri: str) -> None:
    """Copy a local file to a place where it appears whole, or not at all."""
    if local_path(uri) is None:
        with _named_when_unwritable(uri):
            writing.put(str(path), uri)
        return
    with path.open("rb") as source, open_atomic(uri) as target:
        shutil.copyfileobj(source, target, _COPIED_BYTES)


def version(uri: str) -> str | None:
    """Names the content that a file has now, None when there is no file; for `replace_if_unchanged`."""
    if local_path(uri) is None:
        return writing.version(uri)
    try:
        return hashlib.sha256(read_bytes(uri)).hexdigest()
    except FileNotFoundError:
        return None


def replace_if_unchanged(uri: str, data: bytes, expected: str | None) -> None:
    """Replace a file that still has the version `expected` (None: does not exist), atomically. Else Conflict.

    S3 and Google Cloud Storage compare and replace in one step, and so does memory://. Locally, and on stores that are
    none of these, the file is compared and then replaced: there a lock is needed beside (locally `locking.lock`).
    """
    if local_path(uri) is not None:
        if version(uri) != expected:
            raise Conflict(f"{uri}: was changed meanwhile")
        write_bytes(uri, data)
        return
    with _named_when_unwritable(uri):
        writing.replace_if_unchanged(uri, data, expected)


def exists(uri: str) -> bool:
    """Whether a file or folder exists."""
    path = local_path(uri)
    if path is not None:
        return os.path.lexists(path)
    fs, path = filesystem(uri)
    try:
        return bool(remote.attempt(uri, lambda: fs.info(path)))
    except FileNotFoundError:
        return False


def names(folder: str) -> list[str]:
    """The names in a folder in order; none when there is no such folder."""
    path = local_path(folder)
    if path is not None:
        return sorted(os.listdir(path)) if os.path.isdir(path) else []
    return listing.names(folder)


def make_folder(uri: str) -> None:
    """Make a folder and those above it. Buckets have none, and are not made."""
    path = local_path(uri)
    try:
        if path is not None:
            os.makedirs(path, exist_ok=True)
        elif remote.scheme_of(uri) not in remote.BUCKETS:
            fs, path = filesystem(uri)
            remote.attempt(uri, lambda: fs.makedirs(path, exist_ok=True))
    except OSError as error:
        raise WorkError(f"{uri}: cannot be made: {error.strerror or error}") from error


def require_writable(uri: str) -> None:
    """Find out, before any work is done, whether files can be put into a folder on another store.

    SettingError when its bucket does not exist or the store can't be written at all, WorkError without permission.
    """
    if local_path(uri) is None:
        writing.require_writable(uri)


def remove_folder(uri: str) -> None:
    """Remove a file, or a folder and all that is in it; none need exist. WorkError when something stays."""
    path = local_path(uri)
    for number in range(_REMOVALS):  # a process that is being ended may write once more
        try:
            if path is None:
                writing.remove(uri)
            elif os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            if path is None or not os.path.lexists(path):
                return
        except OSError as error:
            if number == _REMOVALS - 1 or path is None:
                raise WorkError(f"{uri}: cannot be removed: {error.strerror or error}") from error
            time.sleep(0.1)
    raise WorkError(f"{uri}: cannot be removed: it is still there")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path of the same suffix that takes the place of `path` when the block ends without an error."""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


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

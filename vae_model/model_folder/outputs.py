"""Where commands write: local folders and files as they are, those on a store made in a temporary folder and uploaded.

Nothing is on a store before it is whole: each file appears all at once, and those that make others count come last.
What can't be uploaded stays in the temporary folder, and the error says where that is.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from pipelines import store
from pipelines.errors import AudioVaeError, SettingError, SourceError, WorkError
from pipelines.own_folder import keep, own_folder
from pipelines.space import why_unwritten
from pipelines.store.holding import LEASE_FILE, hold_model
from pipelines.store.paths import local_path
from vae_model.model_folder.folder import fetch, file_in

_Signature = tuple[int, int, int]


class Output:
    """A folder that a command writes.

    name: the path or URI that the user gave. path: the local folder to write into. is_copy: whether that is another
    one, into which `fetch` brings files of `name`; if it `uploads`, `publish` brings them back. last: files in it that
    name or need others, in the order in which they are to appear after those. failed: whether the last `publish` did.
    """

    def __init__(
        self, name: str, path: Path, is_copy: bool = False, uploads: bool = False, last: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.path = path
        self.failed = False
        self._is_copy = is_copy
        self._uploads = uploads
        self._last = [*last]
        self._published: dict[str, _Signature | None] = {}

    def file(self, name: str) -> str:
        """The path or URI of a file of it, as others find it."""
        return file_in(self.name, name)

    def fetch(self, names: Iterable[str]) -> None:
        """Bring files here that are there already; those that are not are left out."""
        for name in names if self._is_copy else ():
            if fetch(self.file(name), self.path / name):
                self._published[name] = _signature(self.path / name)

    def own(self, names: Iterable[str]) -> None:
        """Take over files that are there: what is not here when `publish` is called next is removed."""
        for name in names if self._uploads else ():
            self._published.setdefault(name, None)

    def put(self, name: str) -> None:
        """Upload one file, if it has changed. WorkError when it can't be written."""
        signature = _signature(self.path / name)
        if self._uploads and self._published.get(name) != signature:
            store.put_file(self.path / name, self.file(name))
            self._published[name] = signature

    def publish(self) -> None:
        """Upload what is new, then remove what is gone. WorkError says where the files are kept that can't be."""
        if not self._uploads:
            return
        files = {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file()}
        self.failed = True
        try:
            for name in [*sorted(files.difference(self._last)), *(name for name in self._last if name in files)]:
                self.put(name)
            for name in self._published.keys() - files:
                store.remove_folder(self.file(name))
                del self._published[name]
        except AudioVaeError as error:
            raise WorkError(f"{error}; all that belongs there is kept in {self.path}") from error
        self.failed = False

    @contextmanager
    def telling_what_is_left(self, count: int) -> Iterator[None]:
        """Add to an error in the block what there is of `count` files that are whole: all locally, none on a store."""
        try:
            yield
        except SourceError:
            raise
        except WorkError as error:
            left = "nothing is put there" if self._uploads else f"whole are {count:,} files, of others nothing is left"
            raise WorkError(f"{error}; {left}") from error


@contextmanager
def opened_output(name: str, last: Sequence[str] = (), *, alone: bool = False) -> Iterator[Output]:
    """The folder of an `--output` at a path or URI; on a store, it is published when the block ends without an error.

    last: as of Output. alone: hold the folder as a MODEL for this process, to the end. SettingError when it is a file,
    or on a store that can't be written; WorkError when another process holds it.
    """
    _require_no_file(name)
    path = local_path(name)
    with hold_model(name) if alone else nullcontext():
        if path is not None:
            _require_written(name, Path(path))
            yield Output(name if "://" in name else str(Path(name)), Path(path))
            return
        with temporary_output(name, last) as output:
            yield output


@contextmanager
def output_folder(name: str) -> Iterator[Output]:
    """As `opened_output`; a local folder is made if need be."""
    with opened_output(name) as output:
        make_folder(output.path)
        yield output


@contextmanager
def output_file(name: str) -> Iterator[Path]:
    """A local path to write the file of an `--output` to; on a store, it is uploaded when the block ends well.

    SettingError when it is a folder, or in a local folder that is not there, or on a store that can't be written.
    """
    path = local_path(name)
    if path is None:
        folder, _, file = name.rpartition("/")
        if not file:
            raise SettingError(f"--output {name} must be a file, it is a folder")
        _require_writable(name)
        with temporary_output(folder) as output:
            yield output.path / file
        return
    if Path(path).is_dir():
        raise SettingError(f"--output {name} must be a file, it is a folder")
    if not Path(path).resolve().parent.is_dir():
        raise SettingError(f"--output {name} must lie in a folder that is there, {Path(path).parent} is not")
    _require_written(name, Path(path).resolve().parent)
    yield Path(path)


@contextmanager
def temporary_output(name: str, last: Sequence[str] = ()) -> Iterator[Output]:
    """A temporary folder that is published at a URI when the block ends well, and goes unless that failed."""
    output = Output(name, own_folder("audio-vae-output-"), True, True, last)
    try:
        yield output
        output.publish()
    finally:
        if output.failed:
            keep(output.path)
        else:
            shutil.rmtree(output.path, ignore_errors=True)


def shown(name: str) -> str:
    """What the user is told of an `--output`: a URI as it was given, else the absolute path."""
    return name if local_path(name) is None else str(Path(local_path(name) or name).resolve())


def make_folder(path: Path) -> None:
    """Make a local folder and those above it. SettingError when there is a file, WorkError when it can't be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise SettingError(f"--output {path} must be a folder, {error.filename} is a file") from error
    except OSError as error:
        raise WorkError(f"--output {path} cannot be made: {why_unwritten(error, path)}") from error


def require_empty(name: str, otherwise: str = "") -> None:
    """SettingError when the folder of an `--output` holds something; `otherwise` is added to what it says."""
    _require_no_file(name)
    if set(store.names(name)) - {LEASE_FILE}:
        raise SettingError(f"--output {name} must be a new or empty folder{otherwise}")


def _require_no_file(name: str) -> None:
    _require_writable(name)
    if store.is_file(name):
        raise SettingError(f"--output {name} must be a folder, it is a file")


def _require_written(name: str, folder: Path) -> None:
    """WorkError when a local folder that is there can't be written: soon, not after an hour of work."""
    if not folder.is_dir():
        return
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".partial-"):
            pass
    except OSError as error:
        raise WorkError(f"--output {name}: {folder} cannot be written: {why_unwritten(error, folder)}") from error


def _require_writable(name: str) -> None:
    try:
        store.require_writable(name)
    except SettingError as error:
        raise SettingError(f"--output {error}") from error


def _signature(path: Path) -> _Signature:
    """What changes whenever a file does."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns

"""Which audio files there are: folders, files and buckets become one table, without opening any file."""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pipelines.audio.formats import AUDIO_SUFFIXES, suffix_of
from pipelines.audio.wanted import Wanted, in_words
from pipelines.errors import SettingError, WorkError
from pipelines.store.paths import local_path

LISTING = pa.schema(
    [
        ("source", pa.string()),  # path relative to its input root, `/` separated
        ("root", pa.string()),  # the input root, without a trailing `/`
        ("size", pa.int64()),  # bytes
        ("stamp", pa.string()),  # changes when the file does: modification time, ETag or generation
        ("error", pa.string()),  # why it can't be read, null for a regular file
        ("digest", pa.string()),  # the same for equal content, as far as it is known without reading any
    ]
)
_BATCH_ROWS = 1 << 14


class Unlisted(NamedTuple):
    """A folder, by its path below its input, that could not be listed: what lies in it is not known."""

    name: str
    error: str


@dataclass(frozen=True)
class Listing:
    """Sources in the order of their names (a table of schema LISTING), and how many other files there were, by why."""

    table: pa.Table
    ignored_by: dict[str, int]
    roots: tuple[str, ...]
    unlisted: tuple[Unlisted, ...] = ()

    @property
    def ignored(self) -> int:
        """Files that were not looked at, and folders that were not entered."""
        return sum(self.ignored_by.values())

    @property
    def why_nothing(self) -> str:
        """What there was instead of audio: `; ignored: 3 hidden`, or an empty string."""
        return f"; ignored: {in_words(self.ignored_by)}" if self.ignored_by else ""

    @property
    def digest(self) -> str:
        """SHA-256 of names, sizes and stamps: another one when a file came, went or changed."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, LISTING) as stream:
            stream.write_table(self.table.combine_chunks())
        return hashlib.sha256(sink.getvalue()).hexdigest()


class _Entry(NamedTuple):
    source: str
    size: int = 0
    stamp: str = ""
    error: str | None = None
    digest: str | None = None


@dataclass
class _Collector:
    """Gathers entries into record batches, so that a million sources cost their bytes and no more."""

    wanted: Wanted
    batches: list[pa.RecordBatch] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)
    unlisted: list[Unlisted] = field(default_factory=list)
    _rows: list[tuple[str, str, int, str, str | None, str | None]] = field(default_factory=list)

    def ignore(self, why: str) -> None:
        self.ignored[why] = self.ignored.get(why, 0) + 1

    def add(self, root: str, entries: Iterable[_Entry], is_named: bool = False) -> None:
        """Take entries below a root. is_named: by the user, one by one."""
        for entry in entries:
            if not is_named and (why := self.wanted.why_not(entry.source)):
                if entry.error is None or suffix_of(entry.source) in AUDIO_SUFFIXES:
                    self.ignore(why)
                continue
            if suffix_of(entry.source) not in AUDIO_SUFFIXES:
                self.ignore(suffix_of(entry.source) or "without a suffix")
                continue
            self._rows.append((entry.source, root, entry.size, entry.stamp, entry.error, entry.digest))
            if len(self._rows) >= _BATCH_ROWS:
                self._flush()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(c, type=t.type) for c, t in zip(columns, LISTING, strict=True)]
        self.batches.append(pa.record_batch(arrays, schema=LISTING))
        self._rows = []

    def table(self) -> pa.Table:
        if self._rows:
            self._flush()
        return pa.Table.from_batches(self.batches, schema=LISTING).sort_by("source")


def list_sources(inputs: Iterable[str], wanted: Wanted | None = None) -> Listing:
    """List the audio files of folders, buckets and single files (a file's root is the folder that it lies in).

    wanted: which of those in folders. Nothing is opened. SettingError for an input that does not exist or for two files
    with one relative path.
    """
    collector = _Collector(wanted or Wanted())
    roots = []
    for uri in inputs:
        path = local_path(uri)
        if path is None:
            root, entries, is_file = _remote_entries(uri)
        elif os.path.isdir(path):
            root, is_file = os.path.abspath(path), False
            entries = _walk(root, collector)
        else:
            root, entries, is_file = *_named_file(uri, os.path.abspath(path)), True
        collector.add(root, entries, is_named=is_file)
        roots.append(canonical(uri))
    table = collector.table()
    require_unique(table)
    return Listing(table, collector.ignored, tuple(roots), tuple(collector.unlisted))


class AudioFile(NamedTuple):
    """A file at a path or URI. name: its path below the input that it was found in, `/` separated."""

    uri: str
    name: str


def find_audio(inputs: Iterable[str]) -> list[AudioFile]:
    """The audio files in folders and files; SettingError when an input holds none."""
    found = []
    for uri in inputs:
        listing = list_sources([uri])
        table = listing.table
        if len(table) == 0:
            raise SettingError(f"AUDIO {uri}: must be an audio file or a folder that holds one{listing.why_nothing}")
        rows = table.select(["root", "source"]).to_pylist()
        found += [AudioFile(store.join(row["root"], row["source"]), row["source"]) for row in rows]
    return found


def iterate(column: pa.ChunkedArray) -> Iterator[str]:
    """The strings of a column, a part at a time."""
    for chunk in column.chunks:
        for start in range(0, len(chunk), 1 << 14):
            yield from chunk.slice(start, 1 << 14).to_pylist()


def canonical(uri: str) -> str:
    """An input's name for later runs: absolute when local, and without a trailing `/`, passwords, keys and queries."""
    path = local_path(uri)
    return os.path.abspath(path) if path is not None else store.shown(uri).rstrip("/")


def covers(inputs: Iterable[str], earlier: str) -> bool:
    """Whether one of the inputs is `earlier` or a folder around it."""
    return any(earlier == uri or earlier.startswith(uri.rstrip("/") + "/") for uri in inputs)


def require_unique(table: pa.Table) -> None:
    names = table["source"]
    if len(names) < 2:
        return
    same = pc.equal(names.slice(1), names.slice(0, len(names) - 1))
    position = pc.index(same, True).as_py()
    if position >= 0:
        first, second = (store.join(table["root"][i].as_py(), names[i].as_py()) for i in (position, position + 1))
        raise SettingError(f"INPUT {first} and {second}: two files must not have one relative path")


def _named_file(uri: str, path: str) -> tuple[str, Iterator[_Entry]]:
    if not os.path.lexists(path):
        raise SettingError(f"INPUT {uri}: must exist")
    folder, name = os.path.split(path)
    return folder, iter([_local_file(name, path)])


def _walk(root: str, collector: _Collector) -> Iterator[_Entry]:
    """Files below a folder. Links to folders are followed, but never into a folder that is being walked already."""
    pending: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(root, "", frozenset())]
    while pending:
        folder, prefix, above = pending.pop()
        try:
            status = os.stat(folder)
            entries = list(os.scandir(folder))
        except OSError as error:
            if not prefix:
                raise WorkError(f"INPUT {folder}: cannot be listed: {error.strerror}") from error
            if not isinstance(error, FileNotFoundError):
                collector.unlisted.append(Unlisted(prefix.rstrip("/"), error.strerror or str(error)))
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            continue
        for entry in entries:
            name = prefix + entry.name
            if not _is_folder(entry):
                yield _local_file(name, entry.path)
            elif why := collector.wanted.why_no_folder(name):
                collector.ignore(why)
            else:
                if suffix_of(entry.name) in AUDIO_SUFFIXES:
                    yield _Entry(name, error="is a folder")
                pending.append((entry.path, name + "/", above | {identity}))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _local_file(source: str, path: str) -> _Entry:
    try:
        source.encode()
    except UnicodeEncodeError:
        readable = os.fsencode(source).decode("utf-8", "backslashreplace")
        return _Entry(readable, error="its name is not UTF-8")
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return _Entry(source, error="is a link to nothing" if os.path.islink(path) else "vanished while listing")
    except OSError as error:
        return _Entry(source, error=error.strerror)
    if not stat.S_ISREG(status.st_mode):
        return _Entry(source, error="is no regular file")
    return _Entry(source, status.st_size, str(status.st_mtime_ns))


def _remote_entries(uri: str) -> tuple[str, Iterator[_Entry], bool]:
    """A file when its name has a sound's suffix and it is one, else a folder; and whether it is a file."""
    folder, name = store.split(uri)
    if suffix_of(name) in AUDIO_SUFFIXES and (file := _told(uri, lambda: store.one_file(uri))):
        return folder, iter([_Entry(*file)]), True
    items = _remote_items(uri)
    first = next(items, None)
    if first is None and not store.exists(uri):
        raise SettingError(f"INPUT {uri}: must exist")
    return uri.rstrip("/"), itertools.chain([first] if first else [], items), False


def _remote_items(uri: str) -> Iterator[_Entry]:
    items = store.files(uri, lambda name: suffix_of(name) in AUDIO_SUFFIXES)
    while item := _told(uri, lambda: next(items, None)):
        yield _Entry(*item)


def _told(uri: str, action: Callable[[], store.Item | None]) -> store.Item | None:
    try:
        return action()
    except FileNotFoundError as error:
        raise SettingError(f"INPUT {uri}: must exist: {error.strerror or error}") from error
    except PermissionError as error:
        raise SettingError(f"INPUT {uri}: must be readable: {error.strerror or error}") from error
    except OSError as error:
        raise WorkError(f"INPUT {uri}: cannot be listed: {error.strerror or error}") from error

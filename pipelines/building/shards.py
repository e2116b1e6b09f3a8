"""Build one shard: all sources of a task into one TFRecord file, which appears whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipelines import store
from pipelines.audio.limits import SourceLimits
from pipelines.building.digests import digest_of, from_sha256
from pipelines.building.processing import PreprocessingPipeline, Row, failure, labels_of
from pipelines.building.savers import RecordSaver
from pipelines.building.task import ShardTask
from pipelines.config import DatasetConfig
from pipelines.dataset.framing import read_frames
from pipelines.dataset.names import DUPLICATE, DUPLICATE_OF, FAILED, SILENT, WRITTEN
from pipelines.dataset.records import merged_range, renamed, source_of
from pipelines.errors import StoreError, WorkError
from pipelines.space import why_unwritten
from pipelines.store.paths import local_path

_PRELOADED = 64  # sources loaded ahead
_HELD_BYTES = 1 << 24  # of them, where they are not local
_SHORT_BYTES = 1 << 17  # of a file that is read at once, and loaded ahead: a few seconds


@dataclass(frozen=True)
class ShardSummary:
    """What became of a shard: a few numbers, all that crosses a stage boundary of the pipeline.

    seconds, min_db and max_db are over the sources decoded now, not over records copied from an older shard.
    min_db and max_db are None when there is none.
    """

    shard: str
    split: str
    num_examples: int
    num_bytes: int
    crc32c: int
    seconds: float = 0.0
    written: int = 0
    failed: int = 0
    silent: int = 0
    min_db: float | None = None
    max_db: float | None = None


@dataclass(frozen=True)
class BuiltShard:
    """A shard's summary and the manifest row of each source that was decoded or failed."""

    summary: ShardSummary
    rows: list[Row]


Watch = Callable[[int, float], object]
"""Called with (index of the source, its seconds done so far) at least once a segment: a sign of life."""
NOBODY = -1
"""The index while it is no source's fault that things take long: a store is asked, or a shard is sent to one."""


def build_shard(
    task: ShardTask,
    config: DatasetConfig,
    run_uri: str,
    failed: Mapping[int, tuple[str, str]] | None = None,
    watch: Watch = lambda index, seconds: None,
    limits: SourceLimits | None = None,
) -> BuiltShard:
    """Decode a task's sources into `run_uri/shard`, which appears whole or not at all.

    failed: sources (by index) known to fail, with stage and reason, that are not tried. limits: what a source is let
    be. WorkError when the shard cannot be written.
    """
    rows: list[Row] = []
    with _shard_file(store.join(run_uri, task.shard)) as file:
        saver = RecordSaver(file, config.dtype)
        pipeline = PreprocessingPipeline.of(config, saver, limits)
        group_end = written = 0
        digests = _Digests(task, pipeline, watch)
        for index, (source, root, size, stamp, _, copies) in enumerate(task.sources):
            if index == group_end:
                group_end = _group_end(task, index)
                watch(NOBODY, 0.0)
                written = _write_back(file, written)
                pipeline.fetch((each.source, each.root) for each in task.sources[index:group_end])
                pipeline.preload(_short_sources(task, index, group_end, failed or {}, watch, digests))
            digest = digests.of(index)  # before it is decoded: what is written while it is read is noticed later
            if failed and index in failed:
                row = failure(*failed[index])
            else:
                row = pipeline.process_source(source, root, functools.partial(watch, index))
            shard = task.shard if row["status"] == WRITTEN else None
            row |= {"split": task.split, "shard": shard, "digest": digest}
            rows.append({"source": source, "size": size, "stamp": stamp, **row})
            rows += [{**copy._asdict(), **_row_of_copy(source, row)} for copy in copies]
        watch(NOBODY, 0.0)
        _discard_if_empty(saver)
    return BuiltShard(_summarise(task, saver, rows), rows)


def _write_back(file: BinaryIO, start: int) -> int:
    """Let the system begin to write to the disk what a file has from `start` on, so that `fsync` waits less at its end.

    Returns where the file ends.
    """
    file.flush()
    end = file.tell()
    if hasattr(os, "posix_fadvise"):  # not on macOS
        os.posix_fadvise(file.fileno(), start, end - start, os.POSIX_FADV_DONTNEED)  # what waits to be written stays
    return end


def _group_end(task: ShardTask, start: int) -> int:
    """Where the sources end that are loaded ahead together; those on other stores are held in memory meanwhile."""
    held = 0
    for index, source in enumerate(task.sources[start : start + _PRELOADED], start):
        held += 0 if local_path(source.root) is not None else min(source.size, store.WHOLE_BYTES)
        if held > _HELD_BYTES and index > start:
            return index
    return min(start + _PRELOADED, len(task.sources))


def _short_sources(
    task: ShardTask, start: int, end: int, failed: Mapping[int, tuple[str, str]], watch: Watch, digests: _Digests
) -> Iterator[tuple[str, str]]:
    """The small files among these of a task, each with a sign of life and its digest before it is loaded."""
    for index, source in enumerate(task.sources[start:end], start):
        if source.size <= _SHORT_BYTES and index not in failed:
            watch(index, 0.0)
            digests.read(index)
            yield source.source, source.root


class _Digests:
    """The digests of a task's sources: those that the plan knows, else of the files.

    A short file is read once, for this and for its samples. One on another store has a digest when all of it has been
    fetched.
    """

    def __init__(self, task: ShardTask, pipeline: PreprocessingPipeline, watch: Watch) -> None:
        self._task = task
        self._pipeline = pipeline
        self._watch = watch
        self._found: dict[int, str | None] = {}

    def read(self, index: int) -> None:
        """Find the digest of a source."""
        source = self._task.sources[index]
        uri = store.join(source.root, source.source)
        if source.size <= _SHORT_BYTES:
            self._pipeline.loader.read_ahead(uri, source.size)
        piece = self._pipeline.loader.fetched(uri)
        if source.digest is None and piece is not None and len(piece) == source.size:
            self._found[index] = from_sha256(hashlib.sha256(piece).hexdigest())
        else:
            self._found[index] = source.digest or digest_of(uri, functools.partial(self._watch, index, 0.0))

    def of(self, index: int) -> str | None:
        """The digest of a source, None where there is none."""
        if index not in self._found:
            self.read(index)
        return self._found.pop(index)


def _row_of_copy(source: str, row: Row) -> Row:
    """What becomes of a file with the content of a source: it failed or is silent as that one, or its duplicate."""
    if row["status"] != WRITTEN:
        return row
    nothing = failure("", DUPLICATE_OF + source) | {"status": DUPLICATE, "error_stage": None, "shard": None}
    return row | nothing


def copy_shard(
    task: ShardTask, dataset_uri: str, run_uri: str, dtype: str, label_pattern: str | None = None
) -> BuiltShard:
    """Copy the records of the sources that stay from an old shard, byte for byte, without decoding them.

    In those of renamed ones the name, and the labels that it has by the pattern, are those of now.
    """
    keep = frozenset(task.keep)
    pattern = re.compile(label_pattern) if label_pattern else None
    old = store.join(dataset_uri, task.copy_of or "")
    with _shard_file(store.join(run_uri, task.shard)) as file:
        saver = RecordSaver(file, dtype)
        with store.open_read(old) as records:
            for serialized in read_frames(records, old):
                source = source_of(serialized)
                if source in task.renamed:
                    name = task.renamed[source]
                    saver.save_serialized(renamed(serialized, name, labels_of(name, pattern)))
                elif source in keep:
                    saver.save_serialized(serialized)
        _discard_if_empty(saver)
    return BuiltShard(_summarise(task, saver, []), [])


def save_shard(task: ShardTask, serialized: Iterable[bytes], rows: list[Row], dtype: str, run_uri: str) -> BuiltShard:
    """Write records that are made already into `run_uri/shard`; rows: the manifest rows of all their sources."""
    with _shard_file(store.join(run_uri, task.shard)) as file:
        saver = RecordSaver(file, dtype)
        for data in serialized:
            saver.save_serialized(data)
        _discard_if_empty(saver)
    return BuiltShard(_summarise(task, saver, rows), rows)


def _summarise(task: ShardTask, saver: RecordSaver, rows: list[Row]) -> ShardSummary:
    written = [row for row in rows if row["status"] == WRITTEN]
    summary = ShardSummary(task.shard, task.split, saver.num_examples, saver.num_bytes, saver.crc32c)
    low, high = merged_range((row["min_db"], row["max_db"]) for row in written)
    return dataclasses.replace(
        summary,
        seconds=sum(row["seconds"] for row in written),
        written=len(written),
        failed=sum(row["status"] == FAILED for row in rows),
        silent=sum(row["status"] == SILENT for row in rows),
        min_db=low,
        max_db=high,
    )


class _Discarded(Exception):
    """The shard turned out to hold no record."""


def _discard_if_empty(saver: RecordSaver) -> None:
    if saver.num_examples == 0:
        raise _Discarded


@contextlib.contextmanager
def _shard_file(uri: str) -> Iterator[BinaryIO]:
    """A seekable file that becomes the shard when the block ends; none is left without a record or on an error."""
    path = local_path(uri)
    folder = os.path.dirname(path) if path is not None else None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".building-", dir=folder)
        try:
            with open(descriptor, "w+b", buffering=1 << 20) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if path is not None:
                os.chmod(temporary, 0o644)
                store.replace(temporary, path)
            else:
                store.put_file(Path(temporary), uri)
        except _Discarded:
            pass
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except StoreError:
        raise  # it names the file
    except OSError as error:
        why = why_unwritten(error, folder or tempfile.gettempdir())
        raise WorkError(f"{uri}: cannot be written: {why}") from error

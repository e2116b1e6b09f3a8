"""The work of one shard, as a line of the plan. Without Arrow, so that builder processes start sooner."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import NamedTuple


class Copy(NamedTuple):
    """A file with the content of a source, which becomes a row of the manifest and no records."""

    source: str
    size: int
    stamp: str


class Source(NamedTuple):
    """A file to decode. source: path below its root. size: bytes. stamp: changes when the file does.

    digest: of its content, where it is known already. copies: other files of that content.
    """

    source: str
    root: str
    size: int
    stamp: str
    digest: str | None = None
    copies: tuple[Copy, ...] = ()


DEADLINE = "--decode-timeout-seconds"
"""In the reason of a source that took too long, as one may on a busy machine: it is tried again."""


@dataclass(frozen=True)
class ShardTask:
    """The work of one shard: sources to decode in order, or the survivors of an old shard to copy.

    copy_of: path of the old shard in the dataset. keep: its sources that stay. renamed: those of them whose files have
    other names now, with these.
    """

    shard: str
    split: str
    sources: list[Source] = field(default_factory=list)
    copy_of: str | None = None
    keep: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)


def task_to_line(task: ShardTask) -> bytes:
    """A task as JSON, one line of the plan. Whoever passes it on leaves it closed; the builder opens it."""
    return json.dumps(vars(task)).encode() + b"\n"


def task_from_line(line: bytes) -> ShardTask:
    """The inverse of `task_to_line`."""
    values = json.loads(line)
    sources = [_source(*source) for source in values["sources"]]
    return ShardTask(values["shard"], values["split"], sources, values["copy_of"], values["keep"], values["renamed"])


def _source(
    source: str, root: str, size: int, stamp: str, digest: str | None, copies: list[tuple[str, int, str]]
) -> Source:
    return Source(source, root, size, stamp, digest, tuple(Copy(*copy) for copy in copies))


_SUFFIX = ".tfrecord"


def shard_name(split: str, number: int) -> str:
    """The name of a run's shard of a split, counted from 0."""
    return f"{split}-{number:05d}{_SUFFIX}"


def split_and_number(shard: str) -> tuple[str, int]:
    """The inverse of `shard_name`."""
    split, number = shard.removesuffix(_SUFFIX).rsplit("-", 1)
    return split, int(number)

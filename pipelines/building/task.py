"""The work of one shard, as a line of the plan. Without Arrow, so that builder processes start sooner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ShardTask:
    """The work of one shard: sources to decode in order, or the survivors of an old shard to copy.

    sources: (source, root, size, stamp) each. copy_of: path of the old shard in the dataset. keep: its
    sources that stay.
    """

    shard: str
    split: str
    sources: list[tuple[str, str, int, str]] = field(default_factory=list)
    copy_of: str | None = None
    keep: list[str] = field(default_factory=list)


def task_to_dict(task: ShardTask) -> dict[str, Any]:
    """A task as JSON values, one line of the plan."""
    return dict(vars(task))


def task_from_dict(values: dict[str, Any]) -> ShardTask:
    """The inverse of `task_to_dict`."""
    sources = [(source, root, size, stamp) for source, root, size, stamp in values["sources"]]
    return ShardTask(values["shard"], values["split"], sources, values["copy_of"], values["keep"])

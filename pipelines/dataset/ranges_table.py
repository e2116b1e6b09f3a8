"""The table of what 0 and 1 stand for in each feature that the course's Saver writes, or the Saver here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.dataset.plain_pickle import read_plain_pickle
from pipelines.dataset.records import MAX_DECIBELS
from pipelines.errors import SettingError
from pipelines.store import read_json
from pipelines.store.json_values import Value


@dataclass(frozen=True)
class Bounds:
    """The lowest and highest decibels of a feature."""

    min_db: float
    max_db: float


def read_ranges(uri: str) -> dict[str, Bounds]:
    """The table at a path or URI, JSON or the course's pickle, by the path of each feature when it was written.

    SettingError or WorkError names the entry that is not as it must be.
    """
    values = read_json(uri) if uri.endswith(".json") else read_plain_pickle(uri)
    table: dict[str, Bounds] = {}
    for path, entry in Value(uri, values).object().items():
        entry.place = f"[{path[:200]!r}]"
        parts = entry.object(("min", "max"))
        low, high = (parts[name].number(-MAX_DECIBELS, MAX_DECIBELS) for name in ("min", "max"))
        entry.require(low <= high, "a range whose min is at most its max")
        table[path.replace("\\", "/")] = Bounds(low, high)
    return table


def ranges_of(table: dict[str, Bounds], features: Sequence[str], uri: str) -> list[Bounds]:
    """The ranges of features by their paths below one folder, wherever that lay when the table was written.

    uri: of the table. SettingError names a feature that has no range.
    """
    first = features[0]
    starts = {path[: -len(first)] for path in table if path == first or path.endswith("/" + first)}
    for start in sorted(starts, key=len):
        if all(start + name in table for name in features):
            return [table[start + name] for name in features]
    for name in features:
        if not any(path == name or path.endswith("/" + name) for path in table):
            raise SettingError(f"{uri}: must have a range for each feature, it has none for {name}")
    raise SettingError(
        f"{uri}: must have a range for each feature, below one folder; {first} and others lie in several"
    )

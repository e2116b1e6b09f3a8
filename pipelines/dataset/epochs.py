"""A split shared out among readers: each record comes to exactly one of them in an epoch, however many they are."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines import store
from pipelines.dataset.folder import Dataset, Shard
from pipelines.dataset.framing import read_frames
from pipelines.dataset.records import Record, parse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHUFFLE_RECORDS = 2048
"""Records that a reader shuffles among; the order of the shards is shuffled beside it."""


def share(dataset: Dataset, split: str, index: int, count: int, order: str | None = None) -> Iterator[Record]:
    """The records of reader number `index` of `count`, a range of them, not a set of shards.

    order: a text for a new order, the same for the same text and number of readers; None for that of the dataset.
    """
    shards = list(dataset.split(split).shards)
    total = dataset.count(split)
    if order is not None:
        random.Random(order).shuffle(shards)  # the same order for all readers
    records = _between(dataset, shards, total * index // count, total * (index + 1) // count)
    return records if order is None else _shuffled(records, random.Random(f"{order} {index}"))


def to_global_range(record: Record, dataset: Dataset) -> NDArray[np.float32]:
    """The spectrogram of a record, float32 (n_bins, n_frames, n_channels), where 0 and 1 are the dataset's range."""
    span = (dataset.max_db - dataset.min_db) or 1.0
    factor, offset = (record.max_db - record.min_db) / span, (record.min_db - dataset.min_db) / span
    return record.spectrogram * record.spectrogram.dtype.type(factor) + record.spectrogram.dtype.type(offset)


def _between(dataset: Dataset, shards: list[Shard], start: int, stop: int) -> Iterator[Record]:
    """Records number start to stop of these shards; a shard outside is not opened, one before is not parsed."""
    first = 0
    for shard in shards:
        low, high = max(start - first, 0), min(stop - first, shard.num_examples)
        first += shard.num_examples
        if low < high:
            uri = store.join(dataset.uri, shard.path)
            with store.open_read(uri) as file:
                for serialized in itertools.islice(read_frames(file, uri), low, high):
                    yield parse(serialized, dataset.record)


def _shuffled(records: Iterator[Record], order: random.Random) -> Iterator[Record]:
    """The same records, each exchanged for one of those before it."""
    buffer = list(itertools.islice(records, SHUFFLE_RECORDS))
    for record in records:
        chosen = order.randrange(SHUFFLE_RECORDS)
        buffer[chosen], record = record, buffer[chosen]
        yield record
    order.shuffle(buffer)
    yield from buffer

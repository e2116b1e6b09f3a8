"""Records of a split in batches, and samples of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np

from pipelines import store
from pipelines.config import TEST, TRAIN, VALIDATION
from pipelines.dataset.folder import Dataset, read_records
from pipelines.dataset.records import Record
from pipelines.errors import SettingError
from vae_model.evaluation.metrics import Batch
from vae_model.model_folder.value_range import ValueRange

HELD_OUT = (TEST, VALIDATION)


def find_held_out(dataset: Dataset) -> str | None:
    """The split that models are measured on: test if it has records, else validation; None when neither has."""
    return next((name for name in HELD_OUT if dataset.count(name)), None)


def default_split(dataset: Dataset) -> str:
    """The split that `find_held_out` finds; SettingError when there is none."""
    if (name := find_held_out(dataset)) is not None:
        return name
    raise SettingError(
        f"--split must be named, one of {', '.join(dataset.splits)}: {dataset.uri} has no records in test or validation"
    )


MAX_TRAINING_EXAMPLES = 4096
MAX_TRAINING_MB = 256
"""Baselines and probes are fitted on at most this many training examples, of at most this size as float32."""
MAX_TRAINING_SHARDS = 64
"""The training examples come from at most this many shards, evenly picked, so that reading them has an end."""
_AT_ONCE = 64
_Item = TypeVar("_Item")


def stack(records: Iterable[Record], value_range: ValueRange) -> Batch:
    """Records, at least one, as a model of `value_range` is given them."""
    several = list(records)
    lowest, highest = (np.array([getattr(record, name) for record in several]) for name in ("min_db", "max_db"))
    return Batch(
        np.stack([value_range.model_input(record) for record in several]),
        ValueRange.of_each(lowest, highest) if value_range.per_record else value_range,
        lowest,
        {name: np.array([record.labels[name] for record in several]) for name in several[0].labels},
    )


def batches(records: Iterable[Record], value_range: ValueRange) -> Iterator[Batch]:
    """All records, 64 at a time."""
    for several in chunks(records):
        yield stack(several, value_range)


def sample(dataset: Dataset, split: str, limit: int, max_shards: int = MAX_TRAINING_SHARDS) -> Iterator[Record]:
    """Up to `limit` records of a split, evenly picked from up to `max_shards` evenly picked shards."""
    shards = [shard for shard in dataset.split(split).shards if shard.num_examples]
    shards = [shards[index] for index in sorted(spread(len(shards), max_shards))]
    wanted = spread(sum(shard.num_examples for shard in shards), limit)
    number = 0
    for shard in shards:
        for record in read_records(store.join(dataset.uri, shard.path), dataset.record):
            if number in wanted:
                yield record
            number += 1


def training_sample(dataset: Dataset, value_range: ValueRange) -> Batch | None:
    """What baselines and probes are fitted on; None when the dataset has no training records."""
    if not dataset.count(TRAIN):
        return None
    record_bytes = 4 * int(np.prod(dataset.record.shape))
    limit = max(2, min(MAX_TRAINING_EXAMPLES, MAX_TRAINING_MB * 2**20 // record_bytes))
    return stack(sample(dataset, TRAIN, limit), value_range)


def spread(total: int, limit: int) -> set[int]:
    """Up to `limit` of the numbers below `total`, evenly spaced."""
    return set(np.linspace(0, total - 1, min(limit, total)).round().astype(int).tolist())


def chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """All of them, 64 at a time."""
    iterator = iter(items)
    while chunk := list(islice(iterator, _AT_ONCE)):
        yield chunk

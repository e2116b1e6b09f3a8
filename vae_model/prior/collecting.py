"""The latents of a dataset's records, encoded in a stream: of many records a sample, in runs that stay together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pipelines import store
from pipelines.dataset.folder import Dataset, read_records
from pipelines.dataset.records import Record
from vae_model.model_folder.value_range import ValueRange
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.gaussians import Gaussians

MAX_LATENTS = 200_000
"""Of more records a sample of so many is encoded: 200 MB of 128 latents and their variances."""
_RUN = 64
"""Records that are encoded at once, and taken or left together, so that most have the one before beside them."""
_READ_AT_MOST = 4
"""Shards are read that hold so many times the records that are taken."""


@dataclass(frozen=True)
class Collected:
    """Latents of records. total: records that there are. labels: by name, (count,) of str, "" where there is none.
    levels: float32 (count, 2), min_db and max_db. before: the number of the record before, of one source; -1: none.
    loudest_db: of each, which is its max_db where a record holds nothing but levels."""

    latents: Gaussians
    labels: dict[str, NDArray[np.str_]]
    levels: NDArray[np.float32]
    before: NDArray[np.int64]
    total: int
    loudest_db: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.levels)


def collect(
    dataset: Dataset,
    split: str,
    autoencoder: Autoencoder,
    value_range: ValueRange,
    *,
    limit: int = MAX_LATENTS,
    seed: int = 0,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Collected:
    """The latents of a split's records, of up to `limit` of them. tell: how many are encoded, of how many."""
    total = dataset.split(split).num_examples
    wanted = min(total, limit)
    means: list[NDArray[np.float32]] = []
    log_variances: list[NDArray[np.float32]] = []
    labels: dict[str, list[str]] = {name: [] for name in dataset.record.labels}
    levels: list[tuple[float, float]] = []
    loudest: list[float] = []
    before: list[int] = []
    last: Record | None = None
    for records in _runs(dataset, split, limit, seed):
        batch = np.stack([np.clip(value_range.model_input(record), 0.0, 1.0) for record in records])
        found = autoencoder.posterior(batch)
        means.append(found.means)
        if found.log_variances is not None:
            log_variances.append(found.log_variances)
        start = len(levels)
        pairs = zip([last, *records], records, strict=False)
        before += [start + number - 1 if _follows(*pair) else -1 for number, pair in enumerate(pairs)]
        last = records[-1]
        levels += [(record.min_db, record.max_db) for record in records]
        loudest += [float(record.log_spectrogram[..., : dataset.config.level_channels].max()) for record in records]
        for name, values in labels.items():
            values += [record.labels.get(name, "") for record in records]
        tell(len(levels), wanted)
    latents = Gaussians(np.concatenate(means), np.concatenate(log_variances) if log_variances else None)
    of_labels = {name: np.array(values) for name, values in labels.items()}
    of_levels = np.array(levels, np.float32)
    return Collected(latents, of_labels, of_levels, np.array(before), total, np.array(loudest, np.float32))


def _follows(last: Record | None, record: Record) -> bool:
    return last is not None and record.source == last.source and record.segment == last.segment + 1


def _runs(dataset: Dataset, split: str, limit: int, seed: int) -> Iterator[list[Record]]:
    """Records in runs of 64; where there are more than `limit`, runs drawn by chance from shards drawn by chance."""
    shards = [shard for shard in dataset.split(split).shards if shard.num_examples]
    total = sum(shard.num_examples for shard in shards)
    wanted: set[int] | None = None
    if total > limit:
        rng = np.random.default_rng([seed, 2])
        order = rng.permutation(len(shards))
        held = np.cumsum([shards[index].num_examples for index in order])
        shards = [shards[index] for index in sorted(order[: 1 + int(np.searchsorted(held, _READ_AT_MOST * limit))])]
        num_runs = sum(-(-shard.num_examples // _RUN) for shard in shards)
        wanted = set(rng.choice(num_runs, min(num_runs, -(-limit // _RUN)), replace=False).tolist())
    number, left = 0, limit
    carried: list[Record] = []
    for shard in shards:
        records = read_records(store.join(dataset.uri, shard.path), dataset.record)
        while run := list(islice(records, _RUN)):
            if wanted is None or number in wanted:
                carried += run[:left]
                left -= min(left, len(run))
            number += 1
            if len(carried) >= _RUN:  # small shards fill a batch together
                yield carried[:_RUN]
                carried = carried[_RUN:]
    if carried:
        yield carried

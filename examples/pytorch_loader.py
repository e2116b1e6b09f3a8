"""Feed a dataset to PyTorch, with any number of workers. Needs PyTorch: `pip install torch`.

    python examples/pytorch_loader.py DATASET --split train --batch-size 64 --workers 2

Every record comes exactly once an epoch, also when there are more workers than shards: each worker reads a range of
records of its own, not a set of shards. Neither TensorFlow nor Beam is imported.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from pipelines import store
from pipelines.dataset.folder import Shard, open_dataset
from pipelines.dataset.framing import read_frames
from pipelines.dataset.records import Record, parse

SHUFFLE_RECORDS = 2048
"""Records that a worker shuffles among; the order of the shards is shuffled beside it."""


class SpectrogramDataset(IterableDataset):
    """The records of a split, scaled to the dataset's global range.

    uri: the dataset folder. shuffle: a new order every epoch, the same for the same seed, epoch and number of workers.

    Yields dicts: `spectrogram` float32 (n_channels, n_bins, n_frames) in [0, 1], `valid_frames`, `segment`, `source`,
    and `label/<name>` for each label. It has no length, because a DataLoader batches each worker's records apart;
    `num_examples` is the number of records in an epoch.
    """

    def __init__(self, uri: str, split: str = "train", shuffle: bool = False, seed: int = 0) -> None:
        self.dataset = open_dataset(uri)
        self.split = split
        self.shuffle = shuffle
        self.seed = seed
        self.num_examples = self.dataset.split(split).num_examples
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # so that living workers see it change

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next epoch. Call it before each one."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        index, count = (worker.id, worker.num_workers) if worker else (0, 1)
        start, stop = self.num_examples * index // count, self.num_examples * (index + 1) // count
        shards = list(self.dataset.split(self.split).shards)
        if not self.shuffle:
            return map(self._example, self._records(shards, start, stop))
        epoch = int(self._epoch)
        random.Random(f"{self.seed} {epoch}").shuffle(shards)  # the same order in all workers
        records = self._records(shards, start, stop)
        return map(self._example, shuffled(records, SHUFFLE_RECORDS, random.Random(f"{self.seed} {epoch} {index}")))

    def _records(self, shards: list[Shard], start: int, stop: int) -> Iterator[Record]:
        """Records number start to stop of these shards; a shard outside is not opened, one before is not parsed."""
        first = 0
        for shard in shards:
            low, high = max(start - first, 0), min(stop - first, shard.num_examples)
            first += shard.num_examples
            if low < high:
                uri = store.join(self.dataset.uri, shard.path)
                with store.open_read(uri) as file:
                    for serialized in itertools.islice(read_frames(file, uri), low, high):
                        yield parse(serialized, self.dataset.record)

    def _example(self, record: Record) -> dict[str, Any]:
        span = (self.dataset.max_db - self.dataset.min_db) or 1.0
        factor = (record.max_db - record.min_db) / span
        offset = (record.min_db - self.dataset.min_db) / span
        spectrogram = torch.from_numpy(record.spectrogram).permute(2, 0, 1).contiguous() * factor + offset
        labels = {f"label/{name}": value for name, value in record.labels.items()}
        place = {"source": record.source, "segment": record.segment, "valid_frames": record.valid_frames}
        return {"spectrogram": spectrogram, **place, **labels}


def shuffled(records: Iterator[Record], size: int, order: random.Random) -> Iterator[Record]:
    """The same records, each exchanged for one of the `size` before it."""
    buffer = list(itertools.islice(records, size))
    for record in records:
        chosen = order.randrange(size)
        buffer[chosen], record = record, buffer[chosen]
        yield record
    order.shuffle(buffer)
    yield from buffer


def main() -> None:
    """Read one epoch and say how fast."""
    parser = argparse.ArgumentParser(description="Read an epoch of a dataset with PyTorch.")
    parser.add_argument("dataset", metavar="DATASET")
    parser.add_argument("--split", default="train")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    data = SpectrogramDataset(options.dataset, options.split, shuffle=True)
    loader = DataLoader(data, batch_size=options.batch_size, num_workers=options.workers)
    data.set_epoch(0)
    start, count = time.perf_counter(), 0
    for batch in loader:
        count += len(batch["spectrogram"])
    seconds = time.perf_counter() - start
    print(f"{count:,} of {data.num_examples:,} records in {seconds:.2f} s, {count / seconds:,.0f} a second")


if __name__ == "__main__":
    main()

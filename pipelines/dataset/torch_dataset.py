"""A dataset for PyTorch. Importing this module imports PyTorch; neither TensorFlow nor Beam is imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.dataset.epochs import share, to_global_range
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.dataset.records import Record
from pipelines.errors import require_package
from pipelines.store.paths import Place

try:
    import torch
    from torch.utils.data import IterableDataset, get_worker_info
except ModuleNotFoundError:  # whoever makes one is told
    IterableDataset = object


class SpectrogramDataset(IterableDataset):
    """The records of a split for a `torch.utils.data.DataLoader`, each exactly once an epoch for any number of workers.

    dataset: an open one, or the path or URI of one. shuffle: a new order every epoch, the same for the same seed, epoch
    and number of workers. Needs PyTorch: `pip install 'audio-vae[torch]'`.

    Yields dicts: `spectrogram` float32 (n_channels, n_bins, n_frames) where 0 and 1 are the dataset's global range,
    `valid_frames`, `segment`, `source`, and `label/<name>` for each label. It has no length, because a DataLoader
    batches each worker's records apart; `num_examples` is the number of records in an epoch.

    >>> from torch.utils.data import DataLoader
    >>> data = SpectrogramDataset(dataset, split="train", shuffle=True)
    >>> data.set_epoch(0)
    >>> batch = next(iter(DataLoader(data, batch_size=4)))
    >>> batch["spectrogram"].shape, data.num_examples
    (torch.Size([4, 1, 256, 64]), 9)
    """

    def __init__(self, dataset: Dataset | Place, split: str = "train", shuffle: bool = False, seed: int = 0) -> None:
        require_package("torch", "torch", "SpectrogramDataset")
        self.dataset = open_dataset(dataset)
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
        order = f"{self.seed} {int(self._epoch)}" if self.shuffle else None
        return map(self._example, share(self.dataset, self.split, index, count, order))

    def _example(self, record: Record) -> dict[str, Any]:
        array = to_global_range(record, self.dataset).transpose(2, 0, 1)
        labels = {f"label/{name}": value for name, value in record.labels.items()}
        place = {"source": record.source, "segment": record.segment, "valid_frames": record.valid_frames}
        return {"spectrogram": torch.from_numpy(array.copy()), **place, **labels}

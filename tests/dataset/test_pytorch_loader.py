"""The PyTorch example: each record exactly once an epoch, whatever the number of workers."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pipelines.dataset.folder import open_dataset

torch = pytest.importorskip("torch", reason="torch is not a dependency")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pytorch_loader.py"


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    """The example as a module that worker processes can name."""
    spec = importlib.util.spec_from_file_location("pytorch_loader", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["pytorch_loader"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["pytorch_loader"]


def read(data: Any, workers: int, **options: Any) -> list[tuple[str, int]]:
    """(source, segment) of each record of an epoch."""
    loader = torch.utils.data.DataLoader(data, batch_size=2, num_workers=workers, **options)
    return [(s, int(n)) for batch in loader for s, n in zip(batch["source"], batch["segment"].tolist(), strict=True)]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_each_record_comes_exactly_once(example: ModuleType, sharded: Path, workers: int, shuffle: bool) -> None:
    expected = [(r.source, r.segment) for r in open_dataset(str(sharded)).records("train")]
    data = example.SpectrogramDataset(str(sharded), shuffle=shuffle)
    assert data.num_examples == len(expected)
    found = read(data, workers)
    assert sorted(found) == sorted(expected)
    if not shuffle and workers < 2:
        assert found == expected


def test_the_order_follows_seed_and_epoch(example: ModuleType, sharded: Path) -> None:
    data = example.SpectrogramDataset(str(sharded), shuffle=True, seed=1)
    first = read(data, 2)
    assert read(data, 2) == first
    data.set_epoch(1)
    assert read(data, 2) != first
    data.set_epoch(0)
    assert read(data, 2) == first
    assert read(example.SpectrogramDataset(str(sharded), shuffle=True, seed=2), 2) != first


def test_workers_that_stay_alive_see_the_epoch(example: ModuleType, sharded: Path) -> None:
    data = example.SpectrogramDataset(str(sharded), shuffle=True)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=2, persistent_workers=True)
    orders = []
    for epoch in (0, 1, 0):
        data.set_epoch(epoch)
        orders.append([(item["source"], item["segment"]) for item in loader])
    assert orders[0] == orders[2] != orders[1]


def test_arrays_are_scaled_to_the_global_range(example: ModuleType, sharded: Path) -> None:
    dataset = open_dataset(str(sharded))
    for record, item in zip(dataset.records("train"), example.SpectrogramDataset(str(sharded)), strict=True):
        decibels = record.spectrogram * (record.max_db - record.min_db) + record.min_db
        scaled = (decibels - dataset.min_db) / (dataset.max_db - dataset.min_db)
        np.testing.assert_allclose(item["spectrogram"].numpy(), scaled.transpose(2, 0, 1), atol=1e-5)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 23 records in three shards of different size, written without the audio libraries."""
    import google_crc32c

    from pipelines.config import DatasetConfig, SpectrogramConfig
    from pipelines.dataset.folder import Dataset, Run, Shard, Sources, Split
    from pipelines.dataset.framing import frame
    from pipelines.dataset.records import Record, serialize

    folder, name = tmp_path_factory.mktemp("data") / "noise", "000001-20260101T000000Z"
    (folder / "runs" / name).mkdir(parents=True)
    config = DatasetConfig(spectrogram=SpectrogramConfig(frame_size=8, hop_length=4000), split=())
    rng = np.random.default_rng(0)
    shards, number = [], 0
    for index, count in enumerate((3, 1, 19)):
        frames = []
        for _ in range(count):
            x = rng.random(config.record_shape, dtype=np.float32)
            record = Record(x, -40.0 - number, float(number), f"{number // 2}.wav", number % 2, 0.0, x.shape[1])
            frames.append(frame(serialize(record, config.dtype)))
            number += 1
        path, data = f"runs/{name}/train-{index:05d}.tfrecord", b"".join(frames)
        (folder / path).write_bytes(data)
        shards.append(Shard(path, count, len(data), google_crc32c.value(data)))
    sources = Sources(12, 12, 0, 0, 0)
    split, run = Split(number, 17.0, tuple(shards)), Run(name, ("/noise",), sources, number)
    dataset = Dataset(str(folder), config, -40.0 - number, float(number), {"train": split}, sources, (run,))
    (folder / "dataset.json").write_bytes(dataset.to_json())
    return folder

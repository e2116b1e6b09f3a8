"""Epochs: each record exactly once, whatever the number of readers; and PyTorch's, where PyTorch is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import SpectrogramDataset
from pipelines.dataset.epochs import share, to_global_range
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import SettingError, is_installed

needs_torch = pytest.mark.skipif(not is_installed("torch"), reason="torch is not installed: pip install -e '.[torch]'")


def places(dataset: Dataset, count: int, order: str | None = None) -> list[tuple[str, int]]:
    """(source, segment) of each record that readers get, one reader after the other."""
    return [
        (record.source, record.segment)
        for index in range(count)
        for record in share(dataset, "train", index, count, order)
    ]


def read(data: Any, workers: int) -> list[tuple[str, int]]:
    """(source, segment) of each record of an epoch of PyTorch's."""
    from torch.utils.data import DataLoader

    loader = DataLoader(data, batch_size=2, num_workers=workers)
    return [(s, int(n)) for batch in loader for s, n in zip(batch["source"], batch["segment"].tolist(), strict=True)]


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_each_record_comes_to_one_reader(sharded: Path, count: int) -> None:
    dataset = open_dataset(str(sharded))
    expected = [(record.source, record.segment) for record in dataset.records("train")]
    assert places(dataset, count) == expected
    assert sorted(places(dataset, count, "0 0")) == sorted(expected)
    assert places(dataset, count, "0 0") != expected


def test_an_order_is_the_same_for_the_same_text(sharded: Path) -> None:
    dataset = open_dataset(str(sharded))
    assert places(dataset, 2, "1 0") == places(dataset, 2, "1 0") != places(dataset, 2, "1 1")


def test_a_shard_that_a_reader_does_not_need_is_not_opened(sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import store

    opened: list[str] = []
    real = store.open_read
    monkeypatch.setattr(store, "open_read", lambda uri: opened.append(uri) or real(uri))
    list(share(open_dataset(str(sharded)), "train", 1, 2))
    assert [Path(uri).name for uri in opened] == ["train-00002.tfrecord"]


def test_arrays_are_scaled_to_the_global_range(sharded: Path) -> None:
    dataset = open_dataset(str(sharded))
    for record in dataset.records("train"):
        scaled = (record.log_spectrogram - dataset.min_db) / (dataset.max_db - dataset.min_db)
        np.testing.assert_allclose(to_global_range(record, dataset), scaled, atol=1e-5)
        assert to_global_range(record, dataset).dtype == np.float32


@pytest.mark.skipif(is_installed("torch"), reason="torch is installed")
def test_without_torch_it_says_what_to_install(sharded: Path) -> None:
    with pytest.raises(SettingError, match=r"SpectrogramDataset needs torch, .* pip install 'audio-vae\[torch\]'"):
        SpectrogramDataset(sharded)


@needs_torch
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_each_record_comes_exactly_once_through_a_loader(sharded: Path, workers: int, shuffle: bool) -> None:
    expected = [(r.source, r.segment) for r in open_dataset(str(sharded)).records("train")]
    data = SpectrogramDataset(sharded, shuffle=shuffle)
    assert data.num_examples == len(expected)
    found = read(data, workers)
    assert sorted(found) == sorted(expected)
    if not shuffle and workers < 2:
        assert found == expected


@needs_torch
def test_workers_that_stay_alive_see_the_epoch(sharded: Path) -> None:
    from torch.utils.data import DataLoader

    data = SpectrogramDataset(sharded, shuffle=True)
    loader = DataLoader(data, batch_size=None, num_workers=2, persistent_workers=True)
    orders = []
    for epoch in (0, 1, 0):
        data.set_epoch(epoch)
        orders.append([(item["source"], item["segment"]) for item in loader])
    assert orders[0] == orders[2] != orders[1]


@needs_torch
def test_tensors_have_the_channel_first(sharded: Path) -> None:
    dataset = open_dataset(str(sharded))
    for record, item in zip(dataset.records("train"), SpectrogramDataset(dataset), strict=True):
        expected = to_global_range(record, dataset).transpose(2, 0, 1)
        np.testing.assert_array_equal(item["spectrogram"].numpy(), expected)
        assert item["valid_frames"] == record.valid_frames


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

"""Batches from a dataset's shards, against the same records read without TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import tensorflow as tf

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import SettingError, WorkError
from tests.helpers.dataset_writer import noises, write_dataset
from vae_model.model_folder.value_range import ValueRange
from vae_model.training import data
from vae_model.training.parsed import Moves
from vae_model.training.shard_cache import CACHE, KEPT, ShardCache

AUDIO, SPECTROGRAM = AudioConfig(sample_rate=4000, segment_seconds=0.25), SpectrogramConfig(64, 64)


def open_written(folder: Path, dtype: str = "float16", count: int = 11, num_shards: int = 3) -> Dataset:
    config = DatasetConfig(AUDIO, SPECTROGRAM, dtype=dtype)
    return open_dataset(write_dataset(folder, {"train": noises(count)}, config, num_shards))


def global_range(dataset: Dataset) -> ValueRange:
    return ValueRange(dataset.min_db, dataset.max_db)


def flat(batches: tf.data.Dataset) -> np.ndarray:
    return np.concatenate(list(batches.as_numpy_iterator()))


def in_order(array: np.ndarray) -> np.ndarray:
    return array[np.argsort(array.reshape(len(array), -1).sum(axis=1))]


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_batches_are_decibels_scaled_to_the_global_range(tmp_path: Path, dtype: str) -> None:
    dataset = open_written(tmp_path, dtype)
    decibels = [r.spectrogram * (r.max_db - r.min_db) + r.min_db for r in dataset.records("train")]
    expected = (np.stack(decibels) - dataset.min_db) / (dataset.max_db - dataset.min_db)
    batches = data.batches(dataset, "train", global_range(dataset), batch_size=4)
    assert [len(batch) for batch in batches] == [4, 4, 3]
    assert int(batches.cardinality()) == 3
    found = flat(batches)
    assert found.dtype == np.float32
    np.testing.assert_allclose(in_order(found), in_order(expected), atol=1e-5)
    assert found.min() == pytest.approx(0, abs=1e-5)
    assert found.max() == pytest.approx(1, abs=1e-5)


def test_batches_per_record_are_the_records_as_they_are(tmp_path: Path) -> None:
    dataset = open_written(tmp_path)
    found = flat(data.batches(dataset, "train", ValueRange(-60.0, 0.0, per_record=True), batch_size=4))
    expected = np.stack([record.spectrogram for record in dataset.records("train")])
    np.testing.assert_array_equal(in_order(found), in_order(expected))


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_records_in_memory_are_those_on_disk(tmp_path: Path, dtype: str) -> None:
    dataset = open_written(tmp_path, dtype)
    held, read = data.Examples(dataset, "train", cache_mb=1), data.Examples(dataset, "train", cache_mb=0)
    assert held.in_memory
    assert not read.in_memory
    ours, theirs = (flat(examples.batches(global_range(dataset), 4)) for examples in (held, read))
    np.testing.assert_array_equal(ours, theirs)


def epochs(examples: data.Examples, value_range: ValueRange, seed: int, numbers: list[int]) -> list[np.ndarray]:
    """All spectrograms of the epochs with these numbers, one after the other from one dataset of batches."""
    order = data.Order(seed)
    batches = examples.batches(value_range, 8, order)
    result = []
    for number in numbers:
        order.epoch = number
        result.append(flat(batches))
    return result


@pytest.mark.parametrize("num_shards", [3, 13])
def test_order_is_a_function_of_seed_and_epoch_alone(tmp_path: Path, num_shards: int) -> None:
    dataset = open_written(tmp_path, count=30, num_shards=num_shards)
    span = global_range(dataset)
    read, held = data.Examples(dataset, "train"), data.Examples(dataset, "train", cache_mb=1024)
    tf.random.set_seed(5)
    first, second, again = epochs(read, span, 1, [0, 1, 0])
    tf.random.set_seed(6)
    np.testing.assert_array_equal(in_order(first), in_order(second))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(second, epochs(held, span, 1, [1])[0])
    assert not np.array_equal(first, epochs(held, span, 2, [0])[0])
    assert not np.array_equal(second, epochs(held, span, 2, [0])[0]), "not the seed and the epoch added up"


@pytest.mark.parametrize("cache_mb", [0, 1024])
def test_steps_are_skipped_exactly(tmp_path: Path, cache_mb: int) -> None:
    dataset = open_written(tmp_path, count=30)
    examples, order = data.Examples(dataset, "train", cache_mb), data.Order(seed=3)
    order.epoch = 4
    whole = flat(examples.batches(global_range(dataset), 8, order))
    rest = examples.batches(global_range(dataset), 8, order, skip_steps=3)
    assert int(rest.cardinality()) == 1
    np.testing.assert_array_equal(flat(rest), whole[24:])


@pytest.mark.parametrize("cache_mb", [0, 100])
def test_batches_are_moved_whole_and_what_moves_in_is_the_floor(tmp_path: Path, cache_mb: int) -> None:
    dataset = open_written(tmp_path)
    examples = data.Examples(dataset, "train", cache_mb)
    order, value_range = data.Order(3), global_range(dataset)
    plain = list(examples.batches(value_range, 1, order).as_numpy_iterator())
    moved = examples.batches(value_range, 1, order, moves=Moves(frames=2), with_valid_frames=True)
    seen = set()
    for before, (after, valid_frames) in zip(plain, moved.as_numpy_iterator(), strict=True):
        frames = before.shape[2]
        fits = [
            shift
            for shift in range(-2, 3)
            if np.array_equal(
                after[:, :, max(shift, 0) : frames + min(shift, 0)],
                before[:, :, max(-shift, 0) : frames - max(shift, 0)],
            )
        ]
        assert len(fits) == 1
        shift = fits[0]
        seen.add(shift)
        entered = after[:, :, :shift] if shift > 0 else after[:, :, frames + shift :]
        if shift:
            np.testing.assert_allclose(entered, before.min(), atol=1e-3)  # float16 records reach their own floor
        assert valid_frames == [frames + min(shift, 0)]
    assert {-2, 2} <= seen


def test_same_batches_are_moved_alike_after_skipping(tmp_path: Path) -> None:
    examples = data.Examples(open_written(tmp_path), "train", 100)
    value_range, order = ValueRange(-60, 0, per_record=True), data.Order(1)
    whole = list(examples.batches(value_range, 2, order, moves=Moves(frames=2)).as_numpy_iterator())
    rest = list(examples.batches(value_range, 2, order, 2, moves=Moves(frames=2)).as_numpy_iterator())
    for expected, found in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_number_of_records_that_is_not_the_dataset_s_is_named(tmp_path: Path) -> None:
    dataset = open_written(tmp_path)
    entry = tmp_path / "dataset.json"
    for count in (10, 12):
        values = json.loads(entry.read_text())
        values["splits"]["train"]["num_examples"] = count
        entry.write_text(json.dumps(values))
        with pytest.raises(SettingError, match=rf"num_examples={count} must be the sum over its shards, 11"):
            open_dataset(str(tmp_path))
        said = dataclasses.replace(dataset.split("train"), num_examples=count)
        with pytest.raises(WorkError, match=f"split train must hold {count} records"):
            data.Examples(dataclasses.replace(dataset, splits={"train": said}), "train", cache_mb=1)
    assert dataset.num_examples == 11


@pytest.mark.parametrize(
    ("more", "kind", "said"),  # the trainer makes a WorkError of TensorFlow's
    [
        (-1, tf.errors.OpError, r"train-00000\.tfrecord: has 4 records, dataset\.json says 3"),
        (1, SettingError, r"splits\.train\.shards\[0\]\.num_examples=5 must be an integer from 0 to 4"),
    ],
)
def test_number_of_records_that_is_not_the_shard_s_is_named(
    more: int, kind: type[Exception], said: str, tmp_path: Path
) -> None:
    open_written(tmp_path)
    entry = tmp_path / "dataset.json"
    values = json.loads(entry.read_text())
    split = values["splits"]["train"]
    split["num_examples"] += more
    split["shards"][0]["num_examples"] += more
    entry.write_text(json.dumps(values))
    with pytest.raises(kind, match=said):
        data.Examples(open_dataset(str(tmp_path)), "train", cache_mb=1)


def test_silence_alone_gives_zeros_not_nan(tmp_path: Path) -> None:
    config = DatasetConfig(AUDIO, SPECTROGRAM)
    dataset = open_dataset(write_dataset(tmp_path, {"train": [np.zeros((1000, 1))] * 3}, config))
    assert dataset.min_db == dataset.max_db
    np.testing.assert_array_equal(flat(data.batches(dataset, "train", global_range(dataset), 2)), 0)


def test_first_examples_come_from_all_shards(tmp_path: Path) -> None:
    dataset = open_written(tmp_path)
    examples = data.first_examples(dataset, "train", limit=3)
    assert examples["spectrogram"].shape == (3, 32, 16, 1)
    assert len({name.decode() for name in examples["source"]}) == 3
    assert {int(name.decode().split(".")[0]) % 3 for name in examples["source"]} == {0, 1, 2}


def test_typical_range_is_the_median(tmp_path: Path) -> None:
    dataset = open_written(tmp_path)
    records = list(dataset.records("train"))
    found = data.typical_range(data.first_examples(dataset, "train"))
    assert found.per_record
    assert found.min_db == pytest.approx(np.median([record.min_db for record in records]), abs=1e-3)
    assert found.max_db == pytest.approx(np.median([record.max_db for record in records]), abs=1e-3)


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[str]:
    memory = fsspec.filesystem("memory")
    config = DatasetConfig(AUDIO, SPECTROGRAM)
    memory.put(write_dataset(tmp_path / "local", {"train": noises(30)}, config, num_shards=13), "/ds", True)
    yield "memory://ds"
    memory.rm("/ds", recursive=True)


def test_dataset_on_another_store_is_read(in_memory: str, tmp_path: Path) -> None:
    remote, local = open_dataset(in_memory), open_dataset(str(tmp_path / "local"))
    found = flat(data.batches(remote, "train", global_range(remote), 2))
    np.testing.assert_array_equal(found, flat(data.batches(local, "train", global_range(local), 2)))
    for cache_mb in (0, 1):
        ours, theirs = (data.Examples(dataset, "train", cache_mb) for dataset in (remote, local))
        (first,), (second,) = (epochs(examples, global_range(local), 1, [3]) for examples in (ours, theirs))
        np.testing.assert_array_equal(first, second)
    assert CACHE.num_bytes == 0, "what is in memory needs no copy"


def test_copies_of_remote_shards_are_bounded_and_the_least_used_go_first() -> None:
    memory = fsspec.filesystem("memory")
    for number in range(30):
        memory.pipe(f"/many/{number}", bytes([number]) * 200_000)
    cache = ShardCache(limit_mb=4)
    paths = {}
    for number in range(30):
        paths[number] = cache.fetch(f"memory://many/{number}", 200_000)
        assert Path(paths[number]).read_bytes() == bytes([number]) * 200_000
        assert cache.fetch("memory://many/0", 200_000) == paths[0]
        assert cache.num_bytes <= 4 * 2**20
        assert sum(path.stat().st_size for path in cache.folder.iterdir()) == cache.num_bytes
    assert [number for number, path in paths.items() if Path(path).exists()] == [0, *range(11, 30)]
    with pytest.raises(OSError, match="200000 bytes came of 5"):
        cache.fetch("memory://many/1", 5)
    cache.limit_mb = 0
    cache.fetch("memory://many/1", 200_000)
    assert cache.num_bytes == KEPT * 200_000, "what is being read stays"
    folder = cache.folder
    del cache
    assert not folder.exists()
    memory.rm("/many", recursive=True)


def test_missing_split_and_empty_split_are_named(tmp_path: Path) -> None:
    dataset = open_written(tmp_path)
    with pytest.raises(SettingError, match="'test'"):
        data.batches(dataset, "test", global_range(dataset), 4)
    entry = tmp_path / "dataset.json"
    values = json.loads(entry.read_text())
    values["splits"]["train"] = {"num_examples": 0, "seconds": 0.0, "shards": []}
    entry.write_text(json.dumps(values))
    with pytest.raises(WorkError, match="train"):
        data.batches(open_dataset(str(tmp_path)), "train", global_range(dataset), 4)

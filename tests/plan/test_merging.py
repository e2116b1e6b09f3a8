"""Which small shards go together: none is lost, none is split, none is touched twice, whatever their sizes."""

from __future__ import annotations

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.config import DatasetConfig
from pipelines.dataset.folder import Dataset, Shard, Sources, Split
from pipelines.plan.merging import merges, small_shards
from pipelines.plan.tasks import MOST_SOURCES, full_shard_bytes

RUN = "000001-20260101T000000Z"
SIZES = st.tuples(st.integers(1, 9_000_000), st.integers(1, MOST_SOURCES))


def dataset_of(splits: dict[str, list[int]]) -> Dataset:
    """A dataset of shards of these sizes in bytes."""
    made = {
        name: Split(
            len(sizes),
            1.0,
            tuple(Shard(f"runs/{RUN}/{name}-{i:05d}.tfrecord", 1, size, 0) for i, size in enumerate(sizes)),
        )
        for name, sizes in splits.items()
    }
    return Dataset("here", DatasetConfig(), 0.0, 1.0, made, Sources(0, 0, 0, 0, 0), ())


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["train", "validation"]), st.lists(SIZES, min_size=1, max_size=40)))
def test_what_is_merged_is_full_and_is_not_merged_again(given_splits: dict[str, list[tuple[int, int]]]) -> None:
    dataset = dataset_of({name: [size for size, _ in shards] for name, shards in given_splits.items()})
    sources = {
        shard.path: count
        for name, shards in given_splits.items()
        for shard, (_, count) in zip(dataset.splits[name].shards, shards, strict=True)
    }
    full = full_shard_bytes(sum(shard.num_bytes for shard in dataset.shards), 64.0)
    found = merges(dataset, sources, 64.0)
    paths = [part.path for merge in found for part in merge.parts]
    assert len(set(paths)) == len(paths)
    small = {shard.path for shards in small_shards(dataset, 64.0, sources).values() for shard in shards}
    assert set(paths) <= small
    after: dict[str, list[Shard]] = {}
    counts = dict(sources)
    for name, split in dataset.splits.items():
        after[name] = [shard for shard in split.shards if shard.path not in paths]
        for merge in found:
            if merge.split == name:
                size = sum(part.num_bytes for part in merge.parts)
                assert size <= full
                new = Shard(f"runs/000002-20260101T000000Z/{merge.shard}", 1, size, 0)
                counts[new.path] = sum(sources[part.path] for part in merge.parts)
                assert counts[new.path] <= MOST_SOURCES
                after[name].append(new)
    kept = {name: dataclasses.replace(dataset.splits[name], shards=tuple(shards)) for name, shards in after.items()}
    merged = dataclasses.replace(dataset, splits=kept)
    assert merges(merged, counts, 64.0) == []
    assert all(len(shards) <= 1 for shards in small_shards(merged, 64.0, counts).values())


def test_small_is_less_than_half_a_full_shard_in_bytes_and_in_sources() -> None:
    dataset = dataset_of({"train": [1_900_000, 2_100_000, 1_000, 1_000]})
    paths = [shard.path for shard in dataset.shards]
    (merge,) = merges(dataset, dict.fromkeys(paths, 1) | {paths[3]: MOST_SOURCES // 2}, 64.0)
    assert [part.path for part in merge.parts] == [paths[0], paths[2]]
    assert merges(dataset, {}, 0.001) == []  # shards of a thousand bytes: all are full

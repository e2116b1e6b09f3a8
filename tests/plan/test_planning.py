"""Whatever happens to a folder between runs, a dataset ends where one fresh run would."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.audio.sources import list_sources
from pipelines.building.digests import sha256_of
from pipelines.building.shards import BuiltShard, build_shard, copy_shard
from pipelines.building.task import ShardTask, task_from_line
from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig, split_of
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.plan.changes import Changes, compare
from pipelines.plan.estimating import Estimator
from pipelines.plan.policy import MaxFailures, Policy
from pipelines.plan.tasks import tasks
from pipelines.runs import committing, folder, plan_files
from pipelines.runs.compacting import compact_dataset
from pipelines.runs.renewing import renew_stamps
from tests.helpers.dataset_state import problems, serialized_records, split_of_each

CONFIG = DatasetConfig(
    AudioConfig(sample_rate=8000, segments="all", segment_seconds=0.01),
    SpectrogramConfig(frame_size=16, hop_length=8),
    split=(("validation", 0.3), ("test", 0.2)),
    split_pattern=(("held", "^[b]"),),
    label_pattern="(?P<letter>[a-z])",
)
SHARD_MB = 0.004  # a few sources


class Recorder:
    """Runs the steps of a run one after the other, without Beam and in this process."""

    def __init__(self, folder: Path, dataset: Path) -> None:
        self.folders = [str(folder)]
        self.dataset = str(dataset)
        self.decoded: list[str] = []

    def run(self, **policy: bool) -> Changes:
        self.decoded = []
        base = folder.open_base(self.dataset)
        listing = list_sources(self.folders)
        changes = compare(listing, base, Policy(**policy), CONFIG)
        if base is not None:
            renew_stamps(base, changes.renewed)
            if changes.nothing:
                return changes
        cut = small_tasks(changes)
        run = plan_files.plan_run(self.dataset, base, CONFIG, listing, changes, cut, MaxFailures())
        built = [self._build(run, place) for place in plan_files.task_ranges(run.tasks_uri)]
        summaries = [shard.summary for shard in reversed(built)]  # in whatever order they come
        pairs = [(s.min_db, s.max_db) for s in summaries if s.min_db is not None and s.max_db is not None]
        low, high = (min(p[0] for p in pairs), max(p[1] for p in pairs)) if pairs else (None, None)
        committing.commit(run, summaries, (low, high))
        return changes

    def _build(self, run: folder.PlannedRun, place: tuple[int, int]) -> BuiltShard:
        task = task_from_line(plan_files.read_line(run.tasks_uri, *place))
        if task.copy_of is not None:
            built = copy_shard(task, self.dataset, run.uri, CONFIG.dtype, CONFIG.label_pattern)
        else:
            built = build_shard(task, CONFIG, run.uri)
            self.decoded += [source for source, *_ in task.sources]
        plan_files.write_rows(run, built)
        return built


def small_tasks(changes: Changes) -> Iterator[ShardTask]:
    """The tasks as they are cut, but into shards of a few sources."""
    estimator = Estimator(changes.build.slice(0, 0), CONFIG)
    estimator.bytes_per_second[".wav"] = 16000.0
    yield from tasks(changes, CONFIG, estimator, SHARD_MB)


def write(path: Path, version: int) -> None:
    """A sound that depends on name and version, or for every fifth version no sound at all."""
    if version % 5 == 4:
        path.write_bytes(path.name.encode() * version)
    else:
        samples = np.random.default_rng([version, *path.name.encode()]).normal(
            0, 0.05 * (1 + version % 4), 60 + 37 * (version % 7)
        )
        soundfile.write(path, samples, 8000 if version % 3 else 12000)
    os.utime(path, ns=(version, version))


NAMES = [f"{letter}{i}.wav" for letter in "abc" for i in range(4)]
# What happens between two runs: a version of some files, None when they are removed.
STEP = st.dictionaries(st.sampled_from(NAMES), st.one_of(st.none(), st.integers(0, 40)), max_size=8)
# And whether, and into shards of how many megabytes, the dataset is compacted after the run.
COMPACTION = st.one_of(st.none(), st.sampled_from([2 * SHARD_MB, 64.0]))


@pytest.mark.slow
@settings(max_examples=300 if os.environ.get("AUDIO_VAE_LONG") else 20, deadline=None)
@given(steps=st.lists(st.tuples(STEP, COMPACTION), min_size=1, max_size=5))
def test_any_sequence_ends_where_a_fresh_run_would(steps: list[tuple[dict[str, int | None], float | None]]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "in"
        folder.mkdir()
        write(folder / "always.wav", 1)  # a dataset needs a source
        recorder = Recorder(folder, Path(temporary) / "grown")
        recorder.run()
        live: dict[str, int] = {"always.wav": 1}
        seen_splits: dict[str, str] = {}
        for step, shard_mb in steps:
            before = dict(live)
            for name, version in step.items():
                if version is None:
                    (folder / name).unlink(missing_ok=True)
                    live.pop(name, None)
                else:
                    write(folder / name, version)
                    live[name] = version
            changes = recorder.run()
            differing = {name for name in live if before.get(name) != live[name]}
            assert set(recorder.decoded) == differing  # nothing else is decoded
            assert (changes.new, changes.changed) == (len(live.keys() - before.keys()), len(differing & before.keys()))
            assert changes.removed == len(before.keys() - live.keys())
            for name, split in split_of_each(Path(recorder.dataset)).items():
                assert seen_splits.setdefault(name, split) == split
            if shard_mb is not None:
                compact_dataset(recorder.dataset, shard_mb=shard_mb)
                assert compact_dataset(recorder.dataset, shard_mb=shard_mb).run is None
        fresh = Recorder(folder, Path(temporary) / "fresh")
        fresh.run()
        assert_equal(Path(recorder.dataset), Path(fresh.dataset))
        assert recorder.run().nothing


HAPPENING = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(NAMES), st.integers(0, 3)),
    st.tuples(st.sampled_from(["copy", "move", "link", "swap"]), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["remove", "touch", "rerun"]), st.sampled_from(NAMES), st.none()),
)


def happen(folder: Path, what: str, name: str, other: object, moment: int) -> None:
    """One thing that people do to files."""
    path = folder / name
    if what == "write":
        write(path, int(str(other)))
        os.utime(path, ns=(moment, moment))
    elif path.exists():
        target = folder / str(other)
        if what in ("copy", "link") and target != path:
            target.unlink(missing_ok=True)
            shutil.copy(path, target) if what == "copy" else target.hardlink_to(path)
        elif what == "move" or (what == "swap" and not target.exists()):
            path.replace(target)
        elif what == "swap":
            path.rename(folder / "aside")
            target.rename(path)
            (folder / "aside").rename(target)
        elif what == "remove":
            path.unlink()
        elif what == "touch":
            os.utime(path, ns=(moment, moment))


@pytest.mark.slow
@settings(max_examples=400 if os.environ.get("AUDIO_VAE_LONG") else 40, deadline=None)
@given(happenings=st.lists(HAPPENING, max_size=30))
def test_no_content_is_in_two_splits_or_changes_its_own(happenings: list[tuple[str, str, object]]) -> None:
    """Whatever is copied, linked, moved, swapped, touched and removed between runs."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "in"
        folder.mkdir()
        write(folder / "always.wav", 1)
        recorder = Recorder(folder, Path(temporary) / "grown")
        recorder.run()
        split_of_content: dict[str, str] = {}
        known: set[str] = set()
        for moment, (what, name, other) in enumerate([*happenings, ("rerun", "", None)], start=100):
            if what != "rerun":
                happen(folder, what, name, other, moment)
                continue
            recorder.run()
            there: dict[str, list[str]] = {}
            for path in folder.iterdir():
                there.setdefault(sha256_of(str(path))[:32], []).append(path.name)
            dataset = open_dataset(recorder.dataset)
            sources = {row["digest"]: row for row in dataset.manifest().to_pylist() if row["status"] == "written"}
            failed = {row["source"] for row in dataset.manifest().to_pylist() if row["status"] == "failed"}
            assert len(sources) == dataset.sources.written  # each content once
            assert set(sources) | {d for d, names in there.items() if set(names) <= failed} == set(there)
            copies = sum(len(names) - 1 for digest, names in there.items() if digest in sources)
            assert dataset.num_duplicates == copies
            for digest, row in sources.items():
                assert row["source"] in there[digest]
                if digest in known:  # not once what has left has been forgotten
                    assert split_of_content[digest] == row["split"]
                split_of_content[digest] = row["split"]
            decoded = {sha256_of(str(folder / name))[:32] for name in recorder.decoded}
            assert not decoded & (known & set(sources))  # what stands in the dataset is never decoded again
            known = set(sources)
            assert problems(Path(recorder.dataset)) == []
            assert recorder.run().nothing
        fresh = Recorder(folder, Path(temporary) / "fresh")
        fresh.run()
        assert by_content(recorder.dataset) == by_content(fresh.dataset)


def by_content(dataset: str) -> dict[tuple[str, int], bytes]:
    """The array of each record, by the content that it was decoded from."""
    opened = open_dataset(dataset)
    digests = {row["source"]: row["digest"] for row in opened.manifest(["source", "digest"]).to_pylist()}
    return {
        (digests[record.source], record.segment): record.log_spectrogram.tobytes()
        for split in opened.splits
        for record in opened.records(split)
    }


def assert_equal(grown: Path, fresh: Path) -> None:
    assert serialized_records(grown) == serialized_records(fresh)
    assert split_of_each(grown) == split_of_each(fresh)
    one, other = open_dataset(str(grown)), open_dataset(str(fresh))
    assert (one.min_db, one.max_db) == (other.min_db, other.max_db)
    assert (one.sources.found, one.sources.written, one.sources.failed) == (
        other.sources.found,
        other.sources.written,
        other.sources.failed,
    )
    assert {n: s.num_examples for n, s in one.splits.items()} == {n: s.num_examples for n, s in other.splits.items()}
    seconds = {name: pytest.approx(split.seconds, abs=1e-5) for name, split in other.splits.items()}
    assert {name: split.seconds for name, split in one.splits.items()} == seconds
    assert rows(one) == rows(other)
    assert problems(grown) == []


def rows(dataset: Dataset) -> list[dict]:
    """The manifests without what depends on the history: which run and shard."""
    table: pa.Table = dataset.manifest().sort_by("source")
    return [{k: v for k, v in row.items() if k not in ("run", "shard")} for row in table.to_pylist()]


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=12))
def test_the_order_of_the_splits_moves_no_file(name: str) -> None:
    one = DatasetConfig(split=(("validation", 0.2), ("test", 0.3)))
    other = DatasetConfig(split=(("test", 0.3), ("validation", 0.2)))
    assert split_of(name, one) == split_of(name, other)
    assert one.fingerprint == other.fingerprint


def test_splits_have_the_fractions_that_were_asked_for() -> None:
    config = DatasetConfig(split=(("validation", 0.2), ("test", 0.05)), split_pattern=(("held", "/held/"),))
    found = [split_of(f"folder/{i:06d}.wav", config) for i in range(20000)]
    assert found.count("validation") / 20000 == pytest.approx(0.2, abs=0.01)
    assert found.count("test") / 20000 == pytest.approx(0.05, abs=0.006)
    assert split_of("folder/held/1.wav", config) == "held"


def test_a_lying_header_does_not_change_how_others_are_cut(tmp_path: Path) -> None:
    """One file in twenty claims to last for weeks: the rest still share shards."""
    for i in range(20):
        soundfile.write(tmp_path / f"tone_{i:02d}.flac", 0.1 * np.sin(np.arange(8000) / (3 + i)), 8000)
    lying = bytearray((tmp_path / "tone_07.flac").read_bytes())
    lying[21] |= 0x0F  # the highest bits of the number of samples
    (tmp_path / "tone_07.flac").write_bytes(lying)
    changes = compare(list_sources([str(tmp_path)]), None, Policy(), CONFIG)
    estimator = Estimator(changes.build, CONFIG)
    assert estimator.seconds("other.flac", (tmp_path / "tone_00.flac").stat().st_size) == pytest.approx(1.0, rel=0.5)
    assert sum(1 for _ in tasks(changes, CONFIG, estimator, 64)) <= 4


def test_keep_removed_and_retry_failed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for i, name in enumerate(("a0.wav", "a1.wav", "b0.wav", "c0.wav")):
        write(folder / name, i + 1)  # the last one is no sound
    recorder = Recorder(folder, tmp_path / "dataset")
    recorder.run()
    (folder / "a0.wav").unlink()
    assert recorder.run(keep_removed=True).nothing
    write(folder / "a2.wav", 10)
    recorder.run(keep_removed=True)
    assert recorder.decoded == ["a2.wav"]
    assert "a0.wav" in split_of_each(tmp_path / "dataset")
    recorder.run(keep_removed=True, retry_failed=True)
    assert recorder.decoded == ["c0.wav"]
    assert recorder.run().removed == 1
    assert "a0.wav" not in split_of_each(tmp_path / "dataset")


def test_copied_records_of_another_input_stay(tmp_path: Path) -> None:
    """When a run over one input replaces a shard that holds another's records too, those are not taken for removed."""
    one, other = tmp_path / "one", tmp_path / "other"
    for where, version in ((one, 1), (other, 2)):
        where.mkdir()
        write(where / f"a{version}.wav", version)
    both, alone = Recorder(one, tmp_path / "dataset"), Recorder(one, tmp_path / "dataset")
    both.folders = [str(one), str(other)]
    both.run()
    write(one / "a1.wav", 3)
    assert alone.run().changed == 1
    assert alone.run().nothing
    assert set(split_of_each(tmp_path / "dataset")) == {"a1.wav", "a2.wav"}
    (other / "a2.wav").unlink()
    assert both.run().removed == 1

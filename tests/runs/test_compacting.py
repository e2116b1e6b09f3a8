"""`audio-vae compact`: fewer shards, the same records; whoever reads, reruns, prunes or kills notices nothing else."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import compact_dataset, preprocess, prune_dataset
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import SettingError, WorkError
from tests.helpers.console import run_in_process
from tests.helpers.dataset_state import (
    contents,
    orphans,
    problems,
    serialized_records,
    snapshot,
    split_of_each,
    write_small,
)
from tests.helpers.moments import Moments
from tests.helpers.object_stores import Bucket, comparable
from tests.helpers.object_stores import orphans as store_orphans
from tests.helpers.slow import slow

Command = Callable[..., dict[str, Any]]
SETTINGS: dict[str, Any] = {"sample_rate": 8000, "frame_size": 64, "hop_length": 32, "segment_seconds": 0.1}
SETTINGS |= {"split": "none", "split_pattern": [r"validation=[05]\.wav$"], "workers": 1}
NIGHTS = 4


def night(folder: Path, number: int, files: int = 3) -> None:
    """New sounds; in the first night also a file that is none."""
    for i in range(number * files, (number + 1) * files):
        write_small(folder / f"tone_{i}.wav", 300 + 50 * i)
    if number == 0:
        (folder / "bad.wav").write_text("no sound")


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sounds `in` and a dataset `ds` that was made of them in four runs. Read only."""
    top = tmp_path_factory.mktemp("nights")
    for number in range(NIGHTS):
        night(top / "in", number)
        assert preprocess(top / "in", top / "ds", **SETTINGS).committed
    opened = open_dataset(str(top / "ds"))
    assert len(opened.runs) == NIGHTS
    assert {name: len(split.shards) for name, split in opened.splits.items()} == {"train": NIGHTS, "validation": 3}
    return top


@pytest.fixture
def grown(nights: Path, tmp_path: Path) -> Path:
    """A copy of that dataset."""
    return Path(shutil.copytree(nights / "ds", tmp_path / "ds"))


def rows(dataset: Path | Dataset) -> list[dict[str, Any]]:
    """All rows of the manifests, without where the records lie."""
    table: pa.Table = open_dataset(dataset).manifest().sort_by("source")
    return [{k: v for k, v in row.items() if k not in ("run", "shard")} for row in table.to_pylist()]


def test_small_shards_become_one_a_split_with_the_same_records(grown: Path, command: Command) -> None:
    before, records, known = open_dataset(str(grown)), serialized_records(grown), rows(grown)
    first = command("compact", grown)
    after = open_dataset(str(grown))
    assert first == {
        "dataset": str(grown),
        "status": "committed",
        "run": after.runs[-1].name,
        "splits": {
            name: {
                "shards": len(split.shards),
                "into": 1,
                "num_examples": split.num_examples,
                "num_bytes": sum(shard.num_bytes for shard in split.shards),
            }
            for name, split in before.splits.items()
        },
    }
    assert serialized_records(grown) == records
    assert rows(grown) == known
    assert problems(grown) == []
    assert {name: len(split.shards) for name, split in after.splits.items()} == {"train": 1, "validation": 1}
    assert [run.number for run in after.runs] == [NIGHTS + 1]
    assert (after.sources, after.min_db, after.max_db) == (before.sources, before.min_db, before.max_db)
    assert after.config == before.config
    for name, split in before.splits.items():
        assert (after.count(name), after.splits[name].seconds) == (split.num_examples, split.seconds)
        # Who opened the dataset before reads on, and in the same order.
        assert [r.source for r in before.records(name)] == [r.source for r in after.records(name)]

    state = snapshot(grown)
    assert command("compact", grown)["status"] == "unchanged"
    assert snapshot(grown) == state
    told = run_in_process("compact", grown)
    assert told.stderr == f"{grown}: nothing to compact\n"
    assert snapshot(grown) == state

    assert command("info", grown)["sources"]["failed"] == 1
    pruned = prune_dataset(grown)
    assert pruned.unused == tuple(f"runs/{run.name}" for run in before.runs)
    assert serialized_records(grown) == records
    assert orphans(grown) == set()


def test_a_dry_run_says_what_it_would_do_and_does_nothing(grown: Path, command: Command) -> None:
    state = snapshot(grown)
    found = command("compact", grown, "--dry-run")
    assert (found["status"], found["run"], found["splits"]["train"]["shards"]) == ("would commit", None, NIGHTS)
    told = run_in_process("compact", grown, "--dry-run")
    expected = f"{NIGHTS + 3} small shards would become 2: train {NIGHTS} to 1, validation 3 to 1"
    assert told.stderr == f"{grown}: {expected}\n"
    assert snapshot(grown) == state


def test_full_shards_stay_where_they_are(grown: Path) -> None:
    """The size of a full one is that of `--shard-mb`, where the dataset is not far smaller."""
    opened = open_dataset(str(grown))
    sizes = [shard.num_bytes for shard in opened.splits["train"].shards]
    two = compact_dataset(grown, shard_mb=2.2 * max(sizes) / 1e6)
    assert two.splits["train"].into == 2
    full = {shard.path for shard in two.dataset.splits["train"].shards}
    assert compact_dataset(grown, shard_mb=2.2 * max(sizes) / 1e6).run is None
    assert compact_dataset(grown, shard_mb=min(sizes) / 1e6).run is None
    assert {shard.path for shard in open_dataset(str(grown)).splits["train"].shards} == full
    with pytest.raises(SettingError, match="shard_mb=0 must be a positive number of megabytes"):
        compact_dataset(grown, shard_mb=0)


def test_reruns_go_on_after_it(nights: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(nights / "in", tmp_path / "in", copy_function=shutil.copy2))
    dataset = tmp_path / "ds"
    assert preprocess(folder, dataset, **SETTINGS).committed
    night(folder, NIGHTS)
    preprocess(folder, dataset)
    assert compact_dataset(dataset).run
    assert not preprocess(folder, dataset).committed

    splits = split_of_each(dataset)
    (folder / "tone_1.wav").unlink()
    write_small(folder / "tone_2.wav", 1234, seconds=0.4)
    write_small(folder / "tone_99.wav", 999)
    update = preprocess(folder, dataset)
    changes = update.changes
    assert (changes.new, changes.changed, changes.removed, changes.failed_before) == (1, 1, 1, 1)
    assert {name: split for name, split in splits.items() if name != "tone_1.wav"}.items() <= split_of_each(
        dataset
    ).items()
    assert not any(source == "tone_1.wav" for source, _ in serialized_records(dataset))
    assert problems(dataset) == []
    assert compact_dataset(dataset).run
    fresh = preprocess(folder, tmp_path / "fresh", **SETTINGS).dataset
    assert serialized_records(dataset) == serialized_records(tmp_path / "fresh")
    assert rows(dataset) == rows(fresh)
    prune_dataset(dataset)
    assert problems(dataset) == []


def test_each_source_is_still_known_to_come_from_its_own_input(tmp_path: Path) -> None:
    """A run over one input notices what has left there, and leaves the other's alone, as before."""
    one, other, dataset = tmp_path / "one", tmp_path / "other", tmp_path / "ds"
    for folder, numbers in ((one, (1, 2)), (other, (3, 4))):
        for number in numbers:
            write_small(folder / f"tone_{number}.wav", 300 + 50 * number)
        assert preprocess(folder, dataset, **SETTINGS).committed
    assert compact_dataset(dataset).run
    opened = open_dataset(str(dataset))
    assert opened.runs[-1].inputs == (str(one), str(other))
    for number in (5, 6):  # and once more, so that rows move that have moved before
        write_small(one / f"tone_{number}.wav", 300 + 50 * number)
        preprocess(one, dataset)
    assert compact_dataset(dataset).run
    for folder, gone in ((one, "tone_1.wav"), (other, "tone_4.wav")):
        assert not preprocess(folder, dataset).committed
        (folder / gone).unlink()
        assert preprocess(folder, dataset).changes.removed == 1
    assert set(split_of_each(dataset)) == {f"tone_{number}.wav" for number in (2, 3, 5, 6)}
    assert problems(dataset) == []


def test_a_damaged_shard_is_named_and_nothing_changes(grown: Path) -> None:
    shard = open_dataset(str(grown)).splits["train"].shards[2]
    path = grown / shard.path
    good = path.read_bytes()
    for bad, said in (
        (good[:100] + b"!" + good[101:], f"must have {shard.num_bytes:,} bytes of CRC32C {shard.crc32c}, as dataset"),
        (good[:-1], f"not {shard.num_bytes - 1:,} of"),
        (None, "cannot be read: No such file or directory"),
    ):
        path.unlink()
        if bad is not None:
            path.write_bytes(bad)
        state = snapshot(grown)
        with pytest.raises(WorkError) as error:
            compact_dataset(grown)
        assert str(error.value).startswith(f"{path}: ")
        assert said in str(error.value)
        assert {name: value[1] for name, value in snapshot(grown).items()} == {n: v[1] for n, v in state.items()}
        path.write_bytes(good)
    assert compact_dataset(grown).run


@pytest.mark.parametrize("text", ['"in"', "[1]", "[", "[" * 100_000])
def test_inputs_of_a_row_from_a_stranger_must_be_a_list_of_texts(text: str, grown: Path) -> None:
    run = open_dataset(str(grown)).runs[1].name
    path = grown / "runs" / run / "manifest.parquet"
    table = pq.read_table(path)
    position = table.schema.get_field_index("inputs")
    pq.write_table(table.set_column(position, "inputs", pa.array([text] * len(table), pa.string())), path)
    with pytest.raises(WorkError, match=f"{run}/manifest.parquet: inputs=.* must be a JSON list of texts"):
        open_dataset(str(grown)).manifest()


@pytest.mark.parametrize("where", ["nowhere", "text"])
def test_what_is_no_dataset_is_refused_and_left_alone(where: str, tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").touch()
    done = run_in_process("compact", tmp_path / where)
    assert done.returncode == 2
    assert "must be a dataset folder, it has no dataset.json" in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["notes.txt", "text"]


@pytest.mark.parametrize("which", ["first", slow("each")])
def test_kill_9_at_any_moment(which: str, grown: Path, tmp_path: Path) -> None:
    """Killed before any of the changes that it makes in the folder, and run again: the end is that of an undisturbed
    one. Each killed run finds what the last one left."""
    moments = Moments(grown, tmp_path / "scratch")
    old = contents(grown)
    once = tmp_path / "once"
    shutil.copytree(grown, once)
    assert compact_dataset(once).run
    new, left = contents(once), {str(path.relative_to(once)) for path in once.rglob("*")}
    old_runs = {name for name in left if not name.startswith(f"runs/{NIGHTS + 1:06d}")}
    at = seen = 0
    while True:
        at += 1 if which == "each" else 4
        done = moments.run("compact", grown, at=at)
        if done.returncode == 0 and "nothing to compact" not in done.stderr:
            break
        seen += done.returncode == -signal.SIGKILL
        assert contents(grown) in (old, new)
        if contents(grown) == new or which == "first":
            break
    assert seen >= (10 if which == "each" else 1)
    assert moments.run("compact", grown).returncode == 0
    assert contents(grown) == new
    assert problems(grown) == []
    now = {str(path.relative_to(grown)) for path in grown.rglob("*")}
    assert {name for name in now if not name.startswith(f"runs/{NIGHTS + 1:06d}")} == old_runs
    assert len(now) == len(left)
    assert moments.left_files == []


@pytest.mark.slow
def test_asked_to_end_it_leaves_all_as_it_was(grown: Path, tmp_path: Path) -> None:
    moments = Moments(grown, tmp_path / "scratch")
    state = {name: value[1] for name, value in snapshot(grown).items()}
    done = moments.run("compact", grown, at=8, number=signal.SIGTERM)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "audio-vae compact: interrupted")
    assert {name: value[1] for name, value in snapshot(grown).items()} == state
    assert moments.left_files == []


def test_on_a_store_it_is_the_same(grown: Path, s3: Bucket, tmp_path: Path, command: Command) -> None:
    remote = s3.upload(grown, "ds")
    assert command("compact", grown)["status"] == "committed"
    s3.proxy.fails(r"^PUT /\S+/train-00000.tfrecord", times=100, status=403, message="not for you")
    state = s3.state("ds/")
    with pytest.raises(WorkError, match="not for you"):
        compact_dataset(remote)
    assert s3.state("ds/") == state

    s3.proxy.forget()
    s3.proxy.fails(r"^PUT /\S+/dataset.json", lost=True)  # the store did it, and nobody heard of it
    found = compact_dataset(remote)
    assert {name: split.into for name, split in found.splits.items()} == {"train": 1, "validation": 1}
    assert comparable(s3.download("ds", tmp_path / "copy")) == comparable(grown)
    assert compact_dataset(remote).run is None
    assert len(prune_dataset(remote).unused) == NIGHTS
    assert {key for key in s3.keys("ds/") if "/runs/" in key} == {
        f"ds/runs/{found.run}/{name}"
        for name in ("manifest.parquet", "train-00000.tfrecord", "validation-00000.tfrecord")
    }


@pytest.mark.slow
def test_of_a_run_and_a_compaction_at_once_one_wins(
    grown: Path, s3: Bucket, tmp_path: Path, nights: Path, command: Command
) -> None:
    """A store has no lock: a run that commits while shards are copied makes the compaction say so, and try again."""
    remote = s3.upload(grown, "ds")
    more = write_small(tmp_path / "more" / "tone_77.wav", 777).parent
    s3.proxy.fails(r"^PUT /\S+/plan/plan.json", before=lambda: preprocess(more, remote, workers=1))
    with pytest.raises(WorkError, match=r"(another run committed|was cleared away) meanwhile; run again"):
        compact_dataset(remote)
    assert "tone_77.wav" in {row["source"] for row in rows(open_dataset(remote))}
    assert compact_dataset(remote).run
    assert command("verify", remote)["ok"]


def kill_at(request: str, remote: str, s3: Bucket) -> None:
    """Kill a compaction when it makes a request that matches, before the store has it."""
    started: list[subprocess.Popen[bytes]] = []
    ready = threading.Event()

    def kill() -> None:
        ready.wait(60)
        started[0].kill()
        started[0].wait()

    s3.proxy.forget()
    fault = s3.proxy.fails(request, before=kill, status=500)
    started.append(subprocess.Popen([sys.executable, "-m", "vae_model.cli", "compact", remote]))
    ready.set()
    assert started[0].wait(120) == -signal.SIGKILL, request
    assert fault.seen == 1
    s3.proxy.forget()


@pytest.mark.slow
def test_killed_on_a_store_it_comes_to_the_same_end(grown: Path, s3: Bucket, tmp_path: Path) -> None:
    remote = s3.upload(grown, "ds")
    assert compact_dataset(grown).run
    state = s3.get("ds/dataset.json")
    for name in ("plan/owner", "plan/plan.json", "train-00000.tfrecord", "plan/fate", "manifest.parquet"):
        kill_at(rf"^PUT /\S+/{name}", remote, s3)
        assert s3.get("ds/dataset.json") == state
    kill_at(r"^PUT /\S+/dataset.json", remote, s3)
    assert s3.get("ds/dataset.json") == state
    kill_at(r"^POST /\S+delete", remote, s3)  # what is left to remove after the commit
    assert compact_dataset(remote).run is None
    assert comparable(s3.download("ds", tmp_path / "copy")) == comparable(grown)
    prune_dataset(remote)
    assert store_orphans(s3.keys(), "ds", open_dataset(remote).to_dict()) == set()

"""The files of a plan: written by one module, read back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from pipelines.audio.sources import list_sources
from pipelines.building.task import ShardTask, Source, shard_name, split_and_number, task_from_line, task_to_line
from pipelines.config import DatasetConfig
from pipelines.dataset.folder import Run, Shard, Sources
from pipelines.plan.changes import compare
from pipelines.plan.estimating import Estimator
from pipelines.plan.policy import MaxFailures, Policy
from pipelines.plan.tasks import tasks
from pipelines.runs.plan_files import Plan, plan_run, read_line, read_plan, task_ranges

PLAN = Plan(
    kept={"train": (Shard("runs/000001-20260101T000000Z/train-00000.tfrecord", 3, 400, 2**32 - 1),), "test": ()},
    kept_seconds={"train": 1.5},
    kept_sources=3,
    kept_range=(-80.5, None),
    listing_failures=1,
    removed=2,
    removed_before=4,
    ignored=5,
    runs=(Run("000001-20260101T000000Z", ("/in", "s3://bucket/in"), Sources(4, 3, 1, 0, 5), 3),),
    max_failures=MaxFailures(2.5, percent=True),
)


def test_a_plan_is_read_back_as_it_was() -> None:
    assert Plan.from_json(PLAN.to_json()) == PLAN
    keys = "kept kept_seconds kept_sources kept_range listing_failures removed removed_before ignored runs max_failures"
    assert list(json.loads(PLAN.to_json())) == keys.split()


def test_a_task_is_a_line_that_is_read_back_as_it_was() -> None:
    sources = [Source("a/ü\n.wav", "s3://bucket/in", 4, "etag"), Source("b.wav", "/in", 5, "12")]
    for task in (
        ShardTask("train-00000.tfrecord", "train", sources),
        ShardTask("x-00001.tfrecord", "x", [], "y", ["z"]),
    ):
        line = task_to_line(task)
        assert line.count(b"\n") == 1
        assert task_from_line(line) == task
    assert split_and_number(shard_name("held-out", 123456)) == ("held-out", 123456)


def test_the_plan_of_a_first_run(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "in", str(tmp_path / "dataset")
    folder.mkdir()
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", np.full(1000, 0.1 * number), 16000)
    (folder / "dead.wav").symlink_to("nowhere")
    (folder / "notes.txt").touch()
    config, listing = DatasetConfig(split=()), list_sources([str(folder)])
    changes = compare(listing, None, Policy(), config)
    cut = tasks(changes, config, Estimator(changes.build, config), 64.0)
    run = plan_run(dataset, None, config, listing, changes, cut, MaxFailures(1))
    none = {"kept": {}, "kept_seconds": {}, "kept_sources": 0, "kept_range": (None, None), "runs": ()}
    assert read_plan(run) == Plan(
        **none, listing_failures=1, removed=0, removed_before=0, ignored=1, max_failures=MaxFailures(1)
    )
    (place,) = task_ranges(run.tasks_uri)
    task = task_from_line(read_line(run.tasks_uri, *place))
    assert [source.source for source in task.sources] == ["0.wav", "1.wav", "2.wav"]
    assert {(source.root, source.size) for source in task.sources} == {(str(folder), (folder / "0.wav").stat().st_size)}

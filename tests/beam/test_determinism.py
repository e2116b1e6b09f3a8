"""The same sounds give the same bytes, whoever does the work and with however many workers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.helpers.beam_servers import job_service
from tests.helpers.console import audio_vae, run_in_process
from tests.helpers.dataset_state import SMALL, contents, orphans, problems, write_small
from tests.helpers.slow import slow

LONG = bool(os.environ.get("AUDIO_VAE_LONG"))
OPTIONS = [*SMALL, "--shard-mb", "0.012", "--split", "validation=0.3"]

MODES = ("in_memory", "multi_threading", "multi_processing")
WITHOUT_FLAGS: list[tuple[object, ...]] = [(), ("--workers", 4)]
ON_BEAM: list[tuple[object, ...]] = [
    ("--direct_running_mode", mode, "--direct_num_workers", workers)
    for mode in MODES
    for workers in (1, 2, 4)
    if LONG or (workers == 2 and mode != "in_memory")
]
WAYS = [*WITHOUT_FLAGS, *(slow(options) for options in ON_BEAM)]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Sounds that a run and a rerun with one worker have turned into a dataset."""
    top = tmp_path_factory.mktemp("story")
    folder, dataset = top / "in", top / "dataset"
    for i in range(20):
        write_small(folder / f"tone_{i:02d}.wav", 300 + 50 * i)
    (folder / "bad.wav").write_text("no sound")
    preprocess(folder, dataset, "--workers", 1)
    shutil.copytree(dataset, top / "first")
    for i in (3, 21, 22):
        write_small(folder / f"tone_{i:02d}.wav", 900 + i, seconds=0.5)
    (folder / "tone_07.wav").unlink()
    preprocess(folder, dataset, "--workers", 1)
    assert problems(dataset) == []
    assert len(contents(dataset)) > 8
    return folder, top


def preprocess(folder: Path, dataset: Path, *options: object) -> None:
    on_beam = any(str(option).startswith("--direct_") or option == "--runner" for option in options)
    run = audio_vae if on_beam else run_in_process
    done = run("preprocess", folder, "--output", dataset, *OPTIONS, *options)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def check(story: tuple[Path, Path], tmp_path: Path, *options: object) -> None:
    """A rerun builds, copies and leaves shards alone: everything that a run can do."""
    folder, top = story
    shutil.copytree(top / "first", tmp_path / "dataset")
    preprocess(folder, tmp_path / "dataset", *options)
    assert contents(tmp_path / "dataset") == contents(top / "dataset")
    assert orphans(tmp_path / "dataset") == orphans(top / "dataset")


@pytest.mark.parametrize("options", WAYS, ids=lambda options: " ".join(map(str, options)) or "default")
def test_local_runs_are_byte_identical(options: tuple[object, ...], story: tuple[Path, Path], tmp_path: Path) -> None:
    check(story, tmp_path, *options)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4] if LONG else [2])
def test_the_portable_runner_gives_the_same_bytes(workers: int, story: tuple[Path, Path], tmp_path: Path) -> None:
    """Beam's job and Fn API protocols for real: a job service and a pool of workers, each in its own process."""
    with job_service() as flags:
        check(story, tmp_path, *flags, "--sdk_worker_parallelism", workers)

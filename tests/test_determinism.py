"""The same sounds give the same bytes, whoever does the work and with however many workers."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, audio_vae
from dataset_state import SMALL, contents, orphans, problems, write_small

LONG = bool(os.environ.get("AUDIO_VAE_LONG"))
OPTIONS = [*SMALL, "--shard-mb", "0.012", "--split", "validation=0.3"]

MODES = ("in_memory", "multi_threading", "multi_processing")
WAYS: list[tuple[object, ...]] = [(), ("--workers", 4)]
WAYS += [
    ("--direct_running_mode", mode, "--direct_num_workers", workers)
    for mode in MODES
    for workers in (1, 2, 4)
    if LONG or (workers == 2 and mode != "in_memory")
]


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
    done = audio_vae("preprocess", folder, "--output", dataset, *OPTIONS, *options)
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(module: str, port: int, *arguments: str) -> Iterator[None]:
    """A server of Beam's in a process of its own, once it answers; ended with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=dict(
            os.environ, PYTHONPATH=str(ROOT), PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                assert process.poll() is None, f"{module} ended with status {process.returncode}"
                assert time.monotonic() < deadline, f"{module} does not listen on port {port}"
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.mark.parametrize("workers", [1, 2, 4] if LONG else [2])
def test_the_portable_runner_gives_the_same_bytes(workers: int, story: tuple[Path, Path], tmp_path: Path) -> None:
    """Beam's job and Fn API protocols for real: a job service and a pool of workers, each in its own process."""
    jobs, pool = free_port(), free_port()
    runner = "apache_beam.runners"
    with (
        server(f"{runner}.portability.local_job_service_main", jobs, "--job_port", str(jobs)),
        server(f"{runner}.worker.worker_pool_main", pool, "--service_port", str(pool)),
    ):
        options = ["--runner", "PortableRunner", "--job_endpoint", f"localhost:{jobs}"]
        options += ["--environment_type", "EXTERNAL", "--environment_config", f"localhost:{pool}"]
        check(story, tmp_path, *options, "--sdk_worker_parallelism", workers)

"""A real Flink cluster writes what one machine writes, also when a part of it dies. `make test-flink` runs these."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.console import audio_vae
from tests.helpers.dataset_state import contents, orphans, problems
from tests.helpers.flink_cluster import Cluster, running
from tests.helpers.flink_fetch import Engine
from tests.helpers.places import FSDD, ROOT
from tests.helpers.small_models import write_model
from vae_model.sound.synthesis import write_sounds

pytestmark = pytest.mark.flink
FETCHED = ROOT / ".cache" / "flink"
COUNT = 300
SETTINGS = ("--preset", "course", "--shard-mb", "0.5", "--split", "validation=0.1")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One JobManager, two TaskManagers of two slots, and a pool of Python workers for each."""
    if not (FETCHED / "engine.json").is_file():
        pytest.skip(f"no Flink in {FETCHED}: make test-flink fetches it")
    with running(Engine.load(FETCHED), tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of spoken digits where they are, else the demo's sounds; and a file that is no audio."""
    folder = tmp_path_factory.mktemp("sounds")
    if FSDD.is_dir():
        for path in sorted(FSDD.glob("*.wav"))[:COUNT]:
            shutil.copy2(path, folder)
    else:
        write_sounds(folder, COUNT)
    (folder / "broken.wav").write_text("no sound")
    return folder


@pytest.fixture(scope="module")
def local(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one machine makes of the sounds. Read only."""
    dataset = tmp_path_factory.mktemp("local") / "dataset"
    preprocess(sounds, dataset)
    return dataset


def preprocess(sounds: Path, dataset: Path, *flags: str) -> str:
    """Run the command to its good end; returns what it said."""
    done = audio_vae("preprocess", sounds, "--output", dataset, *SETTINGS, *flags)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@contextlib.contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """The command at work, in a process group of its own as a terminal gives it."""
    command = [sys.executable, "-m", "vae_model.cli", *map(str, arguments)]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def until(is_so: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_is_that_of_one_machine(cluster: Cluster, sounds: Path, local: Path, tmp_path: Path) -> None:
    said = preprocess(sounds, tmp_path / "dataset", *cluster.flags)
    assert f"{COUNT} sources written, 1 failed" in said
    assert contents(tmp_path / "dataset") == contents(local)
    assert orphans(tmp_path / "dataset") == set()


def test_latents_are_those_of_one_machine(cluster: Cluster, sounds: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    given = ("encode", model, sounds, "--shard-mb", "0.05", "--batch-size", "16")
    for name, flags in (("here", ()), ("there", cluster.flags)):
        done = audio_vae(*given, "--output", tmp_path / f"{name}.parquet", *flags)
        assert done.returncode == 0, done.stderr
        assert f"segments of {COUNT} sources, 1 sources failed" in done.stderr
        assert "Traceback" not in done.stderr
    for suffix in (".parquet", ".sources.parquet"):
        assert (tmp_path / f"there{suffix}").read_bytes() == (tmp_path / f"here{suffix}").read_bytes()
    assert sorted(os.listdir(tmp_path)) == sorted(
        ["model", *(f"{name}{suffix}" for name in ("here", "there") for suffix in (".parquet", ".sources.parquet"))]
    )


def test_transforms_in_a_pipeline_of_ones_own_write_what_preprocess_writes(
    cluster: Cluster, sounds: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for path in [*sorted(sounds.glob("*.wav"))[:20], sounds / "broken.wav"]:
        shutil.copy2(path, folder)
    done = audio_vae("preprocess", folder, "--output", tmp_path / "preprocessed", "--preset", "tiny")
    assert done.returncode == 0, done.stderr
    example = [sys.executable, ROOT / "examples" / "beam_pipeline.py", folder, tmp_path / "dataset", *cluster.flags]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    ran = subprocess.run(example, capture_output=True, text=True, timeout=250, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    assert contents(tmp_path / "dataset") == contents(tmp_path / "preprocessed")
    assert orphans(tmp_path / "dataset") == set()


def test_a_failed_job_tells_why_in_a_line(cluster: Cluster, sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    for path in [*sorted(sounds.glob("*.wav"))[:3], sounds / "broken.wav"]:
        shutil.copy2(path, tmp_path / "sounds")
    given = ("preprocess", tmp_path / "sounds", "--output", tmp_path / "dataset", *SETTINGS, "--max-failures", "0")
    done = audio_vae(*given, *cluster.flags)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("audio-vae preprocess: 1 of 4 sources failed, --max-failures=0 allows fewer")
    assert not (tmp_path / "dataset").exists()


def test_an_interrupted_run_leaves_no_job_and_no_dataset(cluster: Cluster, sounds: Path, tmp_path: Path) -> None:
    given = ("preprocess", sounds, "--output", tmp_path / "dataset", *SETTINGS, *cluster.flags)
    with started(*given, "--job_name", "interrupted") as process:

        def state() -> str:
            return next((job["state"] for job in cluster.jobs() if job["name"] == "interrupted"), "")

        until(lambda: state() == "RUNNING")
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches the job server too
        said = process.communicate(timeout=60)[1]
        assert said == "audio-vae preprocess: interrupted\n"
        assert process.returncode == 1
        until(lambda: state() == "CANCELED")
    assert not (tmp_path / "dataset").exists()


def test_a_rerun_that_loses_a_task_manager_is_that_of_one_machine(
    cluster: Cluster, sounds: Path, local: Path, tmp_path: Path
) -> None:
    here, there, folder = tmp_path / "here", tmp_path / "there", tmp_path / "sounds"
    shutil.copytree(local, here)
    shutil.copytree(local, there)
    shutil.copytree(sounds, folder)
    for path in sounds.glob("*.wav"):
        content = path.read_bytes()
        (folder / f"new_{path.name}").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    changed, removed = sorted(path.name for path in sounds.glob("*.wav"))[1:3]
    soundfile.write(folder / changed, np.random.default_rng(0).normal(0, 0.1, 6000), 8000)
    (folder / removed).unlink()
    preprocess(folder, here)

    def num_built() -> int:
        return len(list(there.glob("runs/000002*/*.tfrecord")))

    with started("preprocess", folder, "--output", there, *SETTINGS, *cluster.flags, "--job_name", "bereft") as process:
        until(lambda: num_built() >= 3 or process.poll() is not None)
        cluster.task_managers[0].kill()
        built_before = num_built()
        said = process.communicate(timeout=240)[1]
        assert process.returncode == 0, said
    assert built_before < num_built()
    job = next(job for job in cluster.jobs() if job["name"] == "bereft")
    assert job["state"] == "FINISHED"
    assert cluster.failures(job["jid"])
    assert cluster.num_task_managers() == 1
    assert contents(there) == contents(here)
    assert {Path(name).name for name in orphans(there)} == {Path(name).name for name in orphans(here)}
    assert problems(there) == []

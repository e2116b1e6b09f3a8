"""A disk that is full: a line names the file, the disk and what to do, and nothing half written stays."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.helpers.console import audio_vae, audio_vae_json, run_in_process
from tests.helpers.places import ROOT
from tests.helpers.small_models import DIM, RATE, write_model
from tests.helpers.sounds import tone, write_tones


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("model"))


def told(*words: object) -> str:
    """The last line of a command that must fail with status 1."""
    done = run_in_process(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert "ystem error" not in done.stderr
    return done.stderr.splitlines()[-1]


def whole(folder: Path) -> int:
    """How many sounds there are, all of them whole, and nothing else."""
    files = list(folder.iterdir())
    assert all(soundfile.info(file).frames >= 1000 for file in files)
    return len(files)


def test_sounds_that_are_made(model: str, disk: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"mu": [[1.0] * DIM] * 100}), tmp_path / "l.parquet")
    for words in (("generate", model, "--count", 100), ("decode", model, tmp_path / "l.parquet")):
        line = told(*words, "--output", disk / words[0])
        assert line.startswith(f"audio-vae {words[0]}: {disk / words[0]}/")
        assert f"the disk at {disk} is full" in line
        assert "make room there, or write to another place" in line
        assert f"; whole are {whole(disk / words[0])} files, of others nothing is left" in line
        for file in (disk / words[0]).iterdir():
            file.unlink()


def test_sounds_that_are_reconstructed(model: str, disk: Path, tmp_path: Path) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for name, seconds in (("a", 1.0), ("b", 30.0)):
        soundfile.write(sounds / f"{name}.wav", tone(300, seconds, RATE), RATE)
    line = told("reconstruct", model, sounds, "--output", disk / "heard")
    assert line.startswith(
        f"audio-vae reconstruct: {disk / 'heard' / 'b.wav'} cannot be written: the disk at {disk} is"
    )
    assert line.endswith("; whole are 1 files, of others nothing is left")
    assert sorted(path.name for path in (disk / "heard").iterdir()) == ["a.wav", "sources.json"]


@pytest.mark.slow
def test_outputs_that_are_one_thing_are_not_there(model: str, disk: Path, tone_dataset: Path, tmp_path: Path) -> None:
    settings = ("--preset", "tiny", "--epochs", 1, "--conv-filters", "64,64,64")
    sounds = write_tones(tmp_path / "sounds", 400, RATE, 0.5)
    cases = {
        ("export", model): "e",
        ("browse", tone_dataset): "b.html",
        ("encode", model, sounds): "l.parquet",
        ("train", tone_dataset, *settings): "m",
    }
    for words, name in cases.items():
        line = told(*words, "--output", disk / name)
        assert line.startswith(f"audio-vae {words[0]}: "), line
        assert str(disk) in line
        assert f"the disk at {disk} is full" in line, line
        left = [path for path in disk.rglob("*") if path.is_file()]
        assert all(path.parts[len(disk.parts)] == "m" for path in left), left  # a training goes on with what it has
        subprocess.run(["rm", "-rf", disk / "m"], check=True)


def test_what_does_not_fit_is_refused_at_the_plan(disk: Path, tmp_path: Path) -> None:
    """A small file that decodes to an hour, beside a short one; nothing is decoded, and --dry-run tells the sizes."""
    sounds = write_tones(tmp_path / "sounds", 1)
    with soundfile.SoundFile(sounds / "silence.flac", "w", 8000, 1) as file:
        for _ in range(60):
            file.write(np.zeros(8000 * 60))
    assert (sounds / "silence.flac").stat().st_size < 100_000
    words = ("preprocess", sounds, "--preset", "tiny", "--output", disk / "ds")
    planned = audio_vae_json(*words, "--dry-run")
    assert planned["bytes_free"] <= 100 * 1024 < planned["bytes_to_write"]
    done = run_in_process(*words, "--dry-run")
    assert done.stderr.startswith("warning: ")
    line = told(*words)
    assert re.search(rf"--output {disk}/ds needs [\d.]+ MB at least, [\d.]+ kB are free on the disk at {disk}: ", line)
    assert "silence.flac alone 60 minutes (--exclude or --max-source-seconds leave it out). Nothing was decoded" in line
    assert not (disk / "ds").exists()
    small = ("--frame-size", 64, "--hop-length", 64, "--max-source-seconds", 600)
    assert run_in_process(*words, *small).returncode == 0  # the long one fails then, and the other fits


@pytest.mark.slow
def test_a_file_that_may_be_no_larger(model: str, tmp_path: Path) -> None:
    """By `ulimit -f`, which is a full disk to one file."""
    soundfile.write(tmp_path / "a.wav", tone(300, 30.0, RATE), RATE)
    limit = (50_000, 50_000)
    done = audio_vae(
        *("reconstruct", model, tmp_path / "a.wav", "--output", tmp_path / "heard"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert done.returncode == 1
    assert "File too large for `ulimit -f` or for the disk at " in done.stderr.splitlines()[-1]
    assert [path.name for path in (tmp_path / "heard").iterdir()] == ["sources.json"]


def test_what_is_printed_does_not_fit(tone_dataset: Path) -> None:
    command = [sys.executable, "-m", "vae_model.cli", "info", str(tone_dataset)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    assert done.returncode == 1
    assert done.stderr == b"audio-vae info: what is printed cannot be written: No space left on device\n"

"""`audio-vae watch`: new audio is taken in when it has settled, until the command is asked to end."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.dataset.folder import open_dataset
from tests.helpers.console import run_in_process
from tests.helpers.dataset_state import SMALL, problems, split_of_each, write_small
from tests.helpers.places import ROOT
from tests.helpers.reruns import write_config, write_sounds

QUICK = ["--interval", "0.2s", "--settle", "0.3s"]
LIMIT_SECONDS = 120


class Watching:
    """The command at work in a process of its own, and the lines that it has said."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "vae_model.cli", "watch", *map(str, arguments)]
        environment = dict(os.environ, PYTHONPATH=str(ROOT))
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    def wait_for(self, pattern: str) -> str:
        """The first line from now on, or before, in which the pattern is found."""
        return self.until(lambda: next((line for line in self.lines if re.search(pattern, line)), None))

    def until(self, find: Callable[[], Any]) -> Any:
        """What `find` gives as soon as it gives something."""
        end = time.monotonic() + LIMIT_SECONDS
        while not (found := find()):
            assert self.process.poll() is None, self.lines
            assert time.monotonic() < end, self.lines
            time.sleep(0.02)
        return found

    def end(self, number: int = signal.SIGTERM) -> str:
        """Ask it to end, and return what it printed; it must end with status 0 and say so."""
        self.process.send_signal(number)
        assert self.process.wait(LIMIT_SECONDS) == 0, self.lines
        self._reader.join()
        assert self.lines[-1].endswith(" stopped")
        assert self.process.stdout is not None
        return self.process.stdout.read()


@contextmanager
def watching(*arguments: object) -> Iterator[Watching]:
    """Watch within the block; whatever goes wrong there, no process stays."""
    watch = Watching(*arguments)
    try:
        yield watch
    finally:
        if watch.process.poll() is None:
            watch.process.terminate()
            watch.process.wait()


@pytest.mark.slow
def test_audio_is_taken_in_when_it_has_settled(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    folder.mkdir()
    whole = write_small(tmp_path / "whole.wav", 500, seconds=0.4).read_bytes()
    with watching(folder, "--output", dataset, *SMALL, "--interval", "0.2s", "--settle", "1s", "--json") as watch:
        watch.wait_for("watching")
        # A file that is being written, by a program that takes its time, is left alone until it is whole.
        with (folder / "slow.wav").open("wb", buffering=0) as file:
            for start in range(0, len(whole), 1000):
                file.write(whole[start : start + 1000])
                time.sleep(0.1)
        first = watch.wait_for("committed")
        assert "1 sources written, 0 failed" in first
        rows = open_dataset(str(dataset)).manifest().to_pylist()
        assert [(row["source"], row["size"]) for row in rows] == [("slow.wav", len(whole))]
        assert rows[0]["seconds"] == pytest.approx(0.4, abs=1e-3)

        write_small(folder / "new.wav", 700)
        watch.wait_for("committed 000002")
        printed = watch.end()
    assert [json.loads(line)["status"] for line in printed.splitlines()] == ["committed", "committed"]
    assert len(open_dataset(str(dataset)).runs) == 2
    assert set(split_of_each(dataset)) == {"slow.wav", "new.wav"}
    assert [line for line in watch.lines if "failed with" in line] == []


def test_a_run_that_fails_is_said_and_tried_again(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    write_small(folder / "tone.wav", 500)
    dataset.mkdir()
    held = os.open(dataset, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)  # as another run has it
    with watching(folder, "--output", dataset, *SMALL, *QUICK) as watch:
        assert watch.wait_for("failed").endswith("another run is writing to it")
        os.close(held)
        watch.wait_for("committed 000001")
        assert watch.end(signal.SIGINT) == ""


def test_ended_in_the_middle_of_a_run_it_leaves_nothing_half_done(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    for number in range(150):
        write_small(folder / f"tone_{number}.wav", 300 + number)
    with watching(folder, "--output", dataset, *SMALL, *QUICK, "--shard-mb", "0.012", "--workers", "1") as watch:
        watch.until(lambda: list(dataset.glob("runs/*/plan")) or list(dataset.glob("dataset.json")))
        watch.end()
    assert problems(dataset) == [] if (dataset / "dataset.json").exists() else not dataset.exists()


@pytest.mark.slow
def test_a_rerun_when_audio_came(tmp_path: Path) -> None:
    write_sounds(tmp_path / "sounds", 0, 20)
    config = write_config(tmp_path, train={"epochs": 1})
    with watching("--config", config, *QUICK) as watch:
        said = watch.wait_for("done: ")
        assert "preprocess done, train done, evaluate done, promote done, report skipped; in use is 000001" in said
        watch.end()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in", "--output", "dataset", "--hop-length", "0"], "hop_length=0 must be a positive number of samples"),
        (["in", "--output", "dataset", "--interval", "soon"], "--interval='soon' must be a length of time such as"),
        (["in", "--output", "dataset", "--interval", "0"], "--interval=0 must be longer than nothing"),
        (["nowhere", "--output", "dataset"], "INPUT nowhere: must exist"),
        (["in", "--config", "rerun.yaml"], "in must not be given with --config"),
        (["--config", "rerun.yaml"], "rerun.yaml must be a readable file"),
        (["in"], "the following arguments are required: --output"),
    ],
)
def test_a_wrong_setting_ends_it(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small(tmp_path / "in" / "tone.wav", 500)
    monkeypatch.chdir(tmp_path)
    done = run_in_process("watch", *arguments, *(QUICK if "--interval" not in arguments else []))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]

"""Trainings that are stopped at a moment, and whether a resumed one is as an undisturbed one."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from tests.helpers.dataset_writer import ONE_LAYER
from tests.helpers.places import ROOT
from vae_model.vae.saving import load_model

CONFIG = DatasetConfig(AudioConfig(sample_rate=4000, segment_seconds=0.25), SpectrogramConfig(64, 64))
TIMES = ("seconds", "examples_per_second")
OPTIONS = [*ONE_LAYER, "--epochs", "3", "--seed", "7", "--patience", "2"]

STOPPED = """
import os, sys
from vae_model import cli
from vae_model.runtime import prepare
prepare()
from vae_model.training.checkpoints import Checkpoints
hook, at, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
original, calls = getattr(Checkpoints, hook), 0
def hooked(*arguments, **logs):
    global calls
    calls += 1
    if calls == at:
        os.kill(os.getpid(), number)
    original(*arguments, **logs)
setattr(Checkpoints, hook, hooked)
sys.exit(cli.main(sys.argv[4:]))
"""
"""The console command, which sends itself a signal when a method of its Checkpoints is called for the n-th time."""


def stopped(dataset: str, folder: Path, hook: str, at: int, number: signal.Signals, *options: str) -> int:
    """Exit status of a run that gets a signal at the n-th call of a hook."""
    command = [sys.executable, "-c", STOPPED, hook, str(at), str(int(number)), "train", dataset]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    arguments = ["--output", str(folder), *OPTIONS, *options]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, timeout=300)
    assert "Traceback" not in done.stderr
    return done.returncode


def state_of(folder: Path) -> dict[str, object]:
    values: dict[str, object] = json.loads((folder / "checkpoints" / "state.json").read_text())
    return values


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        timed = ("seconds", "examples_per_second")
        return [{name: value for name, value in row.items() if name not in timed} for row in csv.DictReader(file)]


def assert_same_run(ours: Path, theirs: Path) -> None:
    """Weights, optimiser, noise streams, history and metrics are equal, not only close."""
    mine, other = state_of(ours), state_of(theirs)
    for name in ("epoch", "step", "best_epoch", "best_metrics", "noise", "last", "best"):
        assert mine[name] == other[name], name
    for file in (ours / "model.keras", ours / "checkpoints" / str(mine["last"])):
        first, second = load_model(file), load_model(theirs / file.relative_to(ours))
        pairs = [(first.get_weights(), second.get_weights())]
        if file.name != "model.keras":  # that one goes without its optimiser
            values = [[v.numpy() for v in model.optimizer.variables] for model in (first, second)]
            assert len(values[0]) > 10
            pairs.append((values[0], values[1]))
        for a, b in pairs:
            assert len(a) == len(b)
            for x, y in zip(a, b, strict=True):
                np.testing.assert_array_equal(x, y)
    assert rows(ours) == rows(theirs)

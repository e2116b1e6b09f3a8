"""Whatever asks a command to end is Ctrl-C to it, from its first module on: a line, status 1, and nothing stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.console import audio_vae_json
from tests.helpers.interrupting import Interrupting
from tests.helpers.places import ROOT
from tests.helpers.servers import free_port
from vae_model.cli import COMMANDS

_OTHERWISE = ("watch", "demo", "continue", "vary", "import-course")
"""Tested by themselves, or refused at once: the model here has no prior, and no folder is one of the course's."""
_LIGHT = ("preprocess", "info", "prune", "compact", "import-npy")
"""At their end before they have asked for so many modules as the others."""

Words = Callable[[str, Path], tuple[object, ...]]
_RERUN = "workspace: work\ninputs: [{sounds}]\npreprocess: {{preset: tiny}}\ntrain: {{preset: tiny, epochs: 1}}\n"


@pytest.fixture(scope="module")
def words(tone_folder: Path, tone_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Words:
    """What follows a command's name so that it does its work, with what it writes in a folder."""
    made = tmp_path_factory.mktemp("made")
    model, latents = made / "model", made / "latents.parquet"
    audio_vae_json("train", tone_dataset, "--output", model, "--preset", "tiny", "--epochs", 1)
    audio_vae_json("encode", model, tone_folder, "--output", latents)
    one, two = (tone_folder / f"tone_{number:02}.wav" for number in (0, 7))
    (made / "rerun.yaml").write_text(_RERUN.format(sounds=tone_folder))
    (made / "features").mkdir()
    np.save(made / "features" / "a.wav.npy", np.linspace(0, 1, 256 * 64, dtype=np.float32).reshape(256, 64))
    (made / "ranges.json").write_text(json.dumps({"features/a.wav.npy": {"min": -80.0, "max": 0.0}}))

    def of(command: str, folder: Path) -> tuple[object, ...]:
        into = ("--output", folder / "out")
        if command == "rerun":
            (folder / "rerun.yaml").write_text(_RERUN.format(sounds=tone_folder))
        known: dict[str, tuple[object, ...]] = {
            "preprocess": (tone_folder, *into, "--preset", "tiny"),
            "browse": (tone_dataset, *into),
            "train": (tone_dataset, *into, "--preset", "tiny", "--epochs", 1),
            "evaluate": (model, tone_dataset),
            "reconstruct": (model, one, *into),
            "prior": (model, tone_dataset),
            "generate": (model, "--count", 1, *into),
            "interpolate": (model, one, two, *into),
            "encode": (model, tone_folder, "--output", folder / "out.parquet"),
            "decode": (model, latents, *into),
            "report": (model, tone_dataset, *into),
            "export": (model, *into),
            "app": (model, "--port", free_port()),
            "rerun": (folder / "rerun.yaml",),
            "watch": (tone_folder, *into),
            "import-npy": (made / "features", made / "ranges.json", *into),
            "demo": (*into, "--count", 20, "--epochs", 1),
        }
        return known.get(command, (tone_dataset,))

    return of


def check(interrupting: Interrupting, words: tuple[object, ...], at: int, number: int = signal.SIGTERM) -> None:
    """Run a command with a signal at this moment; it must tell it in its last line, and leave no temporary file."""
    done = interrupting.run(*words, at=at, number=number)
    assert done.returncode == 1
    assert done.stderr.endswith(f"audio-vae {words[0]}: interrupted\n")  # maybe amid another line
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert list(interrupting.temporary.iterdir()) == []


@pytest.mark.parametrize(("number", "at"), [(signal.SIGTERM, 1), (signal.SIGHUP, 200), (signal.SIGINT, 300)])
def test_prune_as_it_starts(tone_dataset: Path, tmp_path: Path, number: int, at: int) -> None:
    check(Interrupting(tmp_path / "scratch"), ("prune", tone_dataset, "--dry-run"), at, number)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "at"),
    [(name, 1) for name in COMMANDS if name not in _OTHERWISE]
    + [("preprocess", at) for at in (50, 100, 200, 400)]
    + [(name, 2000) for name in COMMANDS if name not in (*_OTHERWISE, *_LIGHT)],
)
def test_every_command_as_it_starts(command: str, at: int, words: Words, tmp_path: Path) -> None:
    check(Interrupting(tmp_path / "scratch"), (command, *words(command, tmp_path)), at)


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 300, 600])
def test_watch_as_it_starts(at: int, words: Words, tmp_path: Path) -> None:
    """At first as every command; once it watches, it is done when it is asked to end."""
    done = Interrupting(tmp_path / "scratch").run("watch", *words("watch", tmp_path), at=at)
    assert (done.returncode, done.stderr.split()[-1]) in ((1, "interrupted"), (0, "stopped"))


@pytest.mark.slow
def test_the_demo_ends_the_command_that_it_runs(words: Words, tmp_path: Path) -> None:
    """Of its own accord: a signal to the demo alone reaches no other process."""
    command = [sys.executable, "-m", "vae_model.cli", "demo", *map(str, words("demo", tmp_path))]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("$ audio-vae train"):
                process.terminate()
                break
        rest = process.stderr.read()
    assert process.returncode == 1
    assert rest.splitlines()[-1] == "audio-vae demo: interrupted"
    assert "Traceback" not in rest
    assert not (tmp_path / "out" / "demo.html").exists()


def test_what_nohup_ignores_stays_ignored(tone_dataset: Path, tmp_path: Path) -> None:
    script = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); import vae_model.cli as c; "
    hook = "import pipelines.runs.pruning as p, os; f = p.prune_dataset; "
    hook += "p.prune_dataset = lambda *a, **k: (os.kill(os.getpid(), signal.SIGHUP), f(*a, **k))[1]; "
    command = [sys.executable, "-c", script + hook + "sys.exit(c.main())", "prune", str(tone_dataset), "--dry-run"]
    done = subprocess.run(command, capture_output=True, env=dict(os.environ, PYTHONPATH=str(ROOT)), timeout=60)
    assert done.returncode == 0


@pytest.mark.parametrize("words", [("--help",), ("preprocess", "--help"), ("info",)])
def test_a_command_whose_output_nobody_reads_ends_quietly(words: tuple[str, ...], tone_dataset: Path) -> None:
    """As after `| head -1`."""
    given = [*words, str(tone_dataset)] if words == ("info",) else [*words]
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "vae_model.cli", *given]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment, timeout=60)
    finally:
        os.close(writing)
    assert done.stderr == b""
    assert done.returncode in (0, 1)  # argparse takes no notice

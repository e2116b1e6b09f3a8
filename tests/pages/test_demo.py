"""The demo as users run it: its own sounds, a folder of theirs too small to hold any out, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.config import PRESETS, split_of
from pipelines.dataset.folder import open_dataset
from tests.helpers.console import run_in_process
from vae_model import cli
from vae_model import demonstration as demo
from vae_model.model_folder.presets import PRESETS as MODEL_PRESETS
from vae_model.sound.synthesis import SoundName, synthesise


def _demo(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vae_model.cli", "demo", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == status, done.stderr
    return done


@pytest.mark.slow
def test_own_sounds_to_a_page(tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = _demo(f"--output={output}", "--count=24", "--epochs=1", "--workers=1", "--seed=5")
    page = Path(done.stdout.splitlines()[-1])
    assert page == output / "index.html"
    text = page.read_text(encoding="utf-8")

    dataset = open_dataset(str(output / "dataset"))
    held_out = dataset.splits["test"].num_examples
    assert dataset.num_examples == 24
    assert held_out > 0
    assert len(list((output / "sounds").glob("*.wav"))) == 24
    assert text.count("<audio ") == 3 * held_out + 8 + 8 + 1  # pairs and ceilings, new, interpolated, the map's
    assert re.search(r"<h3>(Pluck|Bell|Wood|Flute|Voice|Bow), [A-G]♯?\d</h3>", text)

    posterior = json.loads((output / "model" / "bundle.json").read_text())["metrics"]["posterior"]
    assert len(posterior["kl_per_dimension"]) == text.count("<rect ") == MODEL_PRESETS["tiny"].model.latent_space_dim
    assert "Posterior health" in text

    # The baseline again, from the records alone.
    low, span = dataset.min_db, dataset.max_db - dataset.min_db
    scaled = {
        split: np.stack(
            [(r.spectrogram * (r.max_db - r.min_db) + r.min_db - low) / span for r in dataset.records(split)]
        )
        for split in ("train", "test")
    }
    baseline = np.mean((scaled["test"] - scaled["train"].mean(axis=0)) ** 2)
    assert f"{baseline:.5f}" in text
    assert f"{baseline:.5f}" in done.stdout
    for step in ("$ audio-vae preprocess ", "$ audio-vae train "):
        assert step in done.stderr


@pytest.mark.slow
def test_two_recordings_that_would_all_be_held_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, output = tmp_path / "my <recordings>", tmp_path / "out"
    folder.mkdir()
    names = [name for name in (f"take {n}.wav" for n in range(99)) if split_of(name, PRESETS["tiny"]) == "test"][:2]
    for variation, name in enumerate(names):
        mono = np.concatenate([synthesise(SoundName("bell", midi, variation)) for midi in (60, 64)])
        soundfile.write(folder / name, np.stack([mono, mono], axis=1), 22050)
    assert cli.main(["demo", f"--audio={folder}", f"--output={output}", "--epochs=1", "--workers=1", "--json"]) == 0
    summary = json.loads(capfd.readouterr().out)
    assert summary["split"] == "train"
    assert summary["num_records"] == open_dataset(str(output / "dataset")).num_examples == 4
    assert summary["ratio"] == pytest.approx(summary["reconstruction_mse"] / summary["mean_spectrogram_mse"])
    text = Path(summary["page"]).read_text(encoding="utf-8")
    assert "too few recordings to hold any out" in text
    assert "What a VAE learned from my &lt;recordings&gt;" in text
    assert f"{names[0]}, from 1.0 s" in text


def test_replaces_what_an_earlier_demo_made_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / demo.MARKER).touch()
    (tmp_path / "sounds").mkdir()
    (tmp_path / "index.html").touch()
    (tmp_path / "notes.txt").write_text("mine")
    demo.check_folders(None, tmp_path)
    demo.renew(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [demo.MARKER, "notes.txt"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--output={}/occupied"],
            "--output {}/occupied must be new, empty or of an earlier demo: it holds other files",
        ),
        (["--output={}/file"], "--output {}/file must be a folder, it is a file"),
        (["--audio={}/none", "--output={}/new"], "--audio {}/none must be a folder of recordings: no such folder"),
        (["--audio={}/made/in", "--output={}/made"], "--audio {}/made/in must lie outside --output {}/made"),
        (["--epochs=0", "--output={}/new"], "epochs=0 must be a positive number"),
        (["--workers=-1", "--output={}/new"], "workers=-1 must be a positive number"),
        (["--count=0", "--output={}/new"], "count=0 must be a positive number"),
        (["--seed=-1", "--output={}/new"], "seed=-1 must be 0 or more"),
    ],
)
def test_refusals_touch_nothing(tmp_path: Path, words: list[str], message: str) -> None:
    for folder in ("occupied", "made/in"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("file", "occupied/letter.txt", f"made/{demo.MARKER}", "made/in/a.wav"):
        (tmp_path / file).write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    done = run_in_process("demo", *(word.format(tmp_path) for word in words))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("audio-vae demo: " + message.replace("{}", str(tmp_path)))
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failed_step_ends_the_demo_with_its_own_message_and_status(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = _demo(f"--audio={tmp_path / 'empty'}", f"--output={tmp_path / 'out'}", status=2)
    assert "must hold at least one audio file" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["kick/1", "kick/2", "kick/3", "snare/4", "snare/5", "snare/6"], demo.BY_FOLDER),
        ([*(f"kick/{n}" for n in range(5)), *(f"my hats/deep/{n}" for n in range(5)), "silence"], demo.BY_FOLDER),
        (["kick/1", "kick/2", "kick/3", "snare/4"], None),  # too few of one
        (["kick/1", "kick/2", "kick/3", "kick/4"], None),  # one alone sorts nothing
        ([f"take {n}" for n in range(6)], None),
        ([*(f"{kind}/{n}" for kind in "ab" for n in range(3)), "c", "d"], None),  # many lie outside
    ],
)
def test_recordings_are_labelled_by_folders_that_sort_them(
    names: list[str], pattern: str | None, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / f"{name}.wav").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.wav").write_bytes(name.encode())
    assert demo.label_pattern_for(str(tmp_path)) == pattern


def test_epochs_for_few_and_many_sounds() -> None:
    batch = demo.PRESETS[demo.PRESET].train.batch_size
    assert demo.epochs_for(20 * batch) == 32
    assert demo.epochs_for(20 * batch + 1) == 30
    assert demo.epochs_for(1) == 300
    assert demo.epochs_for(10**7) == 1

"""Every command on datasets and models of another feature, and none that imports what nobody asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from pipelines.dataset.folder import open_dataset
from tests.helpers.console import audio_vae_json, run_in_process
from tests.helpers.features import OWN, snippets, written
from tests.helpers.reruns import write_config
from tests.helpers.reruns import write_sounds as write_noises
from tests.helpers.snippets import WAYS, Run
from tests.helpers.sounds import write_tones
from vae_model.model_folder.bundle import Bundle

SETTINGS = ["--preset", "tiny", "--sample-rate", "8000", "--segment-seconds", "0.5", "--frame-size", "256"]
SETTINGS += ["--hop-length", "128", "--split-pattern", "test=_0[36]", "--workers", "1"]
TRAIN = ["--preset", "tiny", "--epochs", "1", "--conv-filters", "8,8", "--conv-kernels", "3,3", "--conv-strides", "2,2"]
TRAIN += ["--latent-space-dim", "4"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("features") / "tones", sample_rate=8000)


@pytest.fixture(scope="module")
def dataset(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve tones as log-mel spectrograms, 40 bands x 32 frames."""
    folder = tmp_path_factory.mktemp("features") / "dataset"
    mel = ["--feature", "log-mel", "--n-bands", "40"]
    audio_vae_json("preprocess", recordings, "--output", folder, *SETTINGS, *mel)
    return folder


@pytest.fixture(scope="module")
def model(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features") / "model"
    audio_vae_json("train", dataset, "--output", folder, *TRAIN)
    return folder


def test_the_dataset_says_what_its_records_are(dataset: Path, recordings: Path) -> None:
    opened = open_dataset(str(dataset))
    assert opened.record.shape == (40, 32, 1)
    assert opened.config.to_dict()["spectrogram"]["feature"] == "log-mel"
    again = run_in_process("preprocess", recordings, "--output", dataset)
    assert "is up to date" in again.stderr
    other = run_in_process("preprocess", recordings, "--output", dataset, "--feature", "log-spectrogram")
    assert other.returncode == 2
    assert audio_vae_json("verify", dataset)["problems"] == []


@pytest.mark.slow
def test_every_command_takes_a_model_of_it(model: Path, dataset: Path, recordings: Path, tmp_path: Path) -> None:
    assert Bundle.load(model).spectrogram.n_bands == 40
    figures = audio_vae_json("evaluate", model, dataset)
    assert figures["reconstruction"]["mean_z"]["rmse_db"] > 0
    one, two = (recordings / f"tone_0{number}.wav" for number in (0, 5))
    for command in (
        ["reconstruct", model, one],
        ["generate", model, "--count", 2],
        ["interpolate", model, one, two, "--steps", 2],
    ):
        audio_vae_json(*command, "--output", tmp_path / str(command[0]))
    (heard,) = (tmp_path / "reconstruct").glob("*.wav")
    assert soundfile.info(heard).frames == 8000
    assert len(list((tmp_path / "generate").glob("*.wav"))) == 2
    audio_vae_json("encode", model, recordings, "--output", tmp_path / "latents.parquet", "--workers", 1)
    audio_vae_json("decode", model, tmp_path / "latents.parquet", "--output", tmp_path / "decoded")
    page = tmp_path / "report.html"
    audio_vae_json("report", model, dataset, "--output", page)
    assert "log-mel" in page.read_text(encoding="utf-8")
    audio_vae_json("browse", dataset, "--output", tmp_path / "browse.html")


def test_an_exported_model_takes_the_waveform(model: Path, recordings: Path, tmp_path: Path) -> None:
    audio_vae_json("export", model, "--output", tmp_path / "served")
    (folder,) = {path.parent for path in (tmp_path / "served").rglob("saved_model.pb")}
    waveform, _ = soundfile.read(recordings / "tone_00.wav", dtype="float32")
    found = tf.saved_model.load(str(folder)).signatures["reconstruct"](waveform=tf.constant(waveform[None, :4000]))
    assert found["decibels"].shape == (1, 40, 32, 1)


@pytest.fixture
def own(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of the class of docs/features.md, which nobody has asked for since."""
    written(tmp_path, monkeypatch)
    audio_vae_json("preprocess", recordings, "--output", "dataset", *SETTINGS, "--feature", OWN)
    assert open_dataset("dataset").record.shape == (64, 32, 1)
    written(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.slow
def test_code_is_imported_by_those_commands_alone_that_are_told_so(own: Path, recordings: Path) -> None:
    audio_vae_json("train", "dataset", "--output", "model", *TRAIN)
    audio_vae_json("evaluate", "model", "dataset")
    audio_vae_json("info", "dataset")
    one = recordings / "tone_00.wav"
    needing = [
        ["preprocess", recordings, "--output", "dataset"],
        ["reconstruct", "model", one, "--output", "heard"],
        ["generate", "model", "--count", 1, "--output", "new"],
        ["report", "model", "dataset", "--output", "report.html"],
        ["encode", "model", recordings, "--output", "latents.parquet"],
    ]
    for command in needing:
        done = run_in_process(*command)
        assert done.returncode == 2, (command, done.stderr)
        assert f"give --feature {OWN}" in done.stderr
        assert done.stderr.count("\n") == 1
    assert "my_features" not in sys.modules
    assert audio_vae_json(*needing[0], "--feature", OWN)["status"] == "unchanged"
    assert run_in_process(*needing[1], f"--feature={OWN}").returncode == 0
    assert np.abs(soundfile.read("heard/tone_00.wav")[0]).max() > 0
    exported = run_in_process("export", "model", "--output", "served", "--feature", OWN)
    assert exported.returncode == 2
    assert "feature='my_features:LowHalf' must be one of log-spectrogram, log-mel to be exported" in exported.stderr


def test_the_file_of_a_rerun_may_name_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, monkeypatch)
    write_noises(tmp_path / "sounds", 0, 20)
    config = write_config(tmp_path, preprocess={"feature": OWN})
    audio_vae_json("rerun", config)
    assert open_dataset(str(tmp_path / "work" / "dataset")).record.shape == (16, 16, 1)


@WAYS
def test_the_transforms_take_a_feature(run: Run, recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "recordings").symlink_to(recordings, target_is_directory=True)
    run(snippets()["transforms"], tmp_path)
    assert open_dataset(str(tmp_path / "dataset")).record.shape == (40, 47, 1)

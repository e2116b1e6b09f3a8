"""The train command: what it writes, how it stops and goes on, what bad input gets."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import open_dataset
from pipelines.errors import SettingError, WorkError
from tests.helpers.dataset_writer import ONE_LAYER, noises, write_dataset
from tests.helpers.places import ROOT
from vae_model.commands import train
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import TrainConfig
from vae_model.model_folder.presets import PRESETS
from vae_model.model_folder.value_range import ValueRange
from vae_model.sound.generator import SoundGenerator
from vae_model.training.run_state import RunState
from vae_model.training_sounds import read_training_sounds
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.saving import load_model
from vae_model.vae.variational import VAE

CONFIG = DatasetConfig(AudioConfig(sample_rate=4000, segment_seconds=0.25), SpectrogramConfig(64, 64))
COMMON = ONE_LAYER


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """40 records of 32 x 16 x 1 to train on, 8 to validate with."""
    folder = tmp_path_factory.mktemp("data") / "dataset"
    return write_dataset(folder, {"train": noises(40), "validation": noises(8)}, CONFIG)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert train.main([*map(str, arguments), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_train_writes_a_model_that_stops_and_goes_on(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    result = run(capsys, dataset, "--output", folder, *COMMON, "--epochs", 3)
    assert result["epochs"] == 3
    rows = history(folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] < rows[0]["loss"]
    weight = PRESETS["tiny"].model.reconstruction_weight
    for row in rows:
        assert row["loss"] == pytest.approx(weight * row["reconstruction_loss"] + row["kl_loss"], rel=1e-4)
    best = min(rows, key=lambda row: row["val_loss"])
    assert result["best_epoch"] == best["epoch"]
    assert result["metrics"]["val_loss"] == pytest.approx(best["val_loss"])

    bundle = Bundle.load(folder)
    assert bundle.model.input_shape == (32, 16, 1)
    assert bundle.audio == CONFIG.audio
    assert bundle.metrics["best_epoch"] == result["best_epoch"]
    assert bundle.dataset["num_examples"] == {"train": 40, "validation": 8}
    assert not VAE.load(folder).model.compiled
    assert SoundGenerator.load(str(folder)).bundle == bundle
    assert {path.name for path in (folder / "tensorboard").iterdir()} == {"train", "validation"}
    assert {p.name for p in folder.iterdir()} == {
        "model.keras",
        "bundle.json",
        "config.yaml",
        "checkpoints",
        "tensorboard",
        "history.csv",
        "sounds.parquet",
    }
    assert len(read_training_sounds(str(folder), bundle)) == 40

    state = json.loads((folder / "checkpoints" / "state.json").read_text())
    steps = int(load_model(folder / "checkpoints" / state["last"]).optimizer.iterations)
    again = run(capsys, dataset, "--output", folder, "--resume", "--epochs", 5)
    assert again["epochs"] == 5
    assert [row["epoch"] for row in history(folder)] == [1, 2, 3, 4, 5]
    assert history(folder)[:3] == rows
    state = json.loads((folder / "checkpoints" / "state.json").read_text())
    assert int(load_model(folder / "checkpoints" / state["last"]).optimizer.iterations) == steps * 5 // 3
    assert len(list((folder / "checkpoints").glob("*.keras"))) <= 2

    assert run(capsys, dataset, "--output", folder, *COMMON, "--epochs", 5, "--resume") == again
    with pytest.raises(SettingError, match="latent_space_dim=9 must be 8"):
        train.main([dataset, "--output", str(folder), "--resume", "--latent-space-dim", "9"])
    with pytest.raises(SettingError, match="--output"):
        train.main([dataset, "--output", str(folder), "--epochs", "1"])
    config = DatasetConfig(AudioConfig(sample_rate=8000, segment_seconds=0.125), CONFIG.spectrogram)
    other = write_dataset(tmp_path / "other", {"train": noises(4)}, config)
    with pytest.raises(SettingError, match="sample_rate: 8000 != 4000"):
        train.main([other, "--output", str(folder), "--resume"])


@pytest.mark.slow
def test_autoencoder_without_validation_is_repeatable_and_can_generate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "data", {"train": noises(20)}, CONFIG)
    options = [*ONE_LAYER, "--model", "autoencoder", "--epochs", 2, "--seed", 5]
    first, second = (run(capsys, data, "--output", tmp_path / name, *options) for name in "ab")
    assert set(first["metrics"]) == {"loss", "reconstruction_loss"}
    assert first["metrics"]["loss"] == pytest.approx(second["metrics"]["loss"], rel=1e-4)
    assert type(SoundGenerator.load(str(tmp_path / "a")).autoencoder) is Autoencoder
    (waveform,) = SoundGenerator.load(str(tmp_path / "a")).generate(1, seed=0)
    assert waveform.shape == (1000, 1)


@pytest.mark.slow
def test_a_run_is_repeated_by_its_config(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*COMMON, "--epochs", 2, "--seed", 3, "--learning-rate", 1e-5]
    first = run(capsys, dataset, "--output", tmp_path / "a", *options)
    again = run(capsys, dataset, "--output", tmp_path / "b", "--config", tmp_path / "a" / "config.yaml")
    assert again["metrics"] == pytest.approx(first["metrics"], rel=1e-4)
    bundles = [Bundle.load(tmp_path / name) for name in "ab"]
    assert (bundles[0].model, bundles[0].train) == (bundles[1].model, bundles[1].train)
    (tmp_path / "seed.yaml").write_text("seed: 4")
    with pytest.raises(SettingError, match="seed=4 must be 3, as in the run"):
        train.main([dataset, "--output", str(tmp_path / "b"), "--resume", "--config", str(tmp_path / "seed.yaml")])


def test_every_preset_but_the_course_s_stops_early() -> None:
    assert {name for name, preset in PRESETS.items() if not preset.train.patience} == {"course"}


def test_nothing_to_do_is_said_without_tensorflow(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", dataset, "--output", str(tmp_path / "m"), *COMMON, "--epochs", "1"]
    result = run(capsys, *command[1:])
    script = (
        "import sys; from vae_model import cli; status = cli.main(sys.argv[1:]); "
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules; sys.exit(status)"
    )
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, "-c", script, *command, "--resume", "--json"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == result
    assert "nothing to do: 1 of 1 epoch complete" in done.stderr


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_worse_epoch_is_kept_only_where_the_last_one_is_asked_for(dataset: str, keep: str) -> None:
    opened = open_dataset(dataset)
    settings = TrainConfig(keep=keep)
    bundle = Bundle.of(opened, PRESETS["tiny"].model, settings, ValueRange(-80.0, 0.0))
    state = RunState(bundle, 1, 0, "epoch-00001.keras", "epoch-00001.keras", 1, {"loss": 2.0, "val_loss": 2.0})
    assert state.is_bettered_by({"loss": 1.0, "val_loss": 3.0}) == (keep == "last")
    assert state.is_bettered_by({"loss": 3.0, "val_loss": 1.0})
    with pytest.raises(SettingError, match="patience=2 must be 0 with keep=last"):
        TrainConfig(keep="last", patience=2)


def test_course_uses_each_record_s_own_range(dataset: str) -> None:
    course = PRESETS["course"]
    assert course.train.value_range == "record"
    assert not course.train.output_bias
    train = course.train
    assert (train.epochs, train.batch_size, train.learning_rate, train.patience) == (150, 64, 5e-4, 0)


@pytest.mark.slow
def test_patience_ends_a_run_that_gets_no_better(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--preset", "tiny", "--model", "autoencoder", "--epochs", 60, "--patience", 2, "--learning-rate", 0.5]
    result = run(capsys, dataset, "--output", tmp_path / "m", *options)
    assert result["epochs"] == result["best_epoch"] + 2 < 60
    assert run(capsys, dataset, "--output", tmp_path / "m", "--resume") == result


def test_loss_that_is_no_number_ends_the_run(dataset: str, tmp_path: Path) -> None:
    options = [*COMMON, "--epochs", "9", "--learning-rate", "1e18"]
    with pytest.raises(WorkError, match="learning-rate"):
        train.main([dataset, "--output", str(tmp_path / "m"), *options])


@pytest.mark.slow
def test_interrupted_run_is_saved_and_goes_on(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "m"
    command = [sys.executable, "-m", "vae_model.cli", "train", dataset, "--output", str(folder), *COMMON]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    process = subprocess.Popen([*command, "--epochs", "100000"], stderr=subprocess.PIPE, text=True, env=environment)
    state = folder / "checkpoints" / "state.json"
    deadline = time.monotonic() + 120
    while not (folder / "history.csv").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "--resume" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    epochs = json.loads(state.read_text())["epoch"]
    assert epochs >= 1
    assert SoundGenerator.load(str(folder)).bundle.metrics["epochs"] == epochs
    assert run(capsys, dataset, "--output", folder, "--resume", "--epochs", epochs + 1)["epochs"] == epochs + 1
    assert [row["epoch"] for row in history(folder)] == list(range(1, epochs + 2))


def test_damaged_shard_is_named(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", {"train": noises(6)}, CONFIG)
    shard = next(Path(data).glob("runs/*/train-00000.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(WorkError, match=r"train-00000\.tfrecord: truncated"):
        train.main([data, "--output", str(tmp_path / "m"), *COMMON, "--epochs", "1"])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--epochs", "0"], "epochs=0"),
        (["--latent-space-dim", "-2"], "latent_space_dim=-2"),
        (["--reconstruction-weight", "nan"], "reconstruction_weight=nan"),
        (["--output", "https://host/model"], "--output https://host/model must be a place that can be written"),
    ],
)
def test_setting_that_is_wrong_is_named(dataset: str, tmp_path: Path, options: list[str], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        train.main([dataset, "--output", str(tmp_path / "m"), *options])
    assert not (tmp_path / "m").exists()


def test_what_is_no_dataset_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="DATASET"):
        train.main([str(tmp_path), "--output", str(tmp_path / "m")])
    (tmp_path / "file").write_text("")
    data = write_dataset(tmp_path / "data", {"test": noises(2)}, CONFIG)
    with pytest.raises(SettingError, match="it is a file"):
        train.main([data, "--output", str(tmp_path / "file")])
    with pytest.raises(WorkError, match="split train"):
        train.main([data, "--output", str(tmp_path / "m")])

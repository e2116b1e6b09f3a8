"""Several devices and machines, mixed precision, several steps an execution: beside the plain run."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.errors import SettingError
from tests.helpers.dataset_writer import ONE_LAYER, noises, write_dataset
from tests.helpers.places import ROOT
from vae_model.commands import train
from vae_model.sound.generator import SoundGenerator
from vae_model.vae.saving import load_model

CONFIG = DatasetConfig(AudioConfig(sample_rate=4000, segment_seconds=0.25), SpectrogramConfig(64, 64))
TIMES = ("seconds", "examples_per_second")
OPTIONS = [*ONE_LAYER, "--epochs", "2"]
ENVIRONMENT = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "tests")]))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """41 records of 32 x 16 x 1 to train on, of which the sixth batch of eight is a single one; 16 to validate with."""
    folder = tmp_path_factory.mktemp("data") / "dataset"
    return write_dataset(folder, {"train": noises(41), "validation": noises(16)}, CONFIG)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]


def losses(folder: Path) -> list[float]:
    return [float(row[name]) for row in rows(folder) for name in ("loss", "val_loss")]


def run(*arguments: object) -> None:
    assert train.main(list(map(str, arguments))) == 0


TWO_DEVICES = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from vae_model.training.devices import make_strategy
"""

SAME_LOSS = (
    TWO_DEVICES
    + """
import keras, numpy as np
from vae_model.vae import Autoencoder
half = np.random.default_rng(0).random((4, 16, 16, 1), np.float32)
data = tf.data.Dataset.from_tensors(np.concatenate([half, half])).repeat(3)
found = []
for name in ("none", "mirrored"):
    strategy = make_strategy(name)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = Autoencoder((16, 16, 1), (4, 8), (3, 3), (2, 2), 4)
        model.compile(1e-2)
    history = model.train(data, num_epochs=3).history
    found.append((strategy.num_replicas_in_sync, history["loss"], model.decode(np.ones((1, 4), np.float32))))
(one, losses, output), (two, mirrored_losses, mirrored_output) = found
assert (one, two) == (1, 2)
np.testing.assert_allclose(mirrored_losses, losses, rtol=1e-5)
np.testing.assert_allclose(mirrored_output, output, rtol=1e-4)
assert losses[-1] < losses[0]
"""
)


@pytest.mark.slow
def test_two_devices_come_to_the_loss_of_one() -> None:
    """Each takes the same half of a batch, so that their batch statistics are those of the whole."""
    done = subprocess.run(
        [sys.executable, "-c", SAME_LOSS], capture_output=True, text=True, env=ENVIRONMENT, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_command_trains_on_two_devices(dataset: str, tmp_path: Path) -> None:
    code = TWO_DEVICES + "from vae_model.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "train", dataset, "--output", str(tmp_path / "m"), *OPTIONS]
    done = subprocess.run(
        [*command, "--strategy", "mirrored"], capture_output=True, text=True, env=ENVIRONMENT, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert np.isfinite(losses(tmp_path / "m")).all()
    assert losses(tmp_path / "m")[2] < losses(tmp_path / "m")[0]
    assert len(list(SoundGenerator.load(str(tmp_path / "m")).generate(2, seed=0))) == 2
    run(dataset, "--output", tmp_path / "m", "--resume", "--strategy", "none", "--epochs", 3)
    assert losses(tmp_path / "m")[4] < losses(tmp_path / "m")[2]


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def workers(*arguments: str) -> list[subprocess.CompletedProcess[str]]:
    """The console command in two processes that train together."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    started = []
    for index in range(2):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = ENVIRONMENT | {"TF_CONFIG": json.dumps(cluster)}
        command = [sys.executable, "-m", "vae_model.cli", "train", *arguments]
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        )
    done = []
    try:
        for process in started:
            output, errors = process.communicate(timeout=300)
            done.append(subprocess.CompletedProcess(process.args, process.returncode, output, errors))
    finally:
        for process in started:
            process.kill()
    return done


@pytest.mark.slow
def test_two_machines_train_one_model_and_the_first_writes_it(dataset: str, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    for more in (("--epochs", "2"), ("--epochs", "3", "--resume")):
        done = workers(dataset, "--output", str(folder), *OPTIONS, *more, "--json")
        assert [process.returncode for process in done] == [0, 0], "".join(process.stderr for process in done)
        first, second = ({**json.loads(process.stdout), "seconds": 0} for process in done)
        assert first == second
    assert [row["epoch"] for row in rows(folder)] == ["1", "2", "3"]
    assert losses(folder)[4] < losses(folder)[0]
    assert np.isfinite(losses(folder)).all()
    assert len(list(SoundGenerator.load(str(folder)).generate(1, seed=0))) == 1


def test_multi_worker_without_its_cluster_is_named(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingError, match="TF_CONFIG"):
        run(dataset, "--output", tmp_path / "m", *OPTIONS, "--strategy", "multi-worker")
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(SettingError, match="TF_CONFIG must be JSON"):
        run(dataset, "--output", tmp_path / "m", *OPTIONS)


@pytest.mark.slow
def test_several_steps_an_execution_are_the_same_steps(dataset: str, tmp_path: Path) -> None:
    for name, more in (("one", ()), ("four", ("--steps-per-execution", 4))):
        run(dataset, "--output", tmp_path / name, *OPTIONS, *more)
    assert rows(tmp_path / "one") == rows(tmp_path / "four")
    ours, theirs = (load_model(tmp_path / name / "model.keras").get_weights() for name in ("one", "four"))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_mixed_precision_comes_near_and_its_model_needs_none(dataset: str, tmp_path: Path) -> None:
    for name, more in (("float", ()), ("mixed", ("--mixed-precision", "on"))):
        run(dataset, "--output", tmp_path / name, *OPTIONS, *more)
    np.testing.assert_allclose(losses(tmp_path / "mixed"), losses(tmp_path / "float"), rtol=0.1)
    assert losses(tmp_path / "mixed") != losses(tmp_path / "float")
    generator = SoundGenerator.load(str(tmp_path / "mixed"))
    model: Any = generator.autoencoder.model
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    assert {layer.compute_dtype for layer in model.encoder.layers} == {"float32"}
    run(dataset, "--output", tmp_path / "mixed", "--resume", "--epochs", 3)
    assert len(rows(tmp_path / "mixed")) == 3
    with pytest.raises(SettingError, match="mixed_precision='off' must be 'on'"):
        run(dataset, "--output", tmp_path / "mixed", "--resume", "--epochs", 4, "--mixed-precision", "off")


@pytest.mark.slow
def test_xla_comes_near(dataset: str, tmp_path: Path) -> None:
    for name in ("on", "off"):
        run(dataset, "--output", tmp_path / name, *OPTIONS, "--epochs", 1, "--jit", name, "--model", "autoencoder")
    np.testing.assert_allclose(losses(tmp_path / "on"), losses(tmp_path / "off"), rtol=1e-2)

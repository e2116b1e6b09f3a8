"""Where a training begins: at the training records, or (`--from MODEL`) at another model's weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import open_dataset
from pipelines.errors import SettingError
from tests.helpers.dataset_writer import ONE_LAYER, noises, write_dataset
from vae_model.commands import train
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import TrainConfig
from vae_model.training import data
from vae_model.training.first_weights import at_data
from vae_model.training.parsed import scaled
from vae_model.vae.variational import VAE

CONFIG = DatasetConfig(AudioConfig(sample_rate=4000, segment_seconds=0.25), SpectrogramConfig(64, 64))


@pytest.mark.parametrize("value_range", ["global", "record"])
def test_principal_components_are_of_every_record_and_of_each_a_frame_later_and_earlier(
    value_range: str, tmp_path: Path
) -> None:
    count = 71  # more than are looked at at once
    dataset = open_dataset(write_dataset(tmp_path, {"train": noises(count)}, CONFIG))
    given = TrainConfig(value_range=value_range)
    still = at_data(dataset, given)
    order = data.Examples(dataset, "train").first()
    np.testing.assert_allclose(still.examples, scaled(order, still.value_range), atol=1e-6)

    three = at_data(dataset, dataclasses.replace(given, time_shift_frames=3)).examples
    assert three is not None
    whole, later, earlier = np.split(three, 3)
    np.testing.assert_array_equal(whole, still.examples)
    np.testing.assert_allclose(later[:, :, 1:], whole[:, :, :-1], atol=1e-6)
    np.testing.assert_allclose(earlier[:, :, :-1], whole[:, :, 1:], atol=1e-6)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 16 quiet sounds."""
    top = tmp_path_factory.mktemp("old")
    sounds = [0.1 * sound for sound in noises(16)]
    dataset = write_dataset(top / "dataset", {"train": sounds}, CONFIG)
    flags = [*ONE_LAYER, "--reconstruction-weight", "5000", "--epochs", "1"]
    assert train.main([dataset, "--output", str(top / "model"), *flags, "--json"]) == 0
    return top / "model"


@pytest.fixture
def louder(tmp_path: Path) -> str:
    """A dataset whose range goes beyond that of the model's."""
    return write_dataset(tmp_path / "dataset", {"train": noises(24)}, CONFIG)


def test_weights_range_and_settings_are_those_of_the_model(
    old: Path, louder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    # At such a rate, a step moves no weight by more than 1e-20; running statistics would move all the same.
    still = ["--epochs", 1, "--learning-rate", 1e-20, "--norm-momentum", 0.999999999]
    assert train.main([*map(str, [louder, "--from", old, "--output", folder, *still]), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert result["epochs"] == 1
    before, after = VAE.load(old), VAE.load(folder)
    for was, now in zip(before.model.trainable_weights, after.model.trainable_weights, strict=True):
        np.testing.assert_allclose(was.numpy(), now.numpy(), rtol=0, atol=1e-18)
    sounds = np.random.default_rng(0).uniform(0, 1, (4, 32, 16, 1)).astype(np.float32)
    np.testing.assert_allclose(before.encode(sounds)["mu"], after.encode(sounds)["mu"], atol=1e-5)
    ours, theirs = Bundle.load(folder), Bundle.load(old)
    assert ours.value_range == theirs.value_range
    assert open_dataset(louder).max_db > ours.value_range.max_db + 6
    assert ours.model.reconstruction_weight == 5000  # a preset's would be another
    assert ours.train.batch_size == theirs.train.batch_size


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--latent-space-dim", "4"], "latent_space_dim: 8 != 4"),
        (["--preset", "default"], "conv_filters"),
        (["--value-range", "record"], "value_range: 'global' != 'record'"),
    ],
)
def test_another_architecture_is_refused(flags: list[str], names: str, old: Path, louder: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with pytest.raises(SettingError, match=f"--from .* must be a model of the same architecture: .*{names}"):
        train.main([louder, "--from", str(old), "--output", str(folder), *flags])
    assert not folder.exists()


def test_what_it_starts_from_is_kept_when_no_epoch_is_better(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "dataset", {"train": noises(16), "validation": noises(8)}, CONFIG)
    command = [data, "--from", str(old), "--output", str(tmp_path / "model"), "--learning-rate", "0.05"]
    assert train.main([*command, "--epochs", "9", "--patience", "1"]) == 0
    printed = capsys.readouterr()
    assert f"{old} begins at a validation loss of" in printed.err
    assert "none since the model that it started from was better (--patience 1)" in printed.err
    assert "1 epoch trained in" in printed.out
    assert "kept is the model that it started from" in printed.out
    sounds = np.random.default_rng(0).uniform(0, 1, (4, 32, 16, 1)).astype(np.float32)
    kept = VAE.load(tmp_path / "model")
    np.testing.assert_array_equal(VAE.load(old).encode(sounds)["mu"], kept.encode(sounds)["mu"])

    assert train.main([*command, "--resume", "--epochs", "9", "--patience", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["epochs"], result["best_epoch"]) == (2, 0)
    assert Bundle.load(tmp_path / "model").metrics["val_loss"] == result["metrics"]["val_loss"]


@pytest.mark.slow
def test_what_it_starts_from_is_left_behind_by_a_better_epoch(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "dataset", {"train": noises(32), "validation": noises(8)}, CONFIG)
    assert train.main([data, "--from", str(old), "--output", str(tmp_path / "model"), "--epochs", "2", "--json"]) == 0
    printed = capsys.readouterr()
    first = float(printed.err.split("begins at a validation loss of ")[1].split()[0])
    result = json.loads(printed.out)
    assert result["best_epoch"] > 0
    assert result["metrics"]["val_loss"] < first


def test_what_is_no_model_is_refused(louder: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"must be the folder of a trained model: no bundle\.json"):
        train.main([louder, "--from", str(tmp_path), "--output", str(tmp_path / "model")])

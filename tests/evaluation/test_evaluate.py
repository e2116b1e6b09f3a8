"""The evaluate command. Every figure is computed a second time from the records, with numpy and scipy."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.config import AudioConfig
from pipelines.dataset.folder import open_dataset
from pipelines.errors import SettingError, WorkError
from tests.helpers.console import audio_vae_json
from tests.helpers.dataset_writer import noises, write_dataset
from tests.helpers.tones_model import CONFIG, SMALL, tones
from vae_model.commands import evaluate
from vae_model.evaluation import batches
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.vae.variational import VAE, build


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """90 labelled tones to train on, 30 in test and 10 in validation, 32 x 16 x 1."""
    folder = tmp_path_factory.mktemp("data") / "dataset"
    return write_dataset(folder, {"train": tones(90, 0), "validation": tones(10, 1), "test": tones(30, 2)}, CONFIG)


@pytest.fixture(scope="module")
def make_model(dataset: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Writes a model with random weights into a folder of its own."""

    def make(per_record: bool = False, **settings: Any) -> str:
        folder = tmp_path_factory.mktemp("model")
        opened = open_dataset(dataset)
        value_range = ValueRange(-70.0, 10.0, True) if per_record else ValueRange(opened.min_db, opened.max_db)
        config = ModelConfig(**SMALL, **settings)
        build(config).save(folder)
        Bundle.of(opened, config, TrainConfig(), value_range).save(folder)
        return str(folder)

    return make


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert evaluate.main([*arguments, "--json"]) == 0
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    return values


def decibels(dataset: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(spectrograms of a split in dB, whether each cell is above its record's lowest)."""
    records = list(open_dataset(dataset).records(split))
    in_db = np.stack([r.spectrogram.astype(np.float64) * (r.max_db - r.min_db) + r.min_db for r in records])
    return in_db, np.stack([record.spectrogram > 0 for record in records])


def test_the_command_s_figures_are_those_of_the_records(dataset: str, make_model: Callable[..., str]) -> None:
    folder = make_model()
    values = audio_vae_json("evaluate", folder, dataset)
    assert (values["split"], values["num_examples"], values["decode"]) == ("test", 30, "mean_z")

    opened = open_dataset(dataset)
    low, span = opened.min_db, opened.max_db - opened.min_db
    train, (tested, above) = decibels(dataset, "train")[0], decibels(dataset, "test")
    model = VAE.load(folder)
    latents = model.encode(((tested - low) / span).astype(np.float32))
    mu, variance = latents["mu"].astype(np.float64), np.exp(latents["log_variance"].astype(np.float64))

    components = np.linalg.svd((train - train.mean(axis=0)).reshape(90, -1), full_matrices=False)[2]
    pca, own = components[:8], components[: model.config.latent_space_dim]
    centred = (tested - train.mean(axis=0)).reshape(30, -1)
    answers = {
        "mean_z": model.decode(latents["mu"]) * span + low,
        "mean": np.broadcast_to(train.mean(axis=0), tested.shape),
        "pca_8": (centred @ pca.T @ pca).reshape(tested.shape) + train.mean(axis=0),
        f"pca_{len(own)}": (centred @ own.T @ own).reshape(tested.shape) + train.mean(axis=0),
    }
    given = values["baselines"] | values["reconstruction"]
    for name, answer in answers.items():
        squares = (answer - tested) ** 2
        assert given[name]["num_examples"] == 30
        assert given[name]["mse"] == pytest.approx(squares.mean() / span**2, rel=1e-3), name
        assert given[name]["rmse_db"] == pytest.approx(np.sqrt(squares.mean()), rel=1e-3), name
        assert given[name]["rmse_above_floor_db"] == pytest.approx(np.sqrt(squares[above].mean()), rel=1e-3), name
        distance = np.sqrt(squares.mean(axis=1)).mean()
        assert given[name]["log_spectral_distance_db"] == pytest.approx(distance, rel=1e-3), name
    assert given["sampled_z"]["mse"] != given["mean_z"]["mse"]
    assert values["baselines"]["num_train"] == 90
    assert list(values["baselines"]["labels"]) == ["pitch", "last"]

    kl = 0.5 * (mu**2 + variance - 1 - np.log(variance)).mean(axis=0)
    np.testing.assert_allclose(values["posterior"]["kl_per_dimension"], kl, rtol=1e-4)
    assert values["posterior"]["kl"] == pytest.approx(kl.sum(), rel=1e-4)
    assert values["posterior"]["active_units"] == np.sum(mu.var(axis=0) > 0.01)

    last = values["probes"]["labels"]["last"]
    assert (last["pca"]["num_classes"], last["pca"]["num_train"], last["pca"]["num_tested"]) == (10, 90, 30)
    assert last["pca"]["accuracy"] > 0.8  # ten tones are told apart by three components
    assert last["pca"]["majority"] == pytest.approx(0.1)
    assert 0 <= last["model"]["accuracy"] <= 1
    # `pitch` is there for two-digit numbers up to 49: 40 of 90 in training, 20 of 30 in test
    assert values["probes"]["labels"]["pitch"]["model"]["num_train"] == 40
    assert values["probes"]["labels"]["pitch"]["model"]["num_tested"] == 20

    frechet = values["frechet"]
    assert frechet["num_train"] == frechet["num_generated"] == 30
    assert 0 < frechet["train"] < frechet["reconstruction"]  # random weights answer nothing like a tone
    assert frechet["train"] < frechet["generated"]


def test_text_fits_a_screen_and_a_run_repeats(
    dataset: str, make_model: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_model(decode="sampled")
    assert evaluate.main([folder, dataset, "--split", "validation"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines()[1:])) <= 80
    for words in ("training mean", "the model, sampled z *", "mean of each pitch x last", "PCA-8", "last", "nats"):
        assert words in text
    first = run(capsys, folder, dataset)
    assert first == run(capsys, folder, dataset)
    other = run(capsys, folder, dataset, "--seed", "1")
    assert other["reconstruction"]["mean_z"] == first["reconstruction"]["mean_z"]
    assert other["reconstruction"]["sampled_z"] != first["reconstruction"]["sampled_z"]
    assert other["frechet"]["generated"] != first["frechet"]["generated"]


def test_an_autoencoder_on_each_record_s_own_range(
    dataset: str, make_model: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_model(per_record=True, kind="autoencoder")
    values = run(capsys, folder, dataset)
    assert values["posterior"] is None
    assert values["reconstruction"]["sampled_z"] is None
    records = {split: list(open_dataset(dataset).records(split)) for split in ("train", "test")}
    mean = np.mean([record.spectrogram for record in records["train"]], axis=0)
    squares = [np.mean((record.spectrogram - mean) ** 2) for record in records["test"]]
    spans = [record.max_db - record.min_db for record in records["test"]]
    assert values["baselines"]["mean"]["mse"] == pytest.approx(np.mean(squares), rel=1e-3)
    in_db = np.sqrt(np.mean(np.array(squares) * np.square(spans)))
    assert values["baselines"]["mean"]["rmse_db"] == pytest.approx(in_db, rel=1e-3)
    assert evaluate.main([folder, dataset]) == 0
    assert "nats" not in capsys.readouterr().out


def test_a_dataset_to_test_on_alone(
    tmp_path: Path, make_model: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    alone = write_dataset(tmp_path / "data", {"test": noises(5)}, dataclasses.replace(CONFIG, label_pattern=None))
    values = run(capsys, make_model(), alone)
    assert (values["baselines"], values["probes"], values["frechet"]["train"]) == (None, None, None)
    assert values["reconstruction"]["mean_z"]["num_examples"] == 5
    assert evaluate.main([values["model"], alone]) == 0
    assert "no split train" in capsys.readouterr().out


def test_what_cannot_be_measured_is_said(tmp_path: Path, dataset: str, make_model: Callable[..., str]) -> None:
    folder = make_model()
    config = dataclasses.replace(CONFIG, label_pattern=None)
    untested = write_dataset(tmp_path / "untested", {"train": noises(4)}, config)
    with pytest.raises(SettingError, match=r"--split must be named, one of train"):
        evaluate.main([folder, untested])
    with pytest.raises(SettingError, match=r"split='nope' must be one of train, validation, test"):
        evaluate.main([folder, dataset, "--split", "nope"])
    other = dataclasses.replace(config, audio=AudioConfig(sample_rate=8000, segment_seconds=0.125))
    with pytest.raises(SettingError, match=r"does not fit MODEL .* sample_rate: 8000 != 4000"):
        evaluate.main([folder, write_dataset(tmp_path / "other", {"test": noises(4)}, other)])
    with pytest.raises(SettingError, match="MODEL"):
        evaluate.main([str(tmp_path), dataset])
    damaged = shutil.copytree(dataset, tmp_path / "damaged")
    shard = next(damaged.glob("runs/*/test-00000.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-50])
    with pytest.raises(WorkError, match=r"test-00000\.tfrecord: truncated"):
        evaluate.main([folder, str(damaged)])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_model_that_has_diverged_is_said_to_have(dataset: str, make_model: Callable[..., str]) -> None:
    folder = make_model()
    model = VAE.load(folder)
    layer = model.encoder.get_layer("mu")
    layer.set_weights([np.full_like(weights, 3e38) for weights in layer.get_weights()])  # what comes out is infinite
    model.save(folder)
    with pytest.raises(WorkError, match="diverged"):
        evaluate.main([folder, dataset])


def test_what_is_fitted_is_a_bounded_even_sample(dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_dataset(dataset)
    every = [record.source for record in opened.records("train")]
    assert [record.source for record in batches.sample(opened, "train", 1000)] == every
    some = [record.source for record in batches.sample(opened, "train", 7)]
    assert len(some) == 7
    assert {int(source.removesuffix(".wav")) % 2 for source in some} == {0, 1}  # from both shards
    assert len(list(batches.sample(opened, "train", 1000, max_shards=1))) == 45
    monkeypatch.setattr(batches, "MAX_TRAINING_EXAMPLES", 10)
    training = batches.training_sample(opened, ValueRange(-80.0, 0.0))
    assert training is not None
    assert len(training) == 10

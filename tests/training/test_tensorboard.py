"""TensorBoard's files, read back by TensorBoard's own reader: curves, pictures, sounds and the projector."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from google.protobuf import text_format
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.projector import ProjectorConfig
from tensorboard.util.tensor_util import make_ndarray

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import open_dataset
from tests.helpers.dataset_writer import ONE_LAYER, noises, write_dataset
from vae_model.commands import train
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.report.figure import side_by_side
from vae_model.report.media import palette
from vae_model.training import tensorboard
from vae_model.training.event_file import EventFile
from vae_model.vae.variational import VAE

CONFIG = DatasetConfig(
    AudioConfig(sample_rate=4000, segment_seconds=0.25), SpectrogramConfig(64, 64), label_pattern=r"(?P<take>\d)\.wav"
)
PANEL = 192  # 32 bins of 6 pixels, 16 frames of 12


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """24 records of 32 x 16 x 1 to train on, 6 to validate with, of 1,000 samples each."""
    folder = tmp_path_factory.mktemp("data") / "dataset"
    return write_dataset(folder, {"train": noises(24), "validation": noises(6)}, CONFIG)


def fit(dataset: str, folder: Path, *options: object) -> Path:
    flags = [*ONE_LAYER, *map(str, options)]
    assert train.main([dataset, "--output", str(folder), *flags]) == 0
    return folder


@pytest.fixture(scope="module")
def model(dataset: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three epochs. Read only."""
    return fit(dataset, tmp_path_factory.mktemp("model") / "m", "--epochs", 3)


def events(folder: Path, run: str) -> EventAccumulator:
    reader = EventAccumulator(str(folder / "tensorboard" / run), size_guidance={"images": 0, "audio": 0, "scalars": 0})
    reader.Reload()
    return reader


def assert_curves_are_the_history(folder: Path, epochs: int) -> None:
    """Every column of history.csv but the time is a curve with a point an epoch, and there is no other curve."""
    with (folder / "history.csv").open(newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, epochs + 1))
    curves = set(rows[0]) - {"epoch", "seconds"}
    for run, prefix in (("train", ""), ("validation", "val_")):
        reader = events(folder, run)
        expected = {name for name in curves if name.startswith("val_") == bool(prefix)}
        assert {prefix + tag for tag in reader.Tags()["scalars"]} == expected
        for tag in reader.Tags()["scalars"]:
            points = reader.Scalars(tag)
            assert [point.step for point in points] == list(range(1, epochs + 1))
            values = [float(row[prefix + tag]) for row in rows]
            assert [point.value for point in points] == pytest.approx(values, rel=1e-6)


def test_curves_are_those_of_the_history(model: Path) -> None:
    assert_curves_are_the_history(model, 3)
    tags = set(events(model, "train").Tags()["scalars"])
    assert tags >= {"loss", "reconstruction_loss", "kl_loss", "learning_rate", "examples_per_second"}


def test_pictures_show_the_held_out_examples_beside_their_reconstructions(model: Path, dataset: str) -> None:
    reader = events(model, "validation")
    assert reader.Tags()["images"] == [f"spectrograms/{number}" for number in range(1, 5)]
    records = list(open_dataset(dataset).records("validation"))
    loudest = None
    for number in range(1, 5):
        (event,) = reader.Images(f"spectrograms/{number}")
        assert event.step == 3
        picture = Image.open(io.BytesIO(event.encoded_image_string))
        assert picture.format == "PNG"
        assert picture.size == (event.width, event.height) == (56 + 2 * PANEL + 24 + 72, 24 + PANEL + 24)
        # One pixel in the midst of each cell of the original's panel: brighter where the record is louder.
        cells = np.asarray(picture.convert("L"), float)[24 + 3 : 24 + PANEL : 6, 56 + 6 : 56 + PANEL : 12]
        likeness = [np.corrcoef(cells.ravel(), r.spectrogram[::-1, :, 0].ravel())[0, 1] for r in records]
        assert max(likeness) > 0.98
        assert int(np.argmax(likeness)) != loudest
        loudest = int(np.argmax(likeness))


@pytest.mark.slow
def test_sounds_have_the_data_s_rate_and_length(model: Path) -> None:
    reader = events(model, "validation")
    tags = {f"{kind}/{number}" for kind in ("originals", "reconstructions") for number in range(1, 5)}
    assert set(reader.PluginTagToContent("audio")) == tags
    for tag in tags:
        (event,) = reader.Tensors(tag)
        content = make_ndarray(event.tensor_proto)[0, 0]
        waveform, rate = soundfile.read(io.BytesIO(content), always_2d=True)
        assert (event.step, rate, waveform.shape) == (3, 4000, (1000, 1))
        assert np.abs(waveform).max() > 0


def test_the_projector_has_a_row_an_example(model: Path, dataset: str) -> None:
    folder = model / "tensorboard" / "train"
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    latents = np.loadtxt(folder / embedding.tensor_path, delimiter="\t")
    with (folder / embedding.metadata_path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert list(rows[0]) == ["split", "source", "segment", "take"]
    assert latents.shape == (30, 8)
    assert len(rows) == 30
    data, vae = open_dataset(dataset), VAE.load(model)
    for split in ("train", "validation"):
        for record in data.records(split):
            (place,) = [i for i, row in enumerate(rows) if (row["split"], row["source"]) == (split, record.source)]
            assert rows[place]["take"] == record.labels["take"]
            decibels = record.spectrogram * (record.max_db - record.min_db) + record.min_db
            scaled = (decibels - data.min_db) / (data.max_db - data.min_db)
            np.testing.assert_allclose(latents[place], vae.encode(scaled[None])["mu"][0], atol=2e-3)


@pytest.mark.slow
def test_a_resumed_run_goes_on_with_the_curves(dataset: str, tmp_path: Path) -> None:
    folder = fit(dataset, tmp_path / "m", "--epochs", 2)
    for run in ("train", "validation"):  # as if the run had been killed two epochs later, while it wrote
        killed = EventFile(folder / "tensorboard" / run, first_step=3)
        for step in (3, 4):
            killed.write_scalars(step, {"loss": -1.0, "reconstruction_loss": -1.0, "kl_loss": -1.0})
        killed.path.write_bytes(killed.path.read_bytes()[:-7])
    assert fit(dataset, folder, "--epochs", 3, "--resume") == folder
    assert_curves_are_the_history(folder, 3)
    assert [event.step for event in events(folder, "validation").Images("spectrograms/1")] == [2, 3]
    assert fit(dataset, folder, "--epochs", 3, "--resume") == folder  # nothing is left to do
    assert_curves_are_the_history(folder, 3)


@pytest.mark.slow
def test_pictures_while_it_trains_change_nothing_of_the_training(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "BUDGET", float("inf"))
    histories = {}
    for every in (0, 2):
        folder = fit(dataset, tmp_path / str(every), "--epochs", 5, "--decode", "sampled", "--media-epochs", every)
        with (folder / "history.csv").open(newline="") as file:
            histories[every] = list(csv.DictReader(file))
    best = [float(row["val_loss"]) for row in histories[2]]
    due, shown = [], 0
    for epoch, loss in enumerate(best, start=1):
        if loss == min(best[:epoch]) and epoch >= shown + 2:
            due.append(shown := epoch)
    seen = {
        every: [e.step for e in events(tmp_path / str(every), "validation").Images("spectrograms/1")]
        for every in histories
    }
    assert seen == {0: [5], 2: sorted({*due, 5})}
    for name in ("loss", "kl_loss", "val_loss"):
        first, second = ([float(row[name]) for row in histories[every]] for every in (0, 2))
        assert first == pytest.approx(second, rel=1e-4), name


@pytest.mark.slow
def test_without_validation_the_training_s_examples_are_shown(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", {"train": noises(3)}, CONFIG)
    folder = fit(data, tmp_path / "m", "--epochs", 1, "--model", "autoencoder")
    assert [path.name for path in (folder / "tensorboard").iterdir()] == ["train"]
    assert len(events(folder, "train").Tags()["images"]) == 3
    assert np.loadtxt(folder / "tensorboard" / "train" / "latents.tsv").shape == (3, 8)


def test_a_figure_has_the_colours_of_its_decibels() -> None:
    quiet, loud = np.full((64, 48, 2), -90.0), np.full((64, 48, 2), -10.0)
    loud[:32] = -50  # the lower half of the frequencies
    picture = np.asarray(side_by_side({"quiet": quiet, "loud": loud}, (-90, -10), 8000, 93))
    top, width, right = 24, 192, 56 + 192 + 24
    assert (picture[top : top + 192, 56 : 56 + width] == palette()[0]).all()
    assert (picture[top : top + 96, right : right + width] == palette()[255]).all()
    assert (picture[top + 96 : top + 192, right : right + width] == palette()[128]).all()


def test_colours_of_quiet_stereo_go_by_its_levels(tmp_path: Path) -> None:
    """Not by a coherence, which stands at 20 dB."""
    spectrogram = SpectrogramConfig(64, 64, stereo="coherence")
    config = DatasetConfig(AudioConfig(sample_rate=4000, segment_seconds=0.25, channels=2), spectrogram)
    quiet = [0.01 * sound for sound in noises(3, num_channels=2)]
    opened = open_dataset(write_dataset(tmp_path / "data", {"train": quiet}, config))
    levels = [record.log_spectrogram[..., :2].max() for record in opened.records("train")]
    assert opened.max_db > max(levels) + 20
    bundle = Bundle.of(opened, ModelConfig(input_shape=opened.record.shape), TrainConfig(), ValueRange(-80.0, 20.0))
    assert tensorboard.Exhibits(opened, "train", bundle).range_db[1] == pytest.approx(max(levels), abs=0.01)

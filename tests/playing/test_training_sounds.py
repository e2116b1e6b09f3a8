"""`sounds.parquet`: what a model folder has of its training sounds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.dataset.folder import open_dataset
from pipelines.errors import SettingError
from tests.helpers.tones_model import write_model
from vae_model.model_folder.bundle import Bundle
from vae_model.playing.studio import Studio
from vae_model.training_sounds import (
    BRIGHTNESS,
    CHARACTER,
    LENGTH,
    LEVEL,
    character_of,
    read_training_sounds,
    sounds_of_dataset,
)


def test_sounds_are_where_the_model_puts_the_records(model: str, dataset: str, studio: Studio) -> None:
    bundle = Bundle.load(model)
    found = {sound.source: sound for sound in read_training_sounds(model, bundle)}
    records = {record.source: record for record in open_dataset(dataset).records("train")}
    assert found.keys() == records.keys()
    for source, record in records.items():
        latent = studio.generator.autoencoder.means(bundle.value_range.model_input(record)[None])[0]
        np.testing.assert_allclose(found[source].latent, latent, atol=1e-5)
        assert found[source].labels == record.labels
    brightness = [found[f"{number}.wav"].character[BRIGHTNESS] for number in range(10)]
    np.testing.assert_allclose(brightness, 180 * np.arange(1, 11), atol=40)
    of_dataset = sounds_of_dataset(studio.generator.autoencoder, bundle, open_dataset(dataset))
    for stored, fresh in zip(found.values(), of_dataset, strict=True):
        assert stored.title == fresh.title
        np.testing.assert_array_equal(stored.latent, fresh.latent)
        np.testing.assert_array_equal(stored.components, fresh.components)


def test_decode_reads_them(command: Callable[..., dict[str, Any]], model: str, tmp_path: Path) -> None:
    made = command("decode", model, f"{model}/sounds.parquet", "--output", tmp_path / "out")
    assert len(made["written"]) == 40
    assert "warning" not in made or made["warning"] is None


def test_those_of_another_model_are_none(model: str, dataset: str, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", dataset)
    assert read_training_sounds(other, Bundle.load(other)) == []
    shutil.copy(Path(model, "sounds.parquet"), other)
    assert read_training_sounds(other, Bundle.load(other)) == []


def test_a_prior_learned_later_brings_them(
    command: Callable[..., dict[str, Any]], model: str, dataset: str, tmp_path: Path
) -> None:
    copied = tmp_path / "model"
    shutil.copytree(model, copied)
    Path(copied, "sounds.parquet").unlink()
    learned = [command("prior", copied, dataset, "--epochs", 1, "--width", 8) for _ in range(2)]
    assert [each["num_sounds"] for each in learned] == [40, 0]
    there, before = (read_training_sounds(str(each), Bundle.load(each)) for each in (copied, model))
    assert [sound.title for sound in there] == [sound.title for sound in before]
    np.testing.assert_array_equal(there[7].latent, before[7].latent)


def test_a_damaged_file_is_named(model: str, tmp_path: Path) -> None:
    copied = tmp_path / "model"
    shutil.copytree(model, copied)
    path = copied / "sounds.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop(["components"]), path)
    with pytest.raises(SettingError, match=r"sounds.parquet: components of each row must be 8 finite numbers"):
        read_training_sounds(str(copied), Bundle.load(copied))
    path.write_bytes(b"no table")
    with pytest.raises(SettingError, match=r"sounds.parquet must be a readable Parquet file"):
        read_training_sounds(str(copied), Bundle.load(copied))


def test_character_of_a_tone_that_ends() -> None:
    power = np.zeros((100, 50))
    power[25, :20] = 100.0  # 20 dB, a quarter of the way to 4 kHz, 20 of 50 frames
    power[25, 20:] = 1e-3  # 50 dB below: not heard
    found = character_of(power, 8000, 80)
    assert found[LENGTH] == pytest.approx(0.2)
    assert found[BRIGHTNESS] == pytest.approx(1000)
    assert found[LEVEL] == pytest.approx(10 * np.log10(100 * 0.4), abs=0.01)
    assert set(character_of(0 * power, 8000, 80)) == set(CHARACTER)
    assert np.isnan(list(character_of(0 * power, 8000, 80).values())).all()

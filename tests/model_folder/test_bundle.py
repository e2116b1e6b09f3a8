"""`bundle.json`: written, read, and held against a dataset."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import SettingError
from tests.helpers.dataset_writer import noises, write_dataset
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.presets import PRESETS
from vae_model.model_folder.value_range import ValueRange

CONFIG = DatasetConfig(AudioConfig(sample_rate=4000, segment_seconds=0.25), SpectrogramConfig(64, 64))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return open_dataset(write_dataset(tmp_path / "dataset", {"train": noises(3), "test": noises(2)}, CONFIG))


@pytest.fixture
def bundle(dataset: Dataset) -> Bundle:
    preset = PRESETS["course"]
    return Bundle.of(dataset, preset.model, preset.train, ValueRange(-70.0, 5.0))


def with_config(dataset: Dataset, **changes: object) -> Dataset:
    return dataclasses.replace(dataset, config=dataclasses.replace(dataset.config, **changes))


def test_bundle_comes_back_as_it_was_saved(bundle: Bundle, dataset: Dataset, tmp_path: Path) -> None:
    bundle.save(tmp_path)
    assert Bundle.load(tmp_path) == bundle
    values = json.loads((tmp_path / "bundle.json").read_text())
    assert values["dataset"]["fingerprint"] == dataset.fingerprint
    assert values["dataset"]["num_examples"] == {"train": 3, "test": 2}
    assert values["audio"]["sample_rate"] == 4000
    assert values["spectrogram"]["hop_length"] == 64
    assert values["value_range"] == {"min_db": -70.0, "max_db": 5.0, "per_record": False}
    assert values["versions"]["keras"].count(".") == 2


def test_dataset_of_other_settings_is_refused_with_both_values(bundle: Bundle, dataset: Dataset) -> None:
    bundle.check_fits(dataset, "m")
    other = with_config(
        dataset,
        audio=dataclasses.replace(CONFIG.audio, sample_rate=8000),
        spectrogram=dataclasses.replace(CONFIG.spectrogram, hop_length=32),
    )
    with pytest.raises(SettingError) as caught:
        bundle.check_fits(other, "m")
    assert "MODEL m" in str(caught.value)
    assert "sample_rate: 8000 != 4000" in str(caught.value)
    assert "hop_length: 32 != 64" in str(caught.value)


def test_what_does_not_change_a_spectrogram_s_meaning_may_differ(bundle: Bundle, dataset: Dataset) -> None:
    audio = dataclasses.replace(CONFIG.audio, segments="first", pad_mode="reflect", segment_hop_seconds=0.1)
    bundle.check_fits(with_config(dataset, audio=audio, dtype="uint8", split=()), "m")


def test_folder_without_a_finished_model_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"no bundle\.json"):
        Bundle.load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(SettingError, match="training has not finished"):
        Bundle.load(tmp_path)
    for text in ("{", "[]", '{"format_version": 2}', '{"format_version": 1, "audio": {}}'):
        (tmp_path / "bundle.json").write_text(text)
        with pytest.raises(SettingError, match=r"bundle\.json"):
            Bundle.load(tmp_path)


def test_range_without_extent_scales_by_one() -> None:
    assert ValueRange(-100.0, -100.0).span_db == 1.0
    assert ValueRange(-80.0, -20.0).span_db == 60.0

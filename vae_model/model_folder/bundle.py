"""`bundle.json`: what a trained model must know of its data to turn sound into latents and latents into sound."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines import store
from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import Dataset
from pipelines.dataset.records import MAX_DECIBELS
from pipelines.errors import SettingError, shortened
from pipelines.settings_file import settings_text
from pipelines.store import read_json, replacing, write_json
from pipelines.store.json_values import Value
from vae_model.model_folder.config import ModelConfig, TrainConfig, model_config, to_dict, train_config
from vae_model.model_folder.folder import BUNDLE_FILE, CONFIG_FILE, file_in
from vae_model.model_folder.prior_settings import LearnedPrior
from vae_model.model_folder.value_range import ValueRange

FORMAT_VERSION = 1
_PACKAGES = ("audio-vae", "keras", "tensorflow", "numpy", "librosa")


@dataclass(frozen=True)
class Bundle:
    """A trained model's settings and origin.

    audio, spectrogram: how its input is made from sound. labels: names of the dataset's labels. metrics: of the epoch
    that was kept. dataset: `uri`, `fingerprint`, `label_pattern` and `num_examples` a split. versions: of the packages
    it was made with. prior: what its new sounds are drawn from; None when nothing was learned of that, or not yet.
    """

    model: ModelConfig
    train: TrainConfig
    audio: AudioConfig
    spectrogram: SpectrogramConfig
    value_range: ValueRange
    labels: tuple[str, ...]
    dataset: dict[str, Any]
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: package_versions())
    prior: LearnedPrior | None = None

    @classmethod
    def of(cls, dataset: Dataset, model: ModelConfig, train: TrainConfig, value_range: ValueRange) -> Bundle:
        """The bundle of a model that is to be trained on `dataset`."""
        origin = {
            "uri": store.shown(dataset.uri),
            "fingerprint": dataset.fingerprint,
            "num_examples": {name: split.num_examples for name, split in dataset.splits.items()},
            "label_pattern": dataset.config.label_pattern,
        }
        config = dataset.config
        labels = tuple(dataset.record.labels)
        return cls(model, train, config.audio.of_every_segment, config.spectrogram, value_range, labels, origin)

    def check_fits(self, dataset: Dataset, name: str) -> None:
        """SettingError, with the values that differ, when `dataset` is not made as the data of this model (`name`) was.

        What must agree is what a spectrogram means: the audio and spectrogram settings, but not which segments of a
        file are taken and how they are padded.
        """
        audio = dataclasses.replace(
            self.audio.of_every_segment,
            segments=dataset.config.audio.segments,
            segment_hop_seconds=dataset.config.audio.segment_hop_seconds,
            pad_mode=dataset.config.audio.pad_mode,
        )
        ours = DatasetConfig(audio=audio, spectrogram=self.spectrogram)
        theirs = DatasetConfig(audio=dataset.config.audio.of_every_segment, spectrogram=dataset.config.spectrogram)
        if different := theirs.differences(ours):
            raise SettingError(f"DATASET {dataset.uri} does not fit MODEL {name}: {'; '.join(different)}")

    def to_dict(self) -> dict[str, Any]:
        """The bundle as JSON values."""
        return {
            "format_version": FORMAT_VERSION,
            "model": to_dict(self.model),
            "train": to_dict(self.train),
            "audio": self.audio.to_dict(),
            "spectrogram": self.spectrogram.to_dict(),
            "value_range": dataclasses.asdict(self.value_range),
            "labels": list(self.labels),
            "dataset": self.dataset,
            "metrics": self.metrics,
            "versions": self.versions,
            **({} if self.prior is None else {"prior": self.prior.to_dict()}),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], path: str = BUNDLE_FILE) -> Bundle:
        """The inverse of `to_dict`. SettingError naming the file, the rule and the value when it is none."""
        _check(Value(path, values))
        try:
            return cls._of_values(values)
        except SettingError as error:
            raise SettingError(f"{path}: {error}") from error

    @classmethod
    def _of_values(cls, values: dict[str, Any]) -> Bundle:
        data = DatasetConfig.from_dict({"audio": values["audio"], "spectrogram": values["spectrogram"]})
        return cls(
            model=model_config(values["model"]),
            train=train_config(values["train"]),
            audio=data.audio,
            spectrogram=data.spectrogram,
            value_range=ValueRange(**values["value_range"]),
            labels=tuple(values["labels"]),
            dataset=values["dataset"],
            metrics=values["metrics"],
            versions=values["versions"],
            prior=LearnedPrior.from_value(Value("prior", values["prior"])) if "prior" in values else None,
        )

    def save(self, folder: Path) -> None:
        """Write `bundle.json` into the folder, all at once."""
        write_json(folder / BUNDLE_FILE, self.to_dict())

    def save_config(self, folder: Path) -> None:
        """Write `config.yaml`: the settings with which `audio-vae train --config` does the same again."""
        text = "# Settings of this model's training, for: audio-vae train DATASET --output MODEL --config THIS_FILE\n\n"
        with replacing(folder / CONFIG_FILE) as partial:
            partial.write_text(text + settings_text((self.model, self.train)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> Bundle:
        """Read the bundle of the MODEL folder at a path or URI.

        SettingError when the folder holds no trained model that this version reads.
        """
        path = file_in(folder, BUNDLE_FILE)
        if not store.exists(path):
            begun = store.exists(file_in(folder, "checkpoints"))
            unfinished = "training has not finished" if begun else f"no {BUNDLE_FILE}"
            raise SettingError(f"MODEL {folder} must be the folder of a trained model: {unfinished}")
        values = read_json(path)
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise SettingError(f"{path}: format_version={shortened(version)} must be {FORMAT_VERSION}")
        return cls.from_dict(values, path)


def _check(bundle: Value) -> None:
    """SettingError for what is not of the kind that it must be; the settings look at themselves."""
    names = ("model", "train", "audio", "spectrogram", "value_range", "labels", "dataset", "metrics", "versions")
    values = bundle.object(names, optional=("format_version", "prior"))
    for name in ("model", "train", "audio", "spectrogram", "metrics"):
        values[name].object()
    value_range = values["value_range"]
    parts = value_range.object(("min_db", "max_db"), optional=("per_record",))
    low, high = (parts[name].number(-MAX_DECIBELS, MAX_DECIBELS) for name in ("min_db", "max_db"))
    value_range.require(low <= high, "a range whose min_db is at most its max_db")
    if "per_record" in parts:
        parts["per_record"].require(isinstance(parts["per_record"].value, bool), "true or false")
    for label in values["labels"].list():
        label.text()
    for version in values["versions"].object().values():
        version.text()
    origin = values["dataset"].object()
    for name in ("uri", "fingerprint"):
        if name in origin:
            origin[name].text()
    for count in origin["num_examples"].object().values() if "num_examples" in origin else ():
        count.integer()
    if "label_pattern" in origin and origin["label_pattern"].value is not None:
        origin["label_pattern"].text()


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that a result depends on."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions

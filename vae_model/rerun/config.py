"""The file of `audio-vae rerun`: what, where, and when a new model is worth it. Each key: docs/scheduling.md."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import store
from pipelines.console.durations import seconds_of
from pipelines.errors import SettingError, require, shortened
from pipelines.request import Request
from pipelines.settings import Spelling, check_settings, positive, settable, setting, suggestion, with_values
from pipelines.settings_file import read_settings
from pipelines.store.paths import local_path
from vae_model.model_folder.config import FREE, to_dict
from vae_model.model_folder.own_code import allow_import
from vae_model.model_folder.presets import Preset
from vae_model.model_folder.settings_of_file import file_settings

METRICS = ("rmse_db", "rmse_above_floor_db", "log_spectral_distance_db", "loss")
"""What two models may be compared by: the figures of `evaluate` that are in decibels, or the loss."""
STARTS = ("promoted", "scratch")
_PLACES, _RETRAIN, _PROMOTE, _COMPACT = "the places", "retrain", "promote", "compact"
_PREPROCESS, _TRAIN = "preprocess", "train"
_NEVER = "never"


@dataclass(frozen=True)
class Places:
    """What is read, and where things go. A path that isn't absolute starts at the folder of the file."""

    workspace: str = setting("", _PLACES, "folder of all that a rerun makes: state.json, and what is not named below")
    inputs: tuple[str, ...] = setting((), _PLACES, "folders, files or URIs of audio")
    dataset: str | None = setting(None, _PLACES, "dataset folder; WORKSPACE/dataset when not given")
    models: str | None = setting(None, _PLACES, "folder of the models; WORKSPACE/models when not given")
    beam: tuple[str, ...] = setting((), _PLACES, "Beam's options of preprocess, such as --runner=FlinkRunner")
    report: bool = setting(True, _PLACES, "write WORKSPACE/report.html on the promoted model")


def _is_never(value: Any) -> Any:
    return None if value == _NEVER else value


def _check_small_shards(name: str, value: int | None) -> None:
    if value is not None:
        positive("integer", int)(name, value)


@dataclass(frozen=True)
class Compact:
    """When small shards are merged into full ones."""

    small_shards: int | None = setting(
        16,
        _COMPACT,
        "merge small shards when a split has more of them than that, or never",
        spelling=Spelling(_is_never, "an integer, or never", lambda value: _NEVER if value is None else str(value)),
        check=_check_small_shards,
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class Retrain:
    """When a model is trained anew, and how."""

    min_new_examples: int = setting(
        1,
        _RETRAIN,
        "training records of new or changed files that are worth a training",
        check=positive("integer", int),
    )
    max_age: str | None = setting(None, _RETRAIN, "train after so long (12h, 7d) with any change at all")
    start: str = setting(
        "promoted", _RETRAIN, "begin at the promoted model, or from scratch with the settings of train", choices=STARTS
    )
    epochs: int = setting(
        10,
        _RETRAIN,
        "passes over the training records when going on from the promoted model",
        check=positive("integer", int),
    )
    learning_rate: float | None = setting(
        None, _RETRAIN, "Adam's step size then; that of train when not given", check=positive("number")
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.max_age is not None:
            seconds_of("max_age", self.max_age)

    @property
    def max_age_seconds(self) -> float | None:
        """max_age in seconds."""
        return None if self.max_age is None else seconds_of("max_age", self.max_age)


@dataclass(frozen=True)
class Promote:
    """When a new model takes the place of the promoted one, and what is kept."""

    split: str | None = setting(None, _PROMOTE, "held-out split; test if it has records, else validation")
    metric: str = setting("rmse_db", _PROMOTE, "what the models are compared by, less is better", choices=METRICS)
    tolerance: float = setting(0.02, _PROMOTE, "part by which the new one may be worse; below 0: must be better by")
    keep_models: int = setting(
        3, _PROMOTE, "newest models to keep, besides the promoted one", check=positive("integer", int)
    )

    def __post_init__(self) -> None:
        check_settings(self)
        require(-1 < self.tolerance < 10, "tolerance", self.tolerance, "a part such as 0.02, above -1 and below 10")


@dataclass(frozen=True)
class RerunConfig:
    """All of a file. request: what is asked of `preprocess`, but Beam's options. first: of a training from scratch."""

    path: str
    places: Places
    request: Request
    compact: Compact
    first: Preset
    retrain: Retrain
    promote: Promote

    @property
    def workspace(self) -> str:
        """The folder of state.json."""
        return self.places.workspace

    @property
    def dataset(self) -> str:
        """The dataset folder."""
        return self.request.output

    @property
    def models(self) -> str:
        """The folder that holds a MODEL folder for each training."""
        return self.places.models or store.join(self.workspace, "models")

    @property
    def report(self) -> str:
        """The page."""
        return store.join(self.workspace, "report.html")

    @property
    def settings_digest(self) -> str:
        """Names the settings of `train:` that make another model; what may change on resuming is none of them."""
        train = {name: value for name, value in to_dict(self.first.train).items() if name not in FREE}
        canonical = json.dumps([to_dict(self.first.model), train], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


def read_config(path: str) -> RerunConfig:
    """The settings in a YAML file. SettingError names the file, the key, the rule and the value; nothing is opened."""
    values = read_settings(path)
    sections: dict[str, dict[str, Any]] = {_PREPROCESS: {}, _COMPACT: {}, _TRAIN: {}, _RETRAIN: {}, _PROMOTE: {}}
    known = [*settable(Places), *sections]
    for name, value in values.items():
        if name not in known:
            raise SettingError(f"{path}: {str(name)[:80]} must be a setting{suggestion(str(name)[:80], known)}")
        if name in sections:
            if not isinstance(value or {}, dict):
                raise SettingError(f"{path}: {name}={shortened(value)} must hold settings, each a line `name: value`")
            sections[name] = value or {}
    places = _places(path, {name: value for name, value in values.items() if name not in sections})
    compact, retrain, promote = (
        with_values((kind(),), sections[name], f"{path}: {name}")[0]
        for kind, name in ((Compact, _COMPACT), (Retrain, _RETRAIN), (Promote, _PROMOTE))
    )
    first = Preset(*file_settings(sections[_TRAIN], f"{path}: {_TRAIN}"))
    if first.model.code:
        allow_import(first.model.code)  # the user's own file asks for it
    dataset = places.dataset or store.join(places.workspace, "dataset")
    request = Request.of(places.inputs, dataset, sections[_PREPROCESS], f"{path}: {_PREPROCESS}")
    return RerunConfig(path, places, request, compact, first, retrain, promote)


def _places(path: str, values: Mapping[str, Any]) -> Places:
    places: Places = with_values((Places(),), values, path)[0]
    for name in ("workspace", "inputs"):
        if not getattr(places, name):
            raise SettingError(f"{path}: {name} must be given: {settable(Places)[name].metadata['help']}")
    folder = Path(path).absolute().parent

    def found(uri: str | None) -> str | None:
        local = None if uri is None else local_path(uri)
        return uri if local is None else os.path.normpath(folder / os.path.expanduser(local))

    return dataclasses.replace(
        places,
        workspace=found(places.workspace) or "",
        inputs=tuple(found(uri) or uri for uri in places.inputs),
        dataset=found(places.dataset),
        models=found(places.models),
    )

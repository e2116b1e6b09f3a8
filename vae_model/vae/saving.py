"""A model of this package as a `.keras` file, which may come from anybody: checked as data, then read in safe mode."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras

from pipelines.errors import SettingError, WorkError
from pipelines.store import replacing
from vae_model.vae.model import AutoencoderModel
from vae_model.vae.model_file import check_model_file, code_in
from vae_model.vae.own_classes import registered_models


def save_model(model: keras.Model, path: Path) -> None:
    """Write a .keras file, all at once."""
    with replacing(path) as partial:
        model.save(partial)


def load_model(path: Path, compiled: bool = True, name: str | None = None) -> AutoencoderModel:
    """Read a .keras file in safe mode; compiled=False leaves the optimiser out. SettingError, WorkError by name.

    name: what errors call the file, where `path` is a copy of it.
    """

    name = name or str(path)
    if not path.is_file():
        raise SettingError(f"{name} must be a trained model: no such file")
    check_model_file(path, name, registered_models(code_in(path)), _optimizers(), compiled)
    try:
        model = keras.saving.load_model(path, compile=compiled, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise WorkError(f"{name} cannot be read as a Keras model: {str(error).splitlines()[0]}") from error
    if not isinstance(model, AutoencoderModel):
        raise SettingError(f"{name} must be a model of audio-vae, not a {type(model).__name__}")
    return model


def _optimizers() -> set[str]:
    found = vars(keras.optimizers).items()
    return {name for name, kind in found if isinstance(kind, type) and issubclass(kind, keras.optimizers.Optimizer)}

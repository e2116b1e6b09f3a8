"""`prior.keras`: the learned prior in a MODEL folder, read as data before Keras sees it, as `model.keras` is."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras

from pipelines.errors import SettingError, WorkError
from pipelines.store import replacing
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.folder import PRIOR_FILE, file_in, local_model
from vae_model.model_folder.prior_settings import FLOW, PriorSettings
from vae_model.prior.flow import FlowModel, count_weights
from vae_model.vae.model_file import check_file


def save_flow(model: FlowModel, folder: Path) -> None:
    """Write `prior.keras`, all at once."""
    with replacing(folder / PRIOR_FILE) as partial:
        model.save(partial)


def load_flow(folder: str, bundle: Bundle) -> FlowModel | None:
    """The flow of the MODEL folder at a path or URI, None when none was learned.

    SettingError and WorkError name the file when it isn't the one that `bundle` tells of.
    """
    if bundle.prior is None or bundle.prior.kind != FLOW:
        return None
    name = file_in(folder, PRIOR_FILE)
    with local_model(folder, [PRIOR_FILE]) as local:
        model = _read(local / PRIOR_FILE, name)
    if model.settings != bundle.prior.settings:
        raise SettingError(f"MODEL {folder}: {PRIOR_FILE} and bundle.json must be of one prior")
    return model


def _read(path: Path, name: str) -> FlowModel:
    if not path.is_file():
        raise SettingError(f"{name} must be a learned prior: no such file; audio-vae prior learns it again")
    registered = str(keras.saving.get_registered_name(FlowModel))
    check_file(path, name, {registered}, PriorSettings.from_value, count_weights)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise WorkError(f"{name} cannot be read as a Keras model: {str(error).splitlines()[0]}") from error
    if not isinstance(model, FlowModel):
        raise SettingError(f"{name} must be a prior of audio-vae, not a {type(model).__name__}")
    return model

"""A trained model read from its MODEL folder."""

from __future__ import annotations

from pipelines.errors import SettingError
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.folder import MODEL_FILE, file_in, local_model
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.saving import load_model
from vae_model.vae.variational import wrap


def load_finished(folder: str) -> tuple[Autoencoder, Bundle]:
    """The Autoencoder or VAE of the MODEL folder at a path or URI, without its optimiser, and its bundle.

    SettingError when it holds no finished model, WorkError when damaged.
    """
    bundle = Bundle.load(folder)
    with local_model(folder, [MODEL_FILE]) as local:
        model = load_model(local / MODEL_FILE, compiled=False, name=file_in(folder, MODEL_FILE))
    if model.settings != bundle.model:
        raise SettingError(f"MODEL {folder}: {MODEL_FILE} and bundle.json must be of one model")
    return wrap(model), bundle

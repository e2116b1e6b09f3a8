"""Model folders that nobody trained, made in no time."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.variational import build

RATE = 4000
CONFIG = DatasetConfig(
    AudioConfig(RATE, segment_seconds=0.25),
    SpectrogramConfig(64, 64),
    dtype="float32",
    label_pattern=r"(?P<digit>\d)\.wav",
)
DIM = 3


def write_model(folder: Path, kind: str = "vae", per_record: bool = False) -> str:
    """A MODEL folder whose decoder is far from constant."""
    config = ModelConfig(kind, (32, 16, 1), (2, 4), (3, 3), (2, 2), DIM)
    keras.utils.set_random_seed(0)  # an encoder from any other test's noise may leave the decoder nothing to tell apart
    autoencoder = build(config)
    autoencoder.decoder.get_layer("decoder_dense").kernel.assign(np.random.default_rng(0).normal(0, 2, (3, 128)))
    autoencoder.save(folder)
    Bundle(
        config, TrainConfig(), CONFIG.audio, CONFIG.spectrogram, ValueRange(-80.0, 30.0, per_record), ("digit",), {}
    ).save(folder)
    return str(folder)


class Identity(Autoencoder):
    """A model without error, so that what is heard is the way there and back."""

    def __init__(self) -> None:
        pass

    def reconstruct(self, spectrograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return spectrograms, spectrograms.reshape(len(spectrograms), -1)

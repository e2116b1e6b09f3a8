"""Labelled tones as a dataset, and a model with random weights that fits it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import open_dataset
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.vae.variational import build

CONFIG = DatasetConfig(
    AudioConfig(sample_rate=4000, segment_seconds=0.25),
    SpectrogramConfig(64, 64),
    label_pattern=r"(?P<pitch>[0-4])?(?P<last>\d)\.wav",
)
SMALL: dict[str, Any] = {
    "input_shape": (32, 16, 1),
    "conv_filters": (4, 4),
    "conv_kernels": (3, 3),
    "conv_strides": (2, 2),
    "latent_space_dim": 3,
}


def tones(count: int, seed: int) -> list[np.ndarray]:
    """Sines whose frequency goes with the last digit of their number, a little noise, each of its own level."""
    rng = np.random.default_rng(seed)
    time = np.arange(1000)[:, None] / 4000
    waves = [np.sin(2 * np.pi * 180 * (1 + i % 10) * time) + 0.01 * rng.normal(size=(1000, 1)) for i in range(count)]
    return [10 ** rng.uniform(-1.5, -0.1) * wave for wave in waves]


def write_model(folder: Path, dataset: str, **settings: Any) -> str:
    """A model with random weights that fits a dataset, and a history of three epochs."""
    opened = open_dataset(dataset)
    config = ModelConfig(**{**SMALL, "input_shape": opened.record.shape, **settings})
    model = build(config)
    batch = np.stack([record.spectrogram for record in opened.records("train")])
    model.fit_latent_distribution(batch)
    model.save(folder)
    posterior = {"verdict": "healthy", "advice": "", "kl_per_dimension": [2.0, 0.5, 1.0]}
    metrics = {"epochs": 3, "best_epoch": 2, "train_seconds": 1.5}
    if config.kind == "vae":
        metrics["posterior"] = {**posterior, "active_units": 3, "latent_space_dim": 3}
    bundle = Bundle.of(opened, config, TrainConfig(), ValueRange(opened.min_db, opened.max_db))
    dataclasses.replace(bundle, metrics=metrics).save(folder)
    columns = "epoch,loss,reconstruction_loss,kl_loss,val_loss,val_reconstruction_loss,val_kl_loss\n"
    rows = "".join(f"{i},{90 / i},{0.1 / i},{i},{80 / i},{0.09 / i},{i}\n" for i in (1, 2, 3))
    (folder / "history.csv").write_text(columns + rows)
    return str(folder)

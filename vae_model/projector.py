"""The latents of a trained model for TensorBoard's projector: a point an example, with its origin and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.plugins import projector

from pipelines.dataset import Dataset
from pipelines.records import LABEL_PREFIX
from vae_model import data
from vae_model.autoencoder import Autoencoder
from vae_model.bundle import ValueRange
from vae_model.files import replacing

MAX_POINTS = 2000
LATENTS_FILE = "latents.tsv"
METADATA_FILE = "metadata.tsv"


def write_projector(
    folder: Path, autoencoder: Autoencoder, dataset: Dataset, value_range: ValueRange, splits: list[str]
) -> int:
    """Write the latents (mu of a VAE) of up to MAX_POINTS examples into a folder; returns how many.

    splits: where the examples are from; each but the last gives an equal part at most, the last fills up. Two files,
    a row an example: `latents.tsv` and `metadata.tsv` with split, source, segment and every label. With them
    `projector_config.pbtxt`, by which TensorBoard finds both.
    """
    names = list(dataset.record.labels)
    latents: list[NDArray[np.float32]] = []
    rows = [["split", "source", "segment", *names]]
    for number, split in enumerate(splits, start=1):
        wanted = MAX_POINTS // len(splits) if number < len(splits) else MAX_POINTS - (len(rows) - 1)
        examples = data.first_examples(dataset, split, wanted)
        encoded = autoencoder.encode(data.scaled(examples, value_range))
        latents.append(encoded.get("mu", encoded["z"]))
        columns = [examples["source"], examples["segment"], *(examples[LABEL_PREFIX + name] for name in names)]
        rows += [[split, *map(_cell, row)] for row in zip(*columns, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / LATENTS_FILE) as partial:
        np.savetxt(partial, np.concatenate(latents), fmt="%.6g", delimiter="\t")
    with replacing(folder / METADATA_FILE) as partial:
        partial.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    config = projector.ProjectorConfig()
    config.embeddings.add(tensor_name="latents", tensor_path=LATENTS_FILE, metadata_path=METADATA_FILE)
    projector.visualize_embeddings(str(folder), config)
    return len(rows) - 1


def _cell(value: Any) -> str:
    """A value as text of one line without tabs."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return " ".join(text.split())

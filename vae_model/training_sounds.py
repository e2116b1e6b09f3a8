"""Some of a model's training sounds, in its folder: where they lie among the latents, and what they are like."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines import store
from pipelines.audio.features import LogMelExtractor, has_sound
from pipelines.config import TRAIN
from pipelines.dataset.folder import Dataset
from pipelines.dataset.records import LABEL_PREFIX, Record
from pipelines.errors import SettingError
from pipelines.store import replacing
from vae_model.evaluation.batches import chunks, sample
from vae_model.evaluation.recognising import pooled
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import latent_names
from vae_model.model_folder.folder import MODEL_FILE, SOUNDS_FILE, file_in, local_model
from vae_model.model_folder.value_range import ValueRange
from vae_model.sound.inverter import Inverter
from vae_model.sound.latent_table import LatentFile, schema, to_table
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.model_file import weights_digest

MAX_SOUNDS = 400
"""So many are kept at most: 0.2 MB with 128 latents."""
_MAX_SHARDS = 8
_LENGTH_DB = 40.0
"""A sound lasts from the first to the last frame that is not so far below its loudest."""
_TEXT = 300
LEVEL, BRIGHTNESS, LENGTH = "level_db", "brightness_hz", "length_seconds"
CHARACTER = (LEVEL, BRIGHTNESS, LENGTH)
"""What is measured of each: mean level, spectral centroid, duration."""
COMPONENTS = 8
_COMPONENTS = "components"


@dataclass(frozen=True)
class TrainingSound:
    """A sound's place and kind.

    latent: (latent_space_dim,). components: float32 (COMPONENTS,), how far what the model makes of it lies along the
    principal components of what it makes of all of them. character: by CHARACTER, NaN where it is not known.
    """

    source: str
    start_seconds: float
    latent: NDArray[np.float32]
    value_range: ValueRange
    labels: dict[str, str]
    components: NDArray[np.float32]
    character: dict[str, float]

    @property
    def title(self) -> str:
        """Its source, and where it begins in it if that is not at the start."""
        return f"{self.source}, {self.start_seconds:.4g} s" if self.start_seconds else self.source


def write_training_sounds(
    folder: Path,
    autoencoder: Autoencoder,
    bundle: Bundle,
    dataset: Dataset,
    split: str = TRAIN,
    model: str | None = None,
) -> int:
    """Write `sounds.parquet` into a folder: as `encode` does, with more columns. Returns how many sounds.

    model: the MODEL folder at a path or URI that has the autoencoder's `model.keras`; `folder` unless given.
    """
    model = str(folder) if model is None else model
    with local_model(model, [MODEL_FILE]) as local:
        digest = weights_digest(local / MODEL_FILE, file_in(model, MODEL_FILE))
    table = _table(autoencoder, bundle, dataset, split, digest)
    with replacing(folder / SOUNDS_FILE) as partial:
        pq.write_table(table, partial)
    return len(table)


def read_training_sounds(folder: str, bundle: Bundle) -> list[TrainingSound]:
    """The sounds in the MODEL folder at a path or URI; none where it has none, or those of another model.

    SettingError and WorkError name a file that is not what it must be.
    """
    if not store.exists(file_in(folder, SOUNDS_FILE)):
        return []
    with local_model(folder, [MODEL_FILE, SOUNDS_FILE]) as local:
        name = latent_names(bundle.model)[0]
        file = LatentFile(str(local / SOUNDS_FILE), name, bundle.model.latent_space_dim)
        if file.model != weights_digest(local / MODEL_FILE, file_in(folder, MODEL_FILE)):
            return []
        found: list[TrainingSound] = []
        for part in file.batches(_columns(bundle)):
            found += [_sound(row, latent, bundle) for row, latent in zip(part.rows, part.values, strict=True)]
            if len(found) >= MAX_SOUNDS:
                break
        return found[:MAX_SOUNDS]


def sounds_of_dataset(
    autoencoder: Autoencoder, bundle: Bundle, dataset: Dataset, split: str = TRAIN
) -> list[TrainingSound]:
    """The same of a dataset's split. SettingError when it is made as the model's was not, or has no such records."""
    if not dataset.count(split):
        raise SettingError(f"DATASET {dataset.uri} must hold records in its split {split}, it has none")
    table = _table(autoencoder, bundle, dataset, split, "")
    latents = np.array(table[latent_names(bundle.model)[0]].to_pylist(), np.float32)
    return [_sound(row, latent, bundle) for row, latent in zip(table.to_pylist(), latents, strict=True)]


def character_of(power: NDArray[np.float64], sample_rate: int, hop_length: int) -> dict[str, float]:
    """Mean level in dB, centroid in Hz and duration in seconds, of a spectrogram's power (n_bins, n_frames)."""
    of_frames = power.sum(axis=0)
    total = of_frames.sum()
    if total <= 0:
        return dict.fromkeys(CHARACTER, math.nan)
    hz = np.arange(len(power)) * sample_rate / 2 / len(power)
    heard = np.flatnonzero(of_frames >= of_frames.max() * 10 ** (-_LENGTH_DB / 10))
    return {
        LEVEL: float(10 * np.log10(of_frames.mean())),
        BRIGHTNESS: float(hz @ power.sum(axis=1) / total),
        LENGTH: float(heard[-1] + 1 - heard[0]) * hop_length / sample_rate,
    }


def components_of(autoencoder: Autoencoder, latents: NDArray[np.float32]) -> NDArray[np.float32]:
    """The principal components of what is decoded from latents (count, dim), largest first.

    Float32 (count, COMPONENTS), 0 where there are fewer. Sounds are taken as `pooled` has them.
    """
    values = np.concatenate([pooled(autoencoder.decode(latents[rows])) for rows in chunks(range(len(latents)))])
    values -= values.mean(axis=0)
    squares, vectors = np.linalg.eigh((values @ values.T).astype(np.float64))  # few sounds, many values
    components = (vectors * np.sqrt(np.maximum(squares, 0)))[:, ::-1][:, :COMPONENTS]
    return np.pad(components, [(0, 0), (0, COMPONENTS - components.shape[1])]).astype(np.float32)


def _table(autoencoder: Autoencoder, bundle: Bundle, dataset: Dataset, split: str, digest: str) -> pa.Table:
    """The rows of up to MAX_SOUNDS records, evenly picked."""
    name = latent_names(bundle.model)[0]
    wanted = schema([name], bundle.model.latent_space_dim, list(dataset.record.labels), digest)
    measure = _Measure(bundle) if has_sound(bundle.audio, bundle.spectrogram) else None
    parts = []
    for records in chunks(sample(dataset, split, MAX_SOUNDS, _MAX_SHARDS)):
        batch = np.stack([np.clip(bundle.value_range.model_input(record), 0.0, 1.0) for record in records])
        part = to_table(records, {name: autoencoder.means(batch)}, wanted)
        found = [measure(record) if measure else dict.fromkeys(CHARACTER, math.nan) for record in records]
        for column in CHARACTER:
            part = part.append_column(column, pa.array([each[column] for each in found], pa.float32()))
        parts.append(part)
    table = pa.concat_tables(parts)
    components = components_of(autoencoder, np.array(table[name].to_pylist(), np.float32))
    flat = pa.FixedSizeListArray.from_arrays(pa.array(components.ravel()), COMPONENTS)
    return table.append_column(_COMPONENTS, flat)


class _Measure:
    """The character of records of a model's settings."""

    def __init__(self, bundle: Bundle) -> None:
        self._inverter = Inverter(bundle.audio, bundle.spectrogram)
        self._rate, self._hop = bundle.audio.sample_rate, bundle.spectrogram.hop_length

    def __call__(self, record: Record) -> dict[str, float]:
        decibels = record.log_spectrogram[:, : max(record.valid_frames, 1)]
        return character_of(self._power(decibels).sum(axis=2), self._rate, self._hop)

    def _power(self, decibels: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n_bins, n_frames, n_channels)."""
        levels = getattr(self._inverter.extractor, "extractor", self._inverter.extractor)  # of a StereoExtractor
        if isinstance(levels, LogMelExtractor):  # each band spread over its bins: `invert` takes far longer
            bands = np.power(10.0, decibels[..., : self._inverter.audio.channels].astype(np.float64) / 10)
            return levels.spread(bands / levels.filters.sum(axis=1)[:, None, None]).astype(np.float64)
        return np.power(10.0, self._inverter.to_linear(decibels).astype(np.float64) / 10)


def _columns(bundle: Bundle) -> list[str]:
    return [
        "source",
        "start_seconds",
        "min_db",
        "max_db",
        _COMPONENTS,
        *CHARACTER,
        *(LABEL_PREFIX + name for name in bundle.labels),
    ]


def _sound(row: dict[str, Any], latent: NDArray[np.float32], bundle: Bundle) -> TrainingSound:
    low, high = _number(row.get("min_db")), _number(row.get("max_db"))
    known = math.isfinite(low) and math.isfinite(high) and low <= high
    start = _number(row.get("start_seconds"))
    return TrainingSound(
        source=str(row.get("source", ""))[:_TEXT],
        start_seconds=start if math.isfinite(start) else 0.0,
        latent=latent,
        value_range=bundle.value_range.of_levels(low, high) if known else bundle.value_range,
        labels={name: str(row.get(LABEL_PREFIX + name) or "")[:_TEXT] for name in bundle.labels},
        components=_components(row.get(_COMPONENTS)),
        character={name: _number(row.get(name)) for name in CHARACTER},
    )


def _components(value: Any) -> NDArray[np.float32]:
    numbers = [_number(each) for each in value] if isinstance(value, list) else []
    if len(numbers) != COMPONENTS or not all(map(math.isfinite, numbers)):
        raise SettingError(f"{SOUNDS_FILE}: {_COMPONENTS} of each row must be {COMPONENTS} finite numbers")
    return np.array(numbers, np.float32)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan

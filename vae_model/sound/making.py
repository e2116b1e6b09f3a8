"""Sounds made of latents, each into a WAV file: those on the way from one to another, those of a table."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import SettingError, require
from pipelines.store.paths import Place
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import NO_CHANGE, PHASES, latent_names
from vae_model.model_folder.folder import MODEL_FILE, file_in, local_model
from vae_model.model_folder.outputs import Output, output_folder
from vae_model.model_folder.value_range import ValueRange
from vae_model.runtime import prepare
from vae_model.sound.wav import WavFile, require_normalisation, write_sounds

if TYPE_CHECKING:
    from vae_model.sound.generator import SoundGenerator
    from vae_model.sound.latent_table import LatentFile

_RANGE = ("min_db", "max_db")
_SOURCE = ("source", "segment")


@dataclass(frozen=True)
class Interpolated:
    """Sounds on the way. method: flow, slerp or lerp."""

    sample_rate: int
    method: str
    phase: str
    written: tuple[WavFile, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        values = {"sample_rate": self.sample_rate, "method": self.method, "phase": self.phase}
        return values | {"written": [file.to_dict() for file in self.written]}


@dataclass(frozen=True)
class Decoded:
    """The sounds of latents in a table. warning: such as that another model encoded them."""

    sample_rate: int
    phase: str
    written: tuple[WavFile, ...]
    warning: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        values: dict[str, Any] = {"sample_rate": self.sample_rate, "phase": self.phase}
        values |= {} if self.warning is None else {"warning": self.warning}
        return values | {"written": [file.to_dict() for file in self.written]}


def interpolate(
    model: Place,
    a: Place,
    b: Place,
    output: Place,
    *,
    steps: int = 8,
    method: str | None = None,
    phase: str = PHASES[0],
    normalise: str = NO_CHANGE,
) -> Interpolated:
    """Write sounds on the way from the beginning of one audio file to that of another: `audio-vae interpolate`.

    The files are interpolated-00001.wav and so on, `steps` of them with both ends. method: flow, through the learned
    prior, so that what lies between are sounds too; slerp, along an arc around 0; or lerp, a straight line. Not given:
    flow for a model with a learned prior, else slerp for a VAE and lerp for an autoencoder. SourceError when a file
    can't be used. The others are those of `generate`.

    >>> way = interpolate(model, sounds / "tone_00.wav", sounds / "tone_11.wav", folder / "way", steps=3)
    >>> way.method, [file.about["t"] for file in way.written]
    ('slerp', [0.0, 0.5, 1.0])
    """
    model = os.fspath(model)
    require(steps > 1, "--steps", steps, "at least 2, the sounds at both ends")
    require_normalisation(normalise)
    bundle = Bundle.load(model)  # mistakes show before TensorFlow's seconds of loading
    prepare()
    from vae_model.sound import latents
    from vae_model.sound.generator import SoundGenerator

    ways = (latents.FLOW, latents.SLERP, latents.LERP)
    require(method is None or method in ways, "--method", method, " or ".join(ways))
    generator = SoundGenerator.load(model, phase=phase)
    way = method or latents.way_of(generator)
    (first, first_range), (last, last_range) = (latents.of_file(generator, os.fspath(uri)) for uri in (a, b))
    parts = np.linspace(0.0, 1.0, steps)
    ranges = [latents.range_between(first_range, last_range, t) for t in parts.tolist()]
    waveforms = generator.decode(latents.on_the_way(generator, first, last, parts, way), ranges)
    about = [{"t": t} for t in parts.tolist()]
    with output_folder(os.fspath(output)) as folder:
        written = write_sounds(folder, "interpolated", waveforms, bundle.audio.sample_rate, steps, about, normalise)
    return Interpolated(bundle.audio.sample_rate, way, phase, written)


def decode(
    model: Place,
    parquet: Place,
    output: Place,
    *,
    column: str | None = None,
    phase: str = PHASES[0],
    normalise: str = NO_CHANGE,
) -> Decoded:
    """Write a sound of one segment for each row of a Parquet file of latents: `audio-vae decode`.

    parquet: as `encode` or any other program writes it, with a column of lists with as many numbers as the model's
    latents have. column: that column, mu unless given, of an autoencoder z. The files are decoded-00001.wav and so on.
    The others are those of `generate`. SettingError names a row that is no latent. The result has a warning when the
    file says that another model encoded them.

    >>> import pyarrow as pa, pyarrow.parquet as pq
    >>> pq.write_table(pa.table({"mu": [[0.0] * 3, [1.0] * 3]}), folder / "two.parquet")
    >>> [file.num_samples for file in decode(model, folder / "two.parquet", folder / "decoded").written]
    [16320, 16320]
    """
    model = os.fspath(model)
    require_normalisation(normalise)
    bundle = Bundle.load(model)  # mistakes show before TensorFlow's seconds of loading
    from vae_model.sound.latent_table import LatentFile

    wanted = column or latent_names(bundle.model)[0]
    latents = LatentFile(os.fspath(parquet), wanted, bundle.model.latent_space_dim)
    with output_folder(os.fspath(output)) as folder:
        written = _write_decoded(model, phase, normalise, latents, folder)
    return Decoded(bundle.audio.sample_rate, phase, written, _warning_of_another_model(model, latents))


def _warning_of_another_model(model: str, latents: LatentFile) -> str | None:
    if latents.model is None:
        return None
    from vae_model.vae.model_file import weights_digest

    with local_model(model, [MODEL_FILE]) as local:
        if latents.model == weights_digest(local / MODEL_FILE, file_in(model, MODEL_FILE)):
            return None
    return (
        f"PARQUET {latents.path} holds latents of another model than MODEL {model}: what is heard is not those sounds"
    )


def _write_decoded(model: str, phase: str, normalise: str, latents: LatentFile, output: Output) -> tuple[WavFile, ...]:
    prepare()
    from vae_model.sound.generator import SoundGenerator

    generator = SoundGenerator.load(model, phase=phase)
    about: list[dict[str, Any]] = []
    rate = generator.bundle.audio.sample_rate
    sounds = _waveforms(generator, latents, about)
    return write_sounds(output, "decoded", sounds, rate, latents.num_rows, about, normalise)


def _waveforms(
    generator: SoundGenerator, latents: LatentFile, about: list[dict[str, Any]]
) -> Iterator[NDArray[np.float32]]:
    """The sound of each row; what the row tells of its source goes into `about`."""
    value_range = generator.bundle.value_range
    for part in latents.batches((*_SOURCE, *_RANGE)):
        about += [{name: row[name] for name in _SOURCE if name in row} for row in part.rows]
        ranges = [_range(row, value_range) for row in part.rows] if value_range.per_record else None
        yield from generator.decode(part.values, ranges)


def _range(row: dict[str, Any], typical: ValueRange) -> ValueRange:
    """What 0 and 1 stand for in a row: its own levels, the typical ones where it has none."""
    low, high = (row.get(name) for name in _RANGE)
    if low is None or high is None:
        return typical
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise SettingError(f"min_db={low} and max_db={high} of a row must be finite numbers of decibels, in this order")
    return ValueRange(low, high, per_record=True)

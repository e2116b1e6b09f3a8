"""Latents to make sounds of: drawn from N(0, I) or a dataset's sounds, or on the way from one sound to another."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.loading import iter_segments
from pipelines.dataset.records import Record
from pipelines.errors import SettingError
from vae_model.model_folder.value_range import ValueRange
from vae_model.sound.generator import SoundGenerator
from vae_model.vae.autoencoder import Autoencoder

LERP = "lerp"
SLERP = "slerp"
FLOW = "flow"
_PARALLEL = 1e-4  # radians: from here on an arc is a straight line in float32


def standard_normal(autoencoder: Autoencoder, count: int, seed: int) -> NDArray[np.float32]:
    """Latents (count, latent_space_dim) from N(0, I). SettingError for an autoencoder, which knows nothing of it."""
    if not autoencoder.config.is_vae:
        raise SettingError("--from standard-normal must be of a VAE: an autoencoder's latents lie anywhere")
    noise = np.random.default_rng(seed).standard_normal((count, autoencoder.config.latent_space_dim))
    return noise.astype(np.float32)


def pick(records: Iterable[Record], labels: dict[str, str], count: int, seed: int) -> list[Record]:
    """`count` records drawn with replacement from those that have all the labels, in one pass.

    SettingError when there is none, or no label of such a name.
    """
    rng = np.random.default_rng(seed)
    picked: list[Record] = []
    seen = 0
    for record in records:
        for name in labels:
            if name not in record.labels:
                has = ", ".join(record.labels) or "none"
                raise SettingError(f"--label {name}={labels[name]} must name a label of the dataset, it has {has}")
        if all(record.labels[name] == value for name, value in labels.items()):
            seen += 1
            # the n-th takes each place with probability 1 / n: all that came are equally likely to be there
            chosen = np.flatnonzero(rng.random(count) < 1 / seen)
            picked = [record] * count if seen == 1 else picked
            for place in chosen:
                picked[place] = record
    if not picked:
        wanted = " and ".join(f"{name}={value}" for name, value in labels.items())
        raise SettingError(f"--label {wanted} must be of some record of the split, it is of none")
    return picked


def from_records(
    generator: SoundGenerator, records: list[Record], seed: int
) -> tuple[NDArray[np.float32], list[ValueRange]]:
    """Latents (count, latent_space_dim), one from each record's posterior, and what 0 and 1 stand for in each.

    An autoencoder has no posterior but the latent itself.
    """
    autoencoder, value_range = generator.autoencoder, generator.bundle.value_range
    inputs = np.stack([np.clip(value_range.model_input(record), 0.0, 1.0) for record in records])
    ranges = [value_range.of_record(record) for record in records]
    return autoencoder.draw(inputs, np.random.default_rng([seed, 1])), ranges


def of_file(generator: SoundGenerator, uri: str) -> tuple[NDArray[np.float32], ValueRange]:
    """The latent (latent_space_dim,) of a file's first segment, mu or z, and what 0 and 1 stand for in it.

    SourceError when the file can't be used.
    """
    segment = next(iter_segments(uri, generator.bundle.audio))
    spectrogram, value_range = generator.normalise(segment.samples)
    return generator.autoencoder.means(spectrogram[None])[0], value_range


def way_of(generator: SoundGenerator) -> str:
    """How to go between the latents of a model: flow where it has learned a prior, else slerp where they lie about 0 as
    N(0, I) does, else lerp."""
    if generator.prior is not None:
        return FLOW
    return SLERP if generator.autoencoder.config.is_vae else LERP


def on_the_way(
    generator: SoundGenerator, a: NDArray[np.float32], b: NDArray[np.float32], parts: NDArray[np.float64], method: str
) -> NDArray[np.float32]:
    """Latents as of `between`; with flow they stay among those of sounds.

    flow: both are led towards noise by the learned prior, and what lies between them there, along the arc, is led forth
    again. SettingError when the model has no learned prior.
    """
    if method != FLOW:
        return between(a, b, parts, method)
    if generator.prior is None:
        raise SettingError("--method flow must be of a model with a learned prior: audio-vae prior MODEL DATASET")
    first, last = generator.prior.back(np.stack([a, b]))
    latents = generator.prior.forth(between(first, last, parts, SLERP))
    latents[parts == 0], latents[parts == 1] = a, b  # which the way there and back leaves by a rounding
    return latents


def between(
    a: NDArray[np.float32], b: NDArray[np.float32], parts: NDArray[np.float64], method: str
) -> NDArray[np.float32]:
    """Latents (count, dim) on the way from a to b, each (dim,): at 0 it is a, at 1 b.

    lerp: (1 - t) a + t b. slerp: sin((1 - t) w) / sin w a + sin(t w) / sin w b with the angle w between them as seen
    from 0, Shoemake, doi:10.1145/325165.325242; for latents: White, arXiv:1609.04468. It is lerp where a and b are
    parallel.
    """
    t = parts[:, None]
    of_a, of_b = 1 - t, t
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    if method == SLERP and lengths > 0:
        angle = float(np.arccos(np.clip(np.dot(a.astype(np.float64), b) / lengths, -1.0, 1.0)))
        if _PARALLEL < angle < np.pi - _PARALLEL:
            of_a, of_b = (np.sin(part * angle) / np.sin(angle) for part in (of_a, of_b))
    return (of_a * a + of_b * b).astype(np.float32)


def range_between(a: ValueRange, b: ValueRange, t: float) -> ValueRange:
    """What 0 and 1 stand for on the way: at 0 as in a, at 1 as in b."""
    if a == b:  # rounding would give almost the same
        return a
    low, high = ((1 - t) * x + t * y for x, y in ((a.min_db, b.min_db), (a.max_db, b.max_db)))
    return ValueRange(low, high, a.per_record)

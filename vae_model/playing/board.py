"""The map to play on: points of sounds, their colours, and the sound where it is touched."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import SettingError
from vae_model.model_folder.value_range import ValueRange
from vae_model.playing.directions import Directions, told_of
from vae_model.playing.heard import stem_of
from vae_model.report.sound_map import legend
from vae_model.sound import latents
from vae_model.sound.generator import SoundGenerator
from vae_model.training_sounds import TrainingSound, components_of

NUM_DRAWN = 200
"""Sounds on the map of a model that has none of its training sounds with it: new ones."""
_MOST = 3
"""Sounds that a place between points is made of."""


@dataclass(frozen=True)
class Touch:
    """Where a map was touched: shares of sounds by number, together 1; none before the first touch.

    settled: whether it is meant to stay, and is not only passed by on the way.
    """

    shares: tuple[tuple[int, float], ...] = ()
    settled: bool = True

    @classmethod
    def of_json(cls, text: str | None, count: int) -> Touch:
        """What the page's script says of a map of `count` sounds. SettingError when it is anything else."""
        if not text:
            return cls()
        try:
            values = json.loads(text)
            shares = tuple((int(number), float(share)) for number, share in values["shares"])
            settled = bool(values["settled"])
        except (ValueError, TypeError, KeyError) as error:
            raise SettingError("a touch of the map must be JSON with shares and settled") from error
        total = sum(share for _, share in shares)
        if len(shares) > _MOST or not all(0 <= number < count and share > 0 for number, share in shares):
            raise SettingError(f"a touch of the map must be of 1 to {_MOST} of its {count} sounds, with shares above 0")
        if shares and not (math.isfinite(total) and total > 0):
            raise SettingError("the shares of a touch of the map must be finite")
        return cls(tuple((number, share / total) for number, share in shares), settled)


def sounds_drawn(generator: SoundGenerator) -> list[TrainingSound]:
    """New sounds for the map of a model without its training sounds."""
    drawn = generator.draw(NUM_DRAWN, 0)
    ranges = drawn.ranges(generator.bundle.value_range)
    components = components_of(generator.autoencoder, drawn.latents)
    kinds = zip(drawn.latents, ranges, drawn.labels, components, strict=True)
    return [TrainingSound(f"new {number}", 0.0, *kind, {}) for number, kind in enumerate(kinds, start=1)]


def points_of(sounds: Sequence[TrainingSound], generator: SoundGenerator) -> NDArray[np.float32]:
    """Where sounds are mixed, (count, dim): led to noise by the learned prior where there is one, else the latents."""
    points = np.stack([sound.latent for sound in sounds])
    return points if generator.prior is None else generator.prior.back(points)


def blend(
    sounds: Sequence[TrainingSound], touch: Touch, points: NDArray[np.float32], generator: SoundGenerator
) -> tuple[NDArray[np.float32], ValueRange]:
    """The latent between sounds, on the way that `interpolate` takes, and what 0 and 1 stand for in it.

    points: as of `points_of`. Of three sounds it lies between the third and what is between the other two.
    """
    way = latents.way_of(generator) if generator.prior is None else latents.SLERP
    (first, so_far), *others = touch.shares
    value_range = sounds[first].value_range
    if not others:
        return sounds[first].latent, value_range
    point = points[first]
    for number, share in others:
        so_far += share
        part = share / so_far
        point = latents.between(point, points[number], np.array([part]), way)[0]
        value_range = latents.range_between(value_range, sounds[number].value_range, part)
    return generator.prior.forth(point[None])[0] if generator.prior is not None else point, value_range


def name_of(sounds: Sequence[TrainingSound], touch: Touch) -> str:
    """The sounds that were touched, with their shares."""
    names = [_short(sounds[number]) for number, _ in touch.shares]
    if len(names) == 1:
        return names[0]
    return ", ".join(f"{name} {share:.0%}" for name, (_, share) in zip(names, touch.shares, strict=True))


def _short(sound: TrainingSound) -> str:
    start = f" {sound.start_seconds:.4g} s" if sound.start_seconds else ""
    return stem_of(sound.source) + start


def for_page(sounds: Sequence[TrainingSound], directions: Directions) -> dict[str, Any]:
    """What the page's script draws: titles, places, colours by label, and what grows to the right and upwards.

    A place is the rank along the first direction and that along the second, from 0 to 1, so that sounds are everywhere.
    """
    along = directions.amounts(np.stack([sound.latent for sound in sounds]))
    ranks = np.argsort(np.argsort(along, axis=0, kind="stable"), axis=0) / max(1, len(sounds) - 1)
    places = np.pad(ranks[:, :2], [(0, 0), (0, max(0, 2 - ranks.shape[1]))])
    names = list(sounds[0].labels)
    told = [", ".join(f"{name} {value}" for name, value in sound.labels.items() if value) for sound in sounds]
    legends = [legend(name, [sound.labels.get(name, "") for sound in sounds]) for name in names]
    return {
        "titles": [sound.title for sound in sounds],
        "labels": told,
        "places": places.round(4).tolist(),
        "legends": [
            {"label": each.label, "classes": list(each.classes.items()), "of": list(each.class_of_point)}
            for each in legends
            if len(each.classes) > 1
        ],
        "axes": [f"Direction {number}{told_of(changes)}" for number, changes in enumerate(directions.changes[:2], 1)],
    }

"""The bundle of a model that was trained on arrays, which say little of the sounds that they were made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipelines.dataset.array_settings import settings_of_shape
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.value_range import ValueRange

Bounds = ValueRange | Mapping[str, Any]
"""What 0 and 1 stand for in one spectrogram, as the course has it too: `{"min": …, "max": …}` in decibels."""
TYPICAL = ValueRange(-58.3, 21.7, per_record=True)
"""The medians over FSDD's recordings with the settings of the course."""


def bounds_of(value: Bounds) -> ValueRange:
    """One range of the two ways to give it."""
    if isinstance(value, ValueRange):
        return value
    return ValueRange(float(value["min"]), float(value["max"]), per_record=True)


def typical_range(ranges: Iterable[Bounds]) -> ValueRange:
    """The medians of ranges, for sounds that come from no record; TYPICAL when there are none."""
    pairs = [(bounds.min_db, bounds.max_db) for bounds in map(bounds_of, ranges)]
    if not pairs:
        return TYPICAL
    low, high = np.median(pairs, axis=0)
    return ValueRange(float(low), float(high), per_record=True)


def bundle_of_arrays(
    model: ModelConfig, sample_rate: int | None = None, hop_length: int | None = None, ranges: Iterable[Bounds] = ()
) -> Bundle:
    """The bundle of a model whose arrays were each normalised to their own range, `ranges` where these are known.

    sample_rate, hop_length: as of `settings_of_shape`.
    """
    audio, spectrogram = settings_of_shape(model.input_shape, sample_rate, hop_length)
    train = dataclasses.replace(TrainConfig(), value_range="record")
    return Bundle(model, train, audio, spectrogram, typical_range(ranges), (), {"num_examples": {}})

"""Where the error of a sound that was made of a record lies: its phases, the record itself, or the model; in dB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.spectrogram import LogSpectrogramExtractor
from vae_model.sound.inverter import Inverter

HEARD_DB = 60.0
"""Cells farther under the loudest one are not counted: nobody hears them."""


def rms_db(of: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How far levels (n_bins, n_frames, n_channels) are from others, RMS, where one of the two can be heard."""
    frames = min(of.shape[1], other.shape[1])
    of, other = of[:, :frames].astype(np.float64), other[:, :frames].astype(np.float64)
    floor = max(of.max(), other.max()) - HEARD_DB
    of, other = np.maximum(of, floor), np.maximum(other, floor)
    heard = (of > floor) | (other > floor)
    return float(np.sqrt(np.square(of - other)[heard].mean())) if heard.any() else 0.0


def phase_db(inverter: Inverter, levels: NDArray[np.float32], waveform: NDArray[np.float32]) -> float:
    """How far the levels of a waveform are from those it was made of: its phases do not go together with all of them.

    levels: as of `Inverter.to_linear`.
    """
    return rms_db(levels, levels_of(inverter, waveform))


def levels_of(inverter: Inverter, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """The levels in dB (n_bins, n_frames, n_channels) of a waveform (n_samples, n_channels)."""
    settings = inverter.spectrogram
    return LogSpectrogramExtractor(settings.frame_size, settings.hop_length, settings.top_db).extract(waveform)


def in_words(**parts: float | None) -> str:
    """`model 3.2 dB, phase 1.1 dB`; what is None is left out."""
    return ", ".join(f"{name} {value:.1f} dB" for name, value in parts.items() if value is not None)

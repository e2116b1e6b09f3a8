"""How large a page of sounds may get."""

from __future__ import annotations

from pipelines.config import AudioConfig, SpectrogramConfig
from vae_model.report.media import MAX_PIXELS

MAX_SECONDS, MAP_SECONDS = 6.0, 1.5
"""Of longer segments a page has the beginning, a map a shorter one."""

LIST_BYTES, MAP_BYTES = 16_000_000, 12_000_000
"""What the sounds of all lists and those of a map may come to at most; there are fewer where they are long."""


def sound_bytes(audio: AudioConfig, spectrogram: SpectrogramConfig, max_seconds: float) -> float:
    """The most that a player and its picture take, as base64: 16 bits a sample, 8 a pixel."""
    samples = min(audio.segment_seconds, max_seconds) * audio.sample_rate
    pixels = min(spectrogram.n_bins, MAX_PIXELS) * min(1 + samples / spectrogram.hop_length, MAX_PIXELS)
    return (2 * samples * audio.channels + pixels) * 4 / 3

"""Sounds as data URIs: a player's WAV and a spectrogram's PNG, on a colour scale that all pictures share."""

from __future__ import annotations

import base64
import io
from functools import cache

import numpy as np
import soundfile
from PIL import Image

# Nine equally spaced colours of magma (van der Walt and Smith): even steps in lightness, legible without hue.
_MAGMA = ("000004", "1d1147", "51127c", "832681", "b73779", "e75263", "fc8961", "fec488", "fcfdbf")
MAX_PIXELS = 512
"""A picture is at most so many pixels wide and high: of larger spectrograms it shows means."""


@cache
def palette() -> np.ndarray:
    """The colour scale from quiet to loud: uint8 (256, 3), sRGB, lightness rising evenly."""
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in _MAGMA])
    position = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(position, np.arange(len(anchors)), anchors[:, i]) for i in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def palette_css() -> str:
    """The colour scale as a CSS gradient from left, quiet, to right, loud."""
    return f"linear-gradient(to right, {', '.join('#' + colour for colour in _MAGMA)})"


def spectrogram_png(log_spectrogram: np.ndarray, range_db: tuple[float, float]) -> str:
    """A log-spectrogram in dB, (n_bins, n_frames, n_channels), as the data URI of a PNG.

    A pixel a value, up to MAX_PIXELS each way, low frequencies at the bottom, the loudest channel; values are clipped
    to range_db (min, max).
    """
    image = spectrogram_image(log_spectrogram, range_db)
    if max(image.size) > MAX_PIXELS:
        size = (min(image.width, MAX_PIXELS), min(image.height, MAX_PIXELS))
        levels = Image.fromarray(np.asarray(image)).resize(size, Image.Resampling.BOX)
        levels.putpalette(palette().tobytes())
        image = levels
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return _data_uri("image/png", buffer.getvalue())


def spectrogram_image(log_spectrogram: np.ndarray, range_db: tuple[float, float]) -> Image.Image:
    """The picture of `spectrogram_png` at a pixel a value, in colours of the palette."""
    min_db, max_db = range_db
    loudest = log_spectrogram.max(axis=2)[::-1]
    scaled = (loudest - min_db) / max(max_db - min_db, 1e-6)
    image = Image.fromarray((np.clip(scaled, 0, 1) * 255).round().astype(np.uint8))
    image.putpalette(palette().tobytes())
    return image


def wav(waveform: np.ndarray, sample_rate: int) -> str:
    """A waveform (n_samples, n_channels), full scale ±1 and clipped there, as the data URI of a 16-bit WAV file.

    Not FLAC, of half the size: Chromium fails to seek in short files of it, and with that to play them.
    """
    return _data_uri("audio/wav", wav_bytes(waveform, sample_rate))


def wav_bytes(waveform: np.ndarray, sample_rate: int) -> bytes:
    """The file of `wav`."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(waveform, -1, 1), sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"

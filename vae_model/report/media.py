"""Sounds as data URIs: a player's WAV and a spectrogram's PNG, on a colour scale that all pictures share."""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import Any

import numpy as np
import soundfile
from PIL import Image

# Nine equally spaced colours of magma (van der Walt and Smith): even steps in lightness, legible without hue.
_MAGMA = ("000004", "1d1147", "51127c", "832681", "b73779", "e75263", "fc8961", "fec488", "fcfdbf")
# Purple and green either side of grey (ColorBrewer's PRGn, Brewer and Harrower): legible without hue, by lightness.
_PURPLE_GREEN = ("40004b", "9970ab", "e7d4e8", "f2f2f2", "a6dba0", "5aae61", "00441b")
_COHERENCE_STEPS = 16
_MP3_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
MAX_PIXELS = 512
"""A picture is at most so many pixels wide and high: of larger spectrograms it shows means."""


def palette() -> np.ndarray:
    """The colour scale from quiet to loud: uint8 (256, 3), sRGB, lightness rising evenly."""
    return _between(_MAGMA)


@cache
def _between(colours: tuple[str, ...]) -> np.ndarray:
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in colours])
    position = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(position, np.arange(len(anchors)), anchors[:, i]) for i in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def palette_css() -> str:
    """The colour scale as a CSS gradient from left, quiet, to right, loud."""
    return _css(_MAGMA)


def coherence_css() -> str:
    """The colour scale of coherence as a CSS gradient from left, -1, to right, 1."""
    return _css(_PURPLE_GREEN)


def _css(colours: tuple[str, ...]) -> str:
    return f"linear-gradient(to right, {', '.join('#' + colour for colour in colours)})"


def spectrogram_png(log_spectrogram: np.ndarray, range_db: tuple[float, float]) -> str:
    """A log-spectrogram in dB, (n_bins, n_frames, n_channels), as the data URI of a PNG.

    A pixel a value, up to MAX_PIXELS each way, low frequencies at the bottom, the loudest channel; values are clipped
    to range_db (min, max).
    """
    return _png(spectrogram_image(log_spectrogram, range_db), palette())


def coherence_png(coherence: np.ndarray) -> str:
    """Coherence from -1 to 1, (n_bins, n_frames), as the data URI of a PNG in colours of its own, low rows below."""
    steps = (np.clip(coherence[::-1], -1, 1) + 1) / 2 * (_COHERENCE_STEPS - 1)
    image = Image.fromarray((steps.round() * (255 / (_COHERENCE_STEPS - 1))).astype(np.uint8))
    image.putpalette(_between(_PURPLE_GREEN).tobytes())
    return _png(image, _between(_PURPLE_GREEN))


def _png(image: Image.Image, colours: np.ndarray) -> str:
    if max(image.size) > MAX_PIXELS:
        size = (min(image.width, MAX_PIXELS), min(image.height, MAX_PIXELS))
        levels = Image.fromarray(np.asarray(image)).resize(size, Image.Resampling.BOX)
        levels.putpalette(colours.tobytes())
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


def mp3(waveform: np.ndarray, sample_rate: int) -> str:
    """The same as MP3 of good quality, of about a tenth of the size; as WAV at a rate that MP3 has not."""
    if sample_rate not in _MP3_HZ:
        return wav(waveform, sample_rate)
    buffer = io.BytesIO()
    settings: dict[str, Any] = {"bitrate_mode": "VARIABLE", "compression_level": 0.2}
    soundfile.write(buffer, np.clip(waveform, -1, 1), sample_rate, "MPEG_LAYER_III", format="MP3", **settings)
    return _data_uri("audio/mpeg", buffer.getvalue())


def wav_bytes(waveform: np.ndarray, sample_rate: int) -> bytes:
    """The file of `wav`."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(waveform, -1, 1), sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"

"""A sound to see and hear: its waveform with a meter a channel, and its pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vae_model.report import axes, media
from vae_model.report.log_frequency import CLOSEST, log_frequency_ticks, to_log_rows

LEAST_DB = -60.0
"""Where level meters begin."""
CHANNELS = ("left", "right")
COHERENCE = "coherence"
"""Names of a stereo sound's pictures."""


@dataclass(frozen=True)
class Level:
    """Peak and RMS of a waveform in dB of full scale, at least LEAST_DB."""

    peak_db: float
    rms_db: float
    channel: str = ""

    @classmethod
    def of(cls, samples: np.ndarray, channel: str = "") -> Level:
        """Of some samples, of a channel of this name where there are several."""
        peak, power = float(np.abs(samples).max()), float(np.mean(np.square(samples, dtype=np.float64)))
        return cls(_decibels(peak), _decibels(power**0.5), channel)

    @property
    def text(self) -> str:
        """In words."""
        name = f"{self.channel} " if self.channel else ""
        if self.peak_db <= LEAST_DB:
            return f"{name}below {LEAST_DB:.0f} dB".replace("-", "−")
        return f"{name}{round(self.rms_db)} dB, peak {round(self.peak_db)}".replace("-", "−")

    @property
    def peak(self) -> float:
        """Where the peak is on a meter, from 0 to 1."""
        return 1 - self.peak_db / LEAST_DB

    @property
    def rms(self) -> float:
        """Where the RMS is on a meter, from 0 to 1."""
        return 1 - self.rms_db / LEAST_DB


def _decibels(amplitude: float) -> float:
    return max(LEAST_DB, 20 * math.log10(max(amplitude, 1e-9)))


@dataclass(frozen=True)
class View:
    """One picture of a sound, over octaves and over hertz.

    channel: which of several it is, in a word. alt: the picture in words. over_octaves, over_hertz: (n_rows, n_frames),
    low frequencies first, in dB, of coherence from -1 to 1.
    """

    channel: str
    alt: str
    over_octaves: np.ndarray
    over_hertz: np.ndarray

    @property
    def is_coherence(self) -> bool:
        """Whether it has coherence's own scale."""
        return self.channel == COHERENCE

    def png(self, values: np.ndarray, range_db: tuple[float, float]) -> str:
        """The picture of `over_octaves` or `over_hertz` as the data URI of a PNG. range_db: of levels' colours."""
        if self.is_coherence:
            return media.coherence_png(values)
        return media.spectrogram_png(values[..., None], range_db)


@dataclass(frozen=True)
class Sound:
    """A sound to see and hear.

    caption: what it is among its neighbours, such as "Original". waveform: float32 (n_samples, n_channels), full scale
    ±1. log_spectrogram: dB (n_bins, n_frames, n_channels), its frames hop_length samples apart, up to sample_rate / 2.
    coherence: of left and right in each cell, (n_bins, n_frames), from -1 to 1; None where it is not known. compact:
    has one picture, of half the pixels each way, of the loudest channel, and its player an MP3 file. ValueError if the
    shapes or values are others.
    """

    caption: str
    waveform: np.ndarray
    sample_rate: int
    log_spectrogram: np.ndarray
    hop_length: int
    coherence: np.ndarray | None = None
    compact: bool = False

    def __post_init__(self) -> None:
        if self.waveform.ndim != 2 or self.waveform.size == 0:
            raise ValueError(f"waveform of shape {self.waveform.shape} must be (n_samples, n_channels)")
        if self.log_spectrogram.ndim != 3 or self.log_spectrogram.size == 0:
            raise ValueError(
                f"log_spectrogram of shape {self.log_spectrogram.shape} must be (n_bins, n_frames, n_channels)"
            )
        if not (np.isfinite(self.waveform).all() and np.isfinite(self.log_spectrogram).all()):
            raise ValueError(f"{self.caption}: waveform and log_spectrogram must be finite")
        if self.coherence is not None and self.coherence.shape != self.log_spectrogram.shape[:2]:
            raise ValueError(f"coherence of shape {self.coherence.shape} must be that of a channel's log_spectrogram")

    @classmethod
    def excerpt(
        cls,
        caption: str,
        waveform: np.ndarray,
        sample_rate: int,
        log_spectrogram: np.ndarray,
        hop_length: int,
        max_seconds: float,
        coherence: np.ndarray | None = None,
        compact: bool = False,
    ) -> Sound:
        """The first max_seconds of a sound, made quieter where it is beyond full scale."""
        waveform = waveform[: max(1, round(max_seconds * sample_rate))]
        peak = max(float(np.abs(waveform).max()), 1.0)
        frames = 1 + len(waveform) // hop_length
        seen = None if coherence is None else coherence[:, :frames]
        return cls(
            caption, waveform / np.float32(peak), sample_rate, log_spectrogram[:, :frames], hop_length, seen, compact
        )

    @property
    def seconds(self) -> float:
        """Length of the waveform."""
        return len(self.waveform) / self.sample_rate

    @property
    def picture_seconds(self) -> float:
        """The time that the spectrogram's picture is wide."""
        return self.log_spectrogram.shape[1] * self.hop_length / self.sample_rate

    @property
    def alt(self) -> str:
        """The picture of its loudest channel in words."""
        return self._alt(self.log_spectrogram)

    def _alt(self, log_spectrogram: np.ndarray) -> str:
        nyquist = axes.number(self.sample_rate / 2)
        loudest_bin = int(np.argmax(log_spectrogram.max(axis=(1, 2))))
        loudest_hz = loudest_bin * self.sample_rate / 2 / log_spectrogram.shape[0]
        return f"Spectrogram, 0 to {nyquist} Hz over {axes.number(self.seconds)} s, loudest near {loudest_hz:,.0f} Hz."

    @property
    def views(self) -> list[View]:
        """Its pictures: one, but of two channels left, right and their coherence, where that is known."""
        parts = [("", self.log_spectrogram.max(axis=2, keepdims=True))]
        if not self._is_high:
            parts = [(name, self.log_spectrogram[..., number, None]) for number, name in enumerate(CHANNELS)]
        views = []
        for name, levels in parts:
            alt = f"{name.capitalize()}: {self._alt(levels)}" if name else self._alt(levels)
            rows = to_log_rows(levels, self.sample_rate)[..., 0]
            views.append(View(name, alt, *(self._in_size(each) for each in (rows, levels[..., 0]))))
        if not self._is_high and self.coherence is not None:
            mean = f"{float(self.coherence.mean()):.2f}".replace("-", "−")
            rows = to_log_rows(self.coherence[..., None], self.sample_rate, means=True)[..., 0]
            views.append(View(COHERENCE, f"Coherence of left and right, {mean} on average.", rows, self.coherence))
        return views

    def _in_size(self, levels: np.ndarray) -> np.ndarray:
        """A picture as it is, or with the louder ones of each two values both ways."""
        if not self.compact:
            return levels
        rows, columns = (2 * (size // 2) for size in levels.shape)
        return levels[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).max(axis=(1, 3))

    @property
    def frequency_ticks(self) -> list[axes.Tick]:
        """Of the vertical axis of each picture over hertz."""
        return axes.frequency_ticks(self.log_spectrogram.shape[0], self.sample_rate, 4 if self._is_high else 2)

    @property
    def log_frequency_ticks(self) -> list[axes.Tick]:
        """Of the vertical axis of each picture over octaves."""
        return log_frequency_ticks(
            self.log_spectrogram.shape[0], self.sample_rate, CLOSEST if self._is_high else 2 * CLOSEST
        )

    @property
    def _is_high(self) -> bool:
        """Whether there is one picture, of full height."""
        return self.compact or self.log_spectrogram.shape[2] != 2

    @property
    def level(self) -> Level:
        """How loud the waveform is."""
        return Level.of(self.waveform)

    @property
    def levels(self) -> list[Level]:
        """The same, of two channels each by its name."""
        if self.waveform.shape[1] != 2:
            return [self.level]
        return [Level.of(samples, name) for name, samples in zip(CHANNELS, self.waveform.T, strict=True)]

    @property
    def time_ticks(self) -> list[axes.Tick]:
        """Of the picture's horizontal axis."""
        return axes.time_ticks(self.log_spectrogram.shape[1], self.hop_length, self.sample_rate)

    @cached_property
    def audio_uri(self) -> str:
        """A 16-bit WAV file, or MP3, as a data URI."""
        return (media.mp3 if self.compact else media.wav)(self.waveform, self.sample_rate)

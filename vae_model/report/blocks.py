"""What a section of a page may hold, as plain data; each kind has its template in `report/blocks/`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from vae_model.report import axes, media
from vae_model.report.log_frequency import log_frequency_ticks

LEAST_DB = -60.0
"""Where level meters begin."""


@dataclass(frozen=True)
class Level:
    """Peak and RMS of a waveform in dB of full scale, at least LEAST_DB."""

    peak_db: float
    rms_db: float

    @property
    def text(self) -> str:
        """In words."""
        if self.peak_db <= LEAST_DB:
            return f"below {LEAST_DB:.0f} dB".replace("-", "−")
        return f"{self.rms_db:.0f} dB, peak {self.peak_db:.0f}".replace("-", "−")

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
class Sound:
    """A sound to see and hear.

    caption: what it is among its neighbours, such as "Original". waveform: float32 (n_samples, n_channels), full scale
    ±1. log_spectrogram: dB (n_bins, n_frames, n_channels), its frames hop_length samples apart, up to sample_rate / 2.
    ValueError if the shapes or values are others.
    """

    caption: str
    waveform: np.ndarray
    sample_rate: int
    log_spectrogram: np.ndarray
    hop_length: int

    def __post_init__(self) -> None:
        if self.waveform.ndim != 2 or self.waveform.size == 0:
            raise ValueError(f"waveform of shape {self.waveform.shape} must be (n_samples, n_channels)")
        if self.log_spectrogram.ndim != 3 or self.log_spectrogram.size == 0:
            raise ValueError(
                f"log_spectrogram of shape {self.log_spectrogram.shape} must be (n_bins, n_frames, n_channels)"
            )
        if not (np.isfinite(self.waveform).all() and np.isfinite(self.log_spectrogram).all()):
            raise ValueError(f"{self.caption}: waveform and log_spectrogram must be finite")

    @classmethod
    def excerpt(
        cls,
        caption: str,
        waveform: np.ndarray,
        sample_rate: int,
        log_spectrogram: np.ndarray,
        hop_length: int,
        max_seconds: float,
    ) -> Sound:
        """The first max_seconds of a sound, made quieter where it is beyond full scale."""
        waveform = waveform[: max(1, round(max_seconds * sample_rate))]
        peak = max(float(np.abs(waveform).max()), 1.0)
        frames = 1 + len(waveform) // hop_length
        return cls(caption, waveform / np.float32(peak), sample_rate, log_spectrogram[:, :frames], hop_length)

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
        """The picture in words."""
        nyquist = axes.number(self.sample_rate / 2)
        loudest_bin = int(np.argmax(self.log_spectrogram.max(axis=(1, 2))))
        loudest_hz = loudest_bin * self.sample_rate / 2 / self.log_spectrogram.shape[0]
        return f"Spectrogram, 0 to {nyquist} Hz over {axes.number(self.seconds)} s, loudest near {loudest_hz:,.0f} Hz."

    @property
    def frequency_ticks(self) -> list[axes.Tick]:
        """Of the picture's vertical axis."""
        return axes.frequency_ticks(self.log_spectrogram.shape[0], self.sample_rate)

    @property
    def log_frequency_ticks(self) -> list[axes.Tick]:
        """Of the vertical axis of its picture over octaves."""
        return log_frequency_ticks(self.log_spectrogram.shape[0], self.sample_rate)

    @property
    def level(self) -> Level:
        """How loud the waveform is."""
        peak, power = float(np.abs(self.waveform).max()), float(np.mean(np.square(self.waveform, dtype=np.float64)))
        return Level(_decibels(peak), _decibels(power**0.5))

    @property
    def time_ticks(self) -> list[axes.Tick]:
        """Of the picture's horizontal axis."""
        return axes.time_ticks(self.log_spectrogram.shape[1], self.hop_length, self.sample_rate)

    @cached_property
    def audio_uri(self) -> str:
        """A 16-bit WAV file as a data URI."""
        return media.wav(self.waveform, self.sample_rate)


@dataclass(frozen=True)
class Comparison:
    """Sounds that belong side by side, such as an original and its reconstruction; `note` is a few words on them."""

    title: str
    sounds: Sequence[Sound]
    note: str = ""


@dataclass(frozen=True)
class Comparisons:
    """Comparisons below or beside each other, as many as fit."""

    template: ClassVar[str] = "comparisons.html"
    comparisons: Sequence[Comparison]

    @property
    def sounds(self) -> list[Sound]:
        """All sounds of it."""
        return [sound for comparison in self.comparisons for sound in comparison.sounds]

    @property
    def columns(self) -> int:
        """Sounds in its widest comparison, up to four: more go into a second row."""
        return min(max((len(comparison.sounds) for comparison in self.comparisons), default=1), 4)


@dataclass(frozen=True)
class Curve:
    """One value an epoch, NaN where there is none."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class Chart:
    """Curves over the epochs in one plot; `caption` says what they show. The first curve is solid, the next dashed."""

    title: str
    caption: str
    curves: Sequence[Curve]
    log_scale: bool = False

    @property
    def plot(self) -> axes.Plot:
        """The curves laid out."""
        return axes.plot([(curve.name, curve.values) for curve in self.curves], self.log_scale, width=290, height=150)

    @property
    def alt(self) -> str:
        """The plot in words."""
        told = []
        for curve in self.curves:
            finite = [value for value in curve.values if np.isfinite(value)]
            if finite:
                told.append(f"{curve.name} from {axes.number(finite[0])} to {axes.number(finite[-1])}")
        epochs = max((len(curve.values) for curve in self.curves), default=0)
        return f"{self.title} over {epochs} epochs: {'; '.join(told)}."


@dataclass(frozen=True)
class Charts:
    """Charts side by side, at least one. Their curves are named once, so they must come in one order in all."""

    template: ClassVar[str] = "charts.html"
    charts: Sequence[Chart]


@dataclass(frozen=True)
class Bars:
    """A chart with one bar a value, in the order given. caption: what the bars are."""

    template: ClassVar[str] = "bars.html"
    caption: str
    values: Sequence[float]

    @property
    def plot(self) -> axes.BarPlot:
        """The bars laid out."""
        return axes.bars(self.values, width=640, height=150)

    @property
    def alt(self) -> str:
        """The chart in words."""
        low, high = axes.number(min(self.values)), axes.number(max(self.values))
        return f"{len(self.values)} bars from {low} to {high}."


@dataclass(frozen=True)
class Figure:
    """A number of the model's, as text, and one line on what it says."""

    name: str
    value: str
    explanation: str


@dataclass(frozen=True)
class Figures:
    """A table of numbers."""

    template: ClassVar[str] = "figures.html"
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Fact:
    """A setting or circumstance."""

    name: str
    value: str


@dataclass(frozen=True)
class Facts:
    """A list of settings and circumstances."""

    template: ClassVar[str] = "facts.html"
    facts: Sequence[Fact]


@dataclass(frozen=True)
class Rows:
    """A table of text: its column names, and a row of as many cells each."""

    template: ClassVar[str] = "rows.html"
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

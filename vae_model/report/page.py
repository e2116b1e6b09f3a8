"""What a page holds, as plain data, and the rendering of it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from vae_model.report import axes, media

SPAN_DB = 80.0
"""How far under the loudest sound of a page its colour scale reaches."""


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
class Section:
    """Comparisons under one heading, with a sentence on what they are."""

    title: str
    intro: str
    comparisons: Sequence[Comparison]

    @property
    def anchor(self) -> str:
        """The id of the section in the page."""
        return _anchor(self.title)

    @property
    def columns(self) -> int:
        """Sounds in its widest comparison."""
        return max((len(comparison.sounds) for comparison in self.comparisons), default=1)


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
class Bars:
    """A section with one bar a value, in the order given. intro: what it says. caption: what the bars are."""

    title: str
    intro: str
    caption: str
    values: Sequence[float]

    @property
    def anchor(self) -> str:
        """The id of the section in the page."""
        return _anchor(self.title)

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
class Fact:
    """A setting or circumstance."""

    name: str
    value: str


@dataclass(frozen=True)
class Page:
    """Everything on the page.

    lead: what was trained on what, and how well. notice: what the reader must know before believing the rest, or "".
    bars: a chart with a section of its own. colophon: how and with what the page was made.
    """

    title: str
    lead: str
    notice: str = ""
    sections: Sequence[Section] = ()
    charts: Sequence[Chart] = ()
    bars: Bars | None = None
    figures: Sequence[Figure] = ()
    facts: Sequence[Fact] = ()
    colophon: str = ""
    range_db: tuple[float, float] = field(init=False)
    """(min, max) in dB of the one colour scale of all spectrograms."""

    def __post_init__(self) -> None:
        sounds = [sound for section in self.sections for each in section.comparisons for sound in each.sounds]
        loudest = max((float(sound.log_spectrogram.max()) for sound in sounds), default=0.0)
        object.__setattr__(self, "range_db", (loudest - SPAN_DB, loudest))

    def picture_uri(self, sound: Sound) -> str:
        """The sound's spectrogram on the page's colour scale, as the data URI of a PNG."""
        return media.spectrogram_png(sound.log_spectrogram, self.range_db)


def render_page(page: Page) -> str:
    """The page as one HTML document that asks for nothing outside itself."""
    return _environment().get_template("page.html").render(page=page, scale=media.palette_css(), span_db=SPAN_DB)


def write_page(page: Page, path: Path | str) -> Path:
    """Render the page into a file and return its path."""
    path = Path(path)
    path.write_text(render_page(page), encoding="utf-8")
    return path


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("vae_model", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _anchor(title: str) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in html.unescape(title).lower()).split()
    return "-".join(words) or "section"

"""The pictures of a sound as HTML, so that its words take the page's colours and size."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from vae_model.playing.heard import Heard
from vae_model.report import Sound, media
from vae_model.report.axes import number
from vae_model.report.log_frequency import log_frequency_ticks, to_log_rows

SPAN_DB = 80.0
"""How far down from its loudest cell a picture's colours reach."""


def figure(heard: Heard, sample_rate: int, hop_length: int) -> str:
    """The spectrograms side by side on one colour scale and a logarithmic frequency axis, each under its caption."""
    loudest = max(float(each.max()) for each in heard.log_spectrograms.values())
    range_db = (loudest - SPAN_DB, loudest)
    panels = []
    for caption, decibels in heard.log_spectrograms.items():
        seen = heard.waveform[: decibels.shape[1] * hop_length]
        sound = Sound(caption, seen, sample_rate, decibels, hop_length)
        picture = media.spectrogram_png(to_log_rows(decibels, sample_rate), range_db)
        panels.append({"caption": caption, "alt": sound.alt, "times": sound.time_ticks, "picture": picture})
    n_bins = len(next(iter(heard.log_spectrograms.values())))
    return (
        _environment()
        .get_template("figure.html")
        .render(
            panels=panels,
            frequencies=log_frequency_ticks(n_bins, sample_rate),
            ends=[number(round(level)) for level in range_db],
            scale=media.palette_css(),
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("vae_model", "playing"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )

"""A page as plain data, and the rendering of it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.store import replacing
from vae_model.report import media
from vae_model.report.blocks import Bars, Charts, Comparisons, Facts, Figures, Rows
from vae_model.report.sound import Sound, View
from vae_model.report.sound_map import SoundMap

SPAN_DB = 80.0
"""How far under the loudest sound of a page its colour scale reaches."""
Block: TypeAlias = Comparisons | SoundMap | Charts | Bars | Figures | Facts | Rows


@dataclass(frozen=True)
class Section:
    """Blocks under one heading, with a sentence on what they are."""

    title: str
    intro: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """The id of the section in the page."""
        words = "".join(letter if letter.isalnum() else " " for letter in html.unescape(self.title).lower()).split()
        return "-".join(words) or "section"

    @property
    def sounds(self) -> list[Sound]:
        """All sounds of it."""
        return [sound for block in self.blocks if isinstance(block, Comparisons | SoundMap) for sound in block.sounds]

    @property
    def has_coherence(self) -> bool:
        """Whether a picture of it has coherence's scale."""
        return any(sound.coherence is not None and not sound.compact for sound in self.sounds)


@dataclass(frozen=True)
class Page:
    """Everything on the page.

    lead: what it is about, such as what was trained on what, and how well. notice: what the reader must know before
    believing the rest, or "". colophon: how and with what the page was made.
    """

    title: str
    lead: str
    notice: str = ""
    sections: Sequence[Section] = ()
    colophon: str = ""
    range_db: tuple[float, float] = field(init=False)
    """(min, max) in dB of the one colour scale of all spectrograms."""

    def __post_init__(self) -> None:
        sounds = [sound for section in self.sections for sound in section.sounds]
        loudest = max((float(sound.log_spectrogram.max()) for sound in sounds), default=0.0)
        object.__setattr__(self, "range_db", (loudest - SPAN_DB, loudest))

    @property
    def has_sounds(self) -> bool:
        """Whether there are pictures whose axes can be chosen."""
        return any(section.sounds for section in self.sections)

    def pictures(self, sound: Sound) -> list[tuple[View, str, str]]:
        """Of each view the data URIs of its PNG over octaves and over hertz, on the page's colour scales."""
        return [
            (view, view.png(view.over_octaves, self.range_db), view.png(view.over_hertz, self.range_db))
            for view in sound.views
        ]


def render_page(page: Page) -> str:
    """The page as one HTML document that asks for nothing outside itself."""
    return (
        _environment()
        .get_template("page.html")
        .render(page=page, scale=media.palette_css(), coherence_scale=media.coherence_css(), span_db=SPAN_DB)
    )


def write_page(page: Page, path: Path | str) -> Path:
    """Render the page into a file, all at once, and return its path."""
    path = Path(path)
    with replacing(path) as partial:
        partial.write_text(render_page(page), encoding="utf-8")
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

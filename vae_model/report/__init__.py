"""Self-contained HTML pages of sounds to hear and see, with curves, numbers and a map: one design for all commands.

    sounds = Comparisons([Comparison("Pluck, C4", [original, reconstruction])])
    write_page(Page(title="…", lead="…", sections=[Section("Held-out sounds", "…", [sounds])]), "report.html")

The package takes plain data, so that whatever has sounds and figures can make a page: it knows no model.
"""

from vae_model.report.blocks import (
    Bars,
    Chart,
    Charts,
    Comparison,
    Comparisons,
    Curve,
    Fact,
    Facts,
    Figure,
    Figures,
    Rows,
)
from vae_model.report.page import Page, Section, render_page, write_page
from vae_model.report.sound import Sound
from vae_model.report.sound_map import Layout, Point, SoundMap

__all__ = [
    "Bars",
    "Chart",
    "Charts",
    "Comparison",
    "Comparisons",
    "Curve",
    "Fact",
    "Facts",
    "Figure",
    "Figures",
    "Layout",
    "Page",
    "Point",
    "Rows",
    "Section",
    "Sound",
    "SoundMap",
    "render_page",
    "write_page",
]

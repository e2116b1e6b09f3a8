"""One self-contained HTML page on a model: its sounds to hear and see, its training curves, its numbers.

    page = Page(title="…", lead="…", sections=[Section("Held-out sounds", "…", [Comparison("Pluck, C4", [a, b])])])
    write_page(page, "report.html")

The package takes plain data, so that whatever has sounds and figures can make a page: it knows no model.
"""

from vae_model.report.page import (
    Bars,
    Chart,
    Comparison,
    Curve,
    Fact,
    Figure,
    Page,
    Section,
    Sound,
    render_page,
    write_page,
)

__all__ = [
    "Bars",
    "Chart",
    "Comparison",
    "Curve",
    "Fact",
    "Figure",
    "Page",
    "Section",
    "Sound",
    "render_page",
    "write_page",
]

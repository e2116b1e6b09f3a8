"""A page of every part, and what a page's elements and data URIs hold."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import numpy as np

from vae_model.report import (
    Chart,
    Charts,
    Comparison,
    Comparisons,
    Curve,
    Fact,
    Facts,
    Figure,
    Figures,
    Layout,
    Page,
    Point,
    Section,
    Sound,
    SoundMap,
)

RATE, HOP, BINS = 8000, 128, 128
_VOID = {"meta", "img", "br", "input"}


class Elements(HTMLParser):
    """Collects (tag, attributes) and the text, and checks that every element is closed in its order."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(document)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


def content_of(uri: str, media_type: str) -> io.BytesIO:
    head, _, body = uri.partition(",")
    assert head == f"data:{media_type};base64"
    return io.BytesIO(base64.b64decode(body, validate=True))


def a_sound(caption: str = "Original", seconds: float = 0.5, channels: int = 1, level_db: float = 0.0) -> Sound:
    time = np.arange(int(seconds * RATE)) / RATE
    waveform = np.repeat(0.5 * np.sin(2 * np.pi * 1000 * time)[:, None], channels, axis=1).astype(np.float32)
    spectrogram = np.full((BINS, 1 + len(time) // HOP, channels), level_db - 60.0, np.float32)
    spectrogram[round(1000 / (RATE / 2) * BINS)] = level_db
    return Sound(caption, waveform, RATE, spectrogram, HOP)


def a_chart() -> Chart:
    return Chart("Loss", "Falls.", [Curve("train", [3, 2, 1]), Curve("validation", [4, 3, 2.5])], log_scale=True)


def a_map(labels: list[dict[str, str]], title: str = "Tone") -> SoundMap:
    points = [Point(f"{title} {i}", each, a_sound(level_db=-i)) for i, each in enumerate(labels)]
    corners = np.array([[0, 0], [4, 0], [4, 2], [0, 2]] * len(labels), float)[: len(labels)]
    layouts = [Layout("components", "Most variance.", corners), Layout("t-SNE", "Neighbours.", corners[::-1])]
    return SoundMap("Latent map", layouts, points)


def a_page(**changes: object) -> Page:
    pair = Comparison("Pluck, C4", [a_sound(), a_sound("Reconstruction", level_db=-20)], "error 0.0040")
    values: dict[str, object] = {
        "title": "What it heard",
        "lead": "Trained on 320 sounds.",
        "sections": [
            Section("Held-out sounds", "Never seen.", [Comparisons([pair] * 2)]),
            Section("Generated", "", [Comparisons([pair])]),
            Section("Training", "After each epoch.", [Charts([a_chart()])]),
            Section(
                "Numbers",
                "",
                [
                    Figures([Figure("Reconstruction error", "0.0041", "Mean squared error.")]),
                    Facts([Fact("Sounds", "320 train")]),
                ],
            ),
        ],
        "colophon": "Made with seed 0.",
    }
    return Page(**(values | changes))  # type: ignore[arg-type]

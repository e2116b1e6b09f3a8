"""The pages as a browser shows them: players, pictures, the map, phones, and nothing asked of any other machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.browser import visiting
from tests.helpers.pages import RATE, a_map, a_page, a_sound
from vae_model.report import Bars, Comparison, Comparisons, Section, write_page


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with two players of 0.5 s, one of 1.5 s and a map of six sounds."""
    pair = Comparison("Pluck", [a_sound(), a_sound("Reconstruction", level_db=-20)])
    long = Comparison("Long", [a_sound(seconds=1.5, channels=2)])
    labels = [{"digit": str(i % 3), "split": "test"} for i in range(6)]
    sections = [Section("Sounds", "Two.", [Comparisons([pair, long])]), Section("Map", "Six.", [a_map(labels)])]
    sections.append(Section("Posterior health", "Fine.", [Bars("KL of each dimension.", [4.25, 2.5, 0.125] * 20)]))
    page = a_page(sections=[*sections, *a_page().sections[2:]])
    return write_page(page, tmp_path_factory.mktemp("page") / "page.html").as_uri()


def test_players_have_the_right_duration_and_pictures_load(url: str) -> None:
    with visiting() as visit:
        visit.page.goto(url)
        visit.wait_until("[...document.querySelectorAll('audio')].every(a => a.readyState >= 1)")
        durations = visit.page.evaluate("[...document.querySelectorAll('audio')].map(a => a.duration)")
        np.testing.assert_allclose(durations, [0.5, 0.5, 1.5, 0.5], atol=1 / RATE)
        widths = visit.page.evaluate("[...document.querySelectorAll('img')].map(i => i.naturalWidth)")
        assert widths == [32] * 4 + [94] * 4 + [32] * 2  # of the long one left and right
        assert (visit.errors, visit.elsewhere) == ([], [])


def test_the_frequency_axis_is_one_of_octaves_until_it_is_switched(url: str) -> None:
    with visiting(390) as visit:
        visit.page.goto(url)
        for kind, other in (("over-octaves", "over-hertz"), ("over-hertz", "over-octaves")):
            for name in ("img", ".y-axis"):
                assert visit.page.locator(f"{name}.{kind}").first.is_visible()
                assert not visit.page.locator(f"{name}.{other}").first.is_visible()
            visit.page.get_by_label("Frequencies evenly apart in Hz").check()
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 390
        assert (visit.errors, visit.elsewhere) == ([], [])


def test_a_click_on_the_map_plays_the_nearest_sound(url: str) -> None:
    with visiting() as visit:
        visit.page.goto(url)
        circle = visit.page.locator(".map circle").nth(2)
        circle.evaluate("circle => circle.scrollIntoView({block: 'center'})")
        box = circle.bounding_box()
        visit.page.mouse.click(box["x"] + box["width"] / 2 - 9, box["y"] + box["height"] / 2 + 9)  # close, not on it
        visit.wait_until("document.querySelector('.chosen audio').currentTime > 0")
        assert visit.page.inner_text(".chosen h3") == "Tone 2"
        source = visit.page.get_attribute(".chosen audio", "src")
        assert source == a_sound(level_db=-2).audio_uri

        visit.page.focus(".map svg")
        visit.page.keyboard.press("ArrowRight")
        assert visit.page.inner_text(".chosen h3") == "Tone 3"
        visit.page.select_option(".map .colour", label="split")
        assert (
            visit.page.evaluate("new Set([...document.querySelectorAll('.map circle')].map(c => c.classList[0])).size")
            == 1
        )
        assert visit.page.locator(".classes:visible").inner_text() == "test"
        before = circle.get_attribute("cx"), circle.get_attribute("cy")
        visit.page.select_option(".map .layout", label="t-SNE")
        assert (circle.get_attribute("cx"), circle.get_attribute("cy")) != before
        assert visit.page.locator(".caption:visible").inner_text() == "Neighbours."
        assert (visit.errors, visit.elsewhere) == ([], [])


def test_a_picture_plays_and_one_sound_stops_another(url: str) -> None:
    with visiting() as visit:
        visit.page.goto(url)
        players = "[...document.querySelectorAll('audio')]"
        visit.page.locator(".picture").nth(2).click()
        visit.wait_until(f"{players}[2].currentTime > 0")
        visit.page.locator(".picture").nth(0).click()
        visit.wait_until(f"{players}[0].currentTime > 0 && {players}[2].paused")
        assert visit.errors == []


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_in_light_and_dark(url: str, dark: bool) -> None:
    with visiting(390, dark) as visit:
        visit.page.goto(url)
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 390
        boxes = visit.page.evaluate(
            "[...document.querySelectorAll('.chart text')]"
            ".map(text => text.getBoundingClientRect()).map(box => [box.left, box.height])"
        )
        assert min(height for _, height in boxes) >= 11
        assert min(left for left, _ in boxes) >= 0
        ground, ink = visit.page.evaluate("[getComputedStyle(document.body)].map(s => [s.backgroundColor, s.color])[0]")
        levels = [sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) for colour in (ground, ink)]
        assert (levels[0] < levels[1]) == dark


def test_a_page_that_would_ask_elsewhere_is_caught(url: str, tmp_path: Path) -> None:
    text = "<!doctype html><script src='https://example.com/a.js'></script>"
    (tmp_path / "leaky.html").write_text(text)
    with visiting() as visit:
        visit.page.goto((tmp_path / "leaky.html").as_uri())
        assert visit.elsewhere == ["https://example.com/a.js"]
        assert visit.errors != []

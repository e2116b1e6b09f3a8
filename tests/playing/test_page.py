"""The app's page in a browser: what is clicked, dragged, pressed, uploaded and recorded, and what is heard then."""

from __future__ import annotations

import io
import math
import re
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.browser import Visit, visiting
from vae_model.playing.heard import loudness_of, loudness_of_file
from vae_model.playing.studio import Studio

RATE = 4000


@pytest.mark.slow
def test_the_page_has_menus_for_what_the_prior_knows(learned: Studio, studio: Studio) -> None:
    pytest.importorskip("gradio", reason="needs gradio, the extra app")
    from vae_model.playing.page import build

    of_page = [
        {part.elem_id: part for part in build(each, "Sounds", (60, 900)).blocks.values()} for each in (learned, studio)
    ]
    with_prior, without = of_page
    assert [value for _, value in with_prior["label-2"].choices] == ["", *"0123456789"]
    assert with_prior["seconds"].visible
    assert with_prior["guidance"].visible
    assert "vary" in with_prior
    assert not without["guidance"].visible
    assert "vary" not in without
    assert "label-1" not in without


@pytest.mark.slow
def test_an_upload_comes_back_as_sound(server: tuple[str, subprocess.Popen[str]], sound: Path, tmp_path: Path) -> None:
    url, _ = server
    aiff = tmp_path / "take one.aiff"
    soundfile.write(aiff, soundfile.read(sound)[0], 8000, format="AIFF")
    with visiting() as visit:
        visit.page.goto(url)
        visit.page.get_by_role("tab", name="Reconstruct").click()
        visit.page.set_input_files("#given input[type=file]", str(aiff))
        link = visit.page.locator("#reconstruction a[download]")
        link.wait_for(timeout=30_000)
        visit.page.locator("#reconstruction-picture img").last.wait_for(timeout=30_000)
        visit.page.locator("#reconstruction-facts").get_by_text("0.60 s, peak").wait_for(timeout=30_000)
        visit.wait_until("document.querySelector('#given audio')?.duration >= 0.6")
        with visit.page.expect_download() as download:
            link.click()
        assert download.value.suggested_filename == "reconstruction of take one.wav"
        download.value.save_as(tmp_path / "back.wav")
        info = soundfile.info(tmp_path / "back.wav")
        assert (info.format, info.samplerate, info.frames) == ("WAV", RATE, 0.6 * RATE)
        assert (visit.errors, visit.elsewhere) == ([], [])


def opened(visit: Visit, url: str) -> list[tuple[float, float]]:
    """Open the page, and wait for the map; where the middles of its points are."""
    visit.page.goto(url)
    visit.page.locator("#board .dots circle").first.click(trial=True, timeout=30_000)
    boxes = [point.bounding_box() for point in visit.page.locator("#board .dots circle").all()]
    return [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]


def wait_for_sound(visit: Visit, part: str, name: str) -> None:
    """Wait until a player has the file of a name, and plays it by itself."""
    visit.page.locator(f"#{part} a[download='{name}']").wait_for(timeout=30_000)


@pytest.mark.slow
def test_a_click_on_the_map_plays_and_a_drag_morphs(server: tuple[str, subprocess.Popen[str]], studio: Studio) -> None:
    with visiting() as visit:
        points = opened(visit, server[0])
        assert len(points) == 40
        names = [sound.source for sound in studio.sounds]
        visit.page.mouse.click(*points[5])
        wait_for_sound(visit, "moved", names[5])
        visit.wait_until("document.querySelector('#moved audio').played.length > 0")
        assert visit.page.locator("#board .now").inner_text() == names[5]
        visit.page.locator("#moved-picture img").wait_for(timeout=30_000)
        (x, y), others = points[5], [point for number, point in enumerate(points) if number != 5]
        a, b = min(others, key=lambda point: math.hypot(point[0] - x, point[1] - y))
        visit.page.mouse.move(x, y)
        visit.page.mouse.down()
        for part in (0.2, 0.4, 0.5):
            visit.page.mouse.move(x + part * (a - x), y + part * (b - y))
        visit.page.mouse.up()
        visit.page.locator("#moved a[download*='%']").wait_for(timeout=30_000)
        assert re.fullmatch(r".+ \d+ %, .+ \d+ %", visit.page.locator("#board .now").inner_text())
        visit.page.select_option("#board select", label="last")
        assert visit.page.locator("#board .classes li").all_inner_texts() == list("0123456789")
        assert (visit.errors, visit.elsewhere) == ([], [])


@pytest.mark.slow
def test_keys_move_on_the_map_and_play_but_not_in_text_fields(server: tuple[str, subprocess.Popen[str]]) -> None:
    with visiting() as visit:
        opened(visit, server[0])
        visit.page.keyboard.press("ArrowRight")  # nothing has the focus: the map takes it
        visit.page.locator("#moved a[download$='.wav']").wait_for(timeout=30_000)
        said = visit.page.locator("#board .now")
        before = said.inner_text()
        visit.page.keyboard.press("ArrowLeft")
        visit.wait_until(f"document.querySelector('#board .now').textContent !== '{before}'")
        after = said.inner_text()
        wait_for_sound(visit, "moved", after)
        visit.page.keyboard.press("Shift+ArrowUp")
        visit.wait_until("document.querySelector('#board .now').textContent.includes('%')")
        visit.wait_until("document.querySelector('#moved audio').ended")
        visit.page.keyboard.press(" ")
        visit.wait_until("!document.querySelector('#moved audio').ended")
        visit.wait_until("document.querySelector('#moved audio').ended")
        visit.page.get_by_role("tab", name="Generate").click()
        field = visit.page.locator("#seed input")
        field.fill("4")
        said_before = said.inner_text()
        for key in ("ArrowUp", "ArrowRight", " "):
            field.press(key)
        assert field.input_value() == "5"
        assert said.inner_text() == said_before
        assert (visit.errors, visit.elsewhere) == ([], [])


@pytest.mark.slow
def test_sliders_sound_by_keys_and_the_number_is_that_of_the_sound(server: tuple[str, subprocess.Popen[str]]) -> None:
    with visiting() as visit:
        opened(visit, server[0])
        visit.page.locator("#direction-1 input[type=range]").focus()
        visit.page.keyboard.press("ArrowRight")
        visit.page.locator("#moved a[download='moved to 0.1 0 0.wav']").wait_for(timeout=30_000)
        visit.page.locator("#moved-picture img").wait_for(timeout=30_000)  # below it all is where it stays
        slider = visit.page.locator("#direction-2 input[type=range]")
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        visit.page.mouse.click(box["x"] + 0.99 * box["width"], box["y"] + box["height"] / 2)
        visit.page.locator("#moved a[download^='moved to 0.1 2.']").or_(
            visit.page.locator("#moved a[download^='moved to 0.1 3 ']")
        ).first.wait_for(timeout=30_000)
        visit.page.get_by_role("tab", name="Generate").click()
        for number in (0, 1):
            visit.page.locator("#generate").click()
            visit.page.locator(f"#generated a[download='new {number}.wav']").wait_for(timeout=30_000)
            assert visit.page.locator("#seed input").input_value() == str(number)
        visit.page.locator("#seed input").fill("40")
        visit.page.locator("#generate").click()
        visit.page.locator("#generated a[download='new 40.wav']").wait_for(timeout=30_000)
        assert (visit.errors, visit.elsewhere) == ([], [])


@pytest.mark.slow
def test_a_file_that_is_no_sound_is_said_to_be_none(server: tuple[str, subprocess.Popen[str]], tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_text("no sound")
    with visiting() as visit:
        visit.page.goto(server[0])
        visit.page.get_by_role("tab", name="Reconstruct").click()
        visit.page.set_input_files("#given input[type=file]", str(tmp_path / "broken.wav"))
        message = visit.page.get_by_text(re.compile("This could not be used"))
        message.first.wait_for(timeout=30_000)
        assert "/tmp" not in message.first.inner_text()


@pytest.mark.slow
def test_original_and_reconstruction_are_heard_in_turn_at_equal_loudness(
    server: tuple[str, subprocess.Popen[str]], studio: Studio, tmp_path: Path
) -> None:
    path = tmp_path / "take.wav"
    soundfile.write(path, 0.05 * np.sin(2 * np.pi * 500 * np.arange(16000) / 8000), 8000)
    given = loudness_of_file(str(path))
    made = loudness_of(studio.reconstruct(str(path)).waveform, RATE)
    least = min(given, made)
    with visiting() as visit:
        opened(visit, server[0])
        visit.page.get_by_role("tab", name="Reconstruct").click()
        visit.page.set_input_files("#given input[type=file]", str(path))
        visit.page.get_by_role("button", name="B: reconstruction").click(timeout=30_000)
        b, a = (f"document.querySelector('#compare audio[data-of={part}]')" for part in ("reconstruction", "given"))
        visit.wait_until(f"!{b}.paused && {b}.currentTime > 0.1")
        visit.page.get_by_role("button", name="A: original").click()
        visit.wait_until(f"!{a}.paused && {b}.paused && {a}.currentTime > 0.1")
        volumes = [visit.page.evaluate(f"{part}.volume") for part in (a, b)]
        assert volumes == pytest.approx([10 ** ((least - each) / 20) for each in (given, made)], rel=0.02)
        told = visit.page.locator("#compare .gain").inner_text()
        assert re.fullmatch(
            rf"Equally loud: the (original|reconstruction) plays {abs(given - made):.1f} dB quieter.", told
        )
        visit.page.get_by_role("button", name="A: original").click()
        visit.wait_until(f"{a}.paused")
        assert (visit.errors, visit.elsewhere) == ([], [])


@pytest.mark.slow
def test_what_a_microphone_hears_is_reconstructed(server: tuple[str, subprocess.Popen[str]], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "heard.wav", 0.5 * np.sin(2 * np.pi * 500 * np.arange(48000) / 48000), 48000)
    with visiting(microphone=tmp_path / "heard.wav") as visit:
        opened(visit, server[0])
        visit.page.get_by_role("tab", name="Reconstruct").click()
        visit.page.locator("#given").get_by_label("Record audio").first.click()
        visit.page.locator("#given .record-button").click()
        visit.page.wait_for_timeout(1500)
        visit.page.locator("#given .stop-button").click()
        link = visit.page.locator("#reconstruction a[download]")
        link.wait_for(timeout=30_000)
        with visit.page.expect_download() as download:
            link.click()
        download.value.save_as(tmp_path / "back.wav")
        assert soundfile.info(tmp_path / "back.wav").duration > 0.5
        alt = visit.page.locator("#reconstruction-picture img").first.get_attribute("alt")
        assert re.search(r"loudest near (4[4-9]\d|5[0-5]\d) Hz", alt)
        assert (visit.errors, visit.elsewhere) == ([], [])


@pytest.mark.slow
def test_all_sounds_of_the_page_come_in_one_file(
    server: tuple[str, subprocess.Popen[str]], studio: Studio, tmp_path: Path
) -> None:
    with visiting() as visit:
        opened(visit, server[0])
        visit.page.locator("#zip").click()
        visit.page.get_by_text("No sound has been made on this page yet.").first.wait_for(timeout=30_000)
        names = [studio.sounds[number].source for number in (3, 9)]
        for number, name in zip((3, 9), names, strict=True):
            visit.page.locator("#board .dots circle").nth(number).click()
            wait_for_sound(visit, "moved", name)
        with visit.page.expect_download(timeout=30_000) as download:
            visit.page.locator("#zip").click()
        download.value.save_as(tmp_path / "sounds.zip")
        with zipfile.ZipFile(tmp_path / "sounds.zip") as archive:
            assert archive.namelist() == names
            info = soundfile.info(io.BytesIO(archive.read(names[0])))
        assert (info.samplerate, info.frames) == (RATE, 0.25 * RATE)
        assert (visit.errors, visit.elsewhere) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_it_without_scrolling_sideways_and_in_its_colours(
    server: tuple[str, subprocess.Popen[str]], dark: bool
) -> None:
    with visiting(400, dark) as visit:
        points = opened(visit, server[0])
        visit.page.locator("#board .dots circle").nth(5).click()
        visit.page.locator("#moved-picture img").wait_for(timeout=30_000)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 400
        tabs = [tab.inner_text() for tab in visit.page.get_by_role("tab").all() if tab.is_visible()]
        assert tabs == ["Play", "Reconstruct", "Mix", "Generate"]
        assert all(0 < x < 400 for x, _ in points)
        background = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        words = visit.page.evaluate("getComputedStyle(document.querySelector('.y-axis')).color")
        light = [sum(map(float, re.findall(r"[\d.]+", colour)[:3])) for colour in (background, words)]
        assert (light[0] < light[1]) == dark

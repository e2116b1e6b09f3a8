"""Stereo on a page: a meter and a picture for each channel by its name, coherence on its own scale, small sounds."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.helpers.pages import Elements, a_page, content_of
from vae_model.report import Comparison, Comparisons, Layout, Point, Section, Sound, SoundMap, render_page

RATE, HOP, BINS, FRAMES = 22050, 256, 128, 87


def a_stereo_sound(compact: bool = False) -> Sound:
    """Left a tone at full scale, right the same 20 dB below; coherence 1 in the lower half of the bins, -1 above."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    levels = np.full((BINS, FRAMES, 2), -100, np.float32)
    levels[12] = [0, -20]
    coherence = np.where(np.arange(BINS)[:, None] < BINS // 2, 1.0, -1.0) * np.ones((1, FRAMES))
    waveform = np.stack([tone, 0.1 * tone], axis=1)
    return Sound("Original", waveform, RATE, levels, HOP, coherence.astype(np.float32), compact)


def page_of(sound: Sound) -> str:
    return render_page(a_page(sections=[Section("All", "", [Comparisons([Comparison("One", [sound])])])]))


def pixels_of(picture: dict[str, str]) -> np.ndarray:
    return np.asarray(Image.open(content_of(picture["src"], "image/png")).convert("RGB")).astype(float)


def test_each_channel_has_a_meter_and_a_picture_by_its_name() -> None:
    document = Elements(page_of(a_stereo_sound()))
    meters = [each["aria-label"] for each in document.all("div") if each.get("class") == "level"]
    assert meters == ["Level left −3 dB, peak 0", "Level right −23 dB, peak −20"]
    pictures = [picture for picture in document.all("img") if picture["class"] == "over-hertz"]
    assert [picture["alt"].split(" ")[0] for picture in pictures] == ["Left:", "Right:", "Coherence"]
    left, right = (pixels_of(picture)[BINS - 1 - 12].mean() for picture in pictures[:2])
    assert left > right > pixels_of(pictures[1])[0].mean()
    assert len([each for each in document.all("span") if each.get("class") == "channel"]) == 3


def test_coherence_has_its_own_colours_with_the_lower_half_alike() -> None:
    text = page_of(a_stereo_sound())
    assert text.count("Colour scale of coherence") == 1
    (picture,) = (
        each for each in Elements(text).all("img") if each["alt"].startswith("Coh") and each["class"] == "over-hertz"
    )
    assert picture["alt"] == "Coherence of left and right, 0.00 on average."
    rows = pixels_of(picture).mean(axis=1)
    opposite, alike = rows[: BINS // 2].mean(axis=0), rows[BINS // 2 :].mean(axis=0)
    assert alike[1] > alike[0]  # green
    assert opposite[0] > opposite[1]  # purple


def test_two_channels_without_coherence_have_two_pictures() -> None:
    sound = a_stereo_sound()
    text = page_of(Sound("", sound.waveform, RATE, sound.log_spectrogram, HOP))
    assert [view.channel for view in sound.views] == ["left", "right", "coherence"]
    assert len(Elements(text).all("img")) == 4
    assert "Colour scale of coherence" not in text


def test_coherence_of_another_shape_is_refused() -> None:
    sound = a_stereo_sound()
    with pytest.raises(ValueError, match="coherence of shape"):
        Sound("", sound.waveform, RATE, sound.log_spectrogram, HOP, np.zeros((3, 3), np.float32))


def test_a_compact_sound_is_the_same_in_a_fraction_of_the_bytes() -> None:
    whole, compact = a_stereo_sound(), a_stereo_sound(compact=True)
    assert len(compact.audio_uri) < 0.3 * len(whole.audio_uri)
    content = content_of(compact.audio_uri, "audio/mpeg")
    heard, rate = soundfile.read(content)
    assert rate == RATE
    assert heard.shape == whole.waveform.shape
    np.testing.assert_allclose(heard[1000:-2000], whole.waveform[1000:-2000], atol=0.02)
    (view,) = compact.views
    assert view.over_hertz.shape == (BINS // 2, FRAMES // 2)
    assert view.over_hertz[6].tolist() == [0] * (FRAMES // 2)


def test_a_map_of_them_names_each_meter() -> None:
    sounds = [a_stereo_sound(compact=True), a_stereo_sound(compact=True)]
    points = [Point(f"{number}", {"kind": "a"}, sound) for number, sound in enumerate(sounds)]
    a_map = SoundMap("Map", [Layout("PCA", "", np.array([[0.0, 0], [1, 1]]))], points)
    text = render_page(a_page(sections=[Section("Map", "", [a_map])]))
    (data,) = (
        json.loads(part) for part in re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    )
    assert [level["text"] for level in data["points"][1]["levels"]] == ["left −3 dB, peak 0", "right −23 dB, peak −20"]
    assert len(data["points"][0]["pictures"]) == 2

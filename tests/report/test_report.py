"""The page: whole in one file, its players and pictures decode to what went in, and text can not break it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.helpers.pages import BINS, HOP, RATE, Elements, a_map, a_page, a_sound, content_of
from vae_model.report import (
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
    Page,
    Rows,
    Section,
    Sound,
    media,
    render_page,
    write_page,
)
from vae_model.report.log_frequency import LOWEST_HZ, ROWS
from vae_model.report.sound_map import legend

HOSTILE = "<script>alert(\"x\")</script> & 'quoted'"


def test_every_player_is_a_16_bit_wav_of_the_right_length() -> None:
    sounds = [a_sound(seconds=0.25), a_sound(seconds=1.5, channels=2)]
    document = Elements(render_page(a_page(sections=[Section("All", "", [Comparisons([Comparison("Two", sounds)])])])))
    players = document.all("audio")
    assert len(players) == 2
    for sound, player in zip(sounds, players, strict=True):
        assert "controls" in player
        assert player["aria-label"] == "Two, Original"
        content = content_of(player["src"], "audio/wav")
        info = soundfile.info(content)
        assert (info.subtype, info.samplerate, info.channels) == ("PCM_16", RATE, sound.waveform.shape[1])
        assert info.duration == pytest.approx(sound.seconds)
        content.seek(0)
        decoded = soundfile.read(content, dtype="float32", always_2d=True)[0]
        np.testing.assert_allclose(decoded, sound.waveform, atol=1 / 32768)


def test_a_waveform_over_full_scale_is_clipped_not_wrapped() -> None:
    loud = np.array([[0.0], [1.7], [-1.7]], np.float32)
    decoded = soundfile.read(content_of(media.wav(loud, RATE), "audio/wav"))[0]
    np.testing.assert_allclose(decoded, [0, 1, -1], atol=1 / 32767)


def test_every_picture_is_a_pixel_a_value_with_low_frequencies_at_the_bottom() -> None:
    document = Elements(render_page(a_page()))
    pictures = [picture for picture in document.all("img") if picture["class"] == "over-hertz"]
    assert len(pictures) == 6
    for picture in pictures:
        image = Image.open(content_of(picture["src"], "image/png"))
        assert image.size == (1 + RATE // 2 // HOP, BINS)
        lightness = np.asarray(image.convert("L")).mean(axis=1)
        assert BINS - 1 - int(np.argmax(lightness)) == 32  # the row of 1 kHz, counted from below
        assert picture["alt"] == "Spectrogram, 0 to 4,000 Hz over 0.5 s, loudest near 1,000 Hz."


def test_every_picture_over_octaves_has_the_tone_in_its_row() -> None:
    pictures = [picture for picture in Elements(render_page(a_page())).all("img") if picture["class"] == "over-octaves"]
    assert len(pictures) == 6
    for picture in pictures:
        image = Image.open(content_of(picture["src"], "image/png"))
        assert image.size == (1 + RATE // 2 // HOP, ROWS)
        lightness = np.asarray(image.convert("L")).mean(axis=1)
        lowest = max(LOWEST_HZ, RATE / 2 / BINS)
        row = ROWS * np.log(1000 / lowest) / np.log(RATE / 2 / lowest)
        assert ROWS - 1 - int(np.argmax(lightness)) == pytest.approx(row, abs=3)


def test_a_meter_says_how_loud_a_sound_is() -> None:
    sine = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)[:, None]
    picture = a_sound().log_spectrogram
    level = Sound("", sine / 2, RATE, picture, HOP).level
    assert (level.peak_db, level.rms_db) == (pytest.approx(-6.02, abs=0.01), pytest.approx(-9.03, abs=0.01))
    assert (level.text, round(level.rms, 2)) == ("−9 dB, peak −6", 0.85)
    assert Sound("", 0 * sine, RATE, picture, HOP).level.text == "below −60 dB"
    meters = [each for each in Elements(render_page(a_page())).all("div") if each.get("class") == "level"]
    assert len(meters) == 6
    assert all(meter["aria-label"].startswith("Level −") for meter in meters)


def test_all_pictures_share_one_colour_scale() -> None:
    page = a_page()
    original, reconstruction = page.sections[0].sounds[:2]
    assert page.range_db == (-80, 0)
    indices = [
        np.asarray(Image.open(content_of(page.pictures(sound)[0][2], "image/png")))
        for sound in (original, reconstruction)
    ]
    assert indices[0].max() == 255
    assert indices[1].max() == round(255 * 60 / 80)


def test_palette_rises_evenly_in_lightness() -> None:
    linear = (media.palette() / 255.0) ** 2.2
    lightness = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16
    assert np.all(np.diff(lightness) > 0)
    assert np.polyfit(np.arange(256), lightness, 1)[0] == pytest.approx(100 / 256, rel=0.15)


def test_the_page_asks_for_nothing_outside_itself() -> None:
    text = render_page(a_page())
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text.replace("data:", ""), re.IGNORECASE)
    document = Elements(text)
    for _, attributes in document.found:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    policies = [meta["content"] for meta in document.all("meta") if "http-equiv" in meta]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none';")


def test_text_is_escaped_everywhere() -> None:
    sound = a_sound(HOSTILE)
    page = Page(
        title=HOSTILE,
        lead=HOSTILE,
        notice=HOSTILE,
        sections=[
            Section(HOSTILE, HOSTILE, [Comparisons([Comparison(HOSTILE, [sound], HOSTILE)])]),
            Section(
                f"Others {HOSTILE}",
                HOSTILE,
                [
                    Charts([Chart(HOSTILE, HOSTILE, [Curve(HOSTILE, [1.0]), Curve(HOSTILE, [1.0])])]),
                    Bars(HOSTILE, [1.0]),
                    Figures([Figure(HOSTILE, HOSTILE, HOSTILE)]),
                    Facts([Fact(HOSTILE, HOSTILE)]),
                    Rows([HOSTILE], [[HOSTILE]]),
                    a_map([{HOSTILE: HOSTILE}], HOSTILE),
                ],
            ),
        ],
        colophon=HOSTILE,
    )
    text = render_page(page)
    assert "<script>alert" not in text
    document = Elements(text)
    assert len(document.all("script")) == 2  # the map's data and the page's own
    assert document.text.count(HOSTILE) >= 26
    assert document.all("audio")[0]["aria-label"] == f"{HOSTILE}, {HOSTILE}"


def test_headings_landmarks_and_links_within_the_page() -> None:
    document = Elements(render_page(a_page(notice="Nothing was held out.")))
    assert len(document.all("h1")) == 1
    assert document.all("html")[0]["lang"] == "en"
    ids = [attributes["id"] for _, attributes in document.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [link["href"].removeprefix("#") for link in document.all("a")] == [
        "held-out-sounds",
        "generated",
        "training",
        "numbers",
    ]
    assert {link["href"][1:] for link in document.all("a")} <= set(ids)
    assert all(picture["alt"] for picture in document.all("img"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in document.all("svg"))
    assert "Nothing was held out." in document.text
    assert "4 kHz" in document.text
    assert "0.4 s" in document.text


def test_curves_are_drawn_and_told() -> None:
    document = Elements(render_page(a_page()))
    chart = next(svg for svg in document.all("svg") if "aria-label" in svg)
    assert chart["aria-label"] == "Loss over 3 epochs: train from 3 to 1; validation from 4 to 2.5."
    lines = [line["points"].split() for line in document.all("polyline") if len(line["points"].split()) == 3]
    assert len(lines) == 2
    heights = [float(point.split(",")[1]) for point in lines[0]]
    assert heights == sorted(heights)  # y grows downwards: the loss falls


def test_bars_are_as_high_as_their_values() -> None:
    bars = Bars("KL of each dimension.", [4.0, 2.0, 1.0, 0.0])
    document = Elements(render_page(a_page(sections=[Section("Posterior health", "Fine.", [bars])])))
    heights = [float(bar["height"]) for bar in document.all("rect")]
    assert heights[0] > 0
    np.testing.assert_allclose(heights, np.array([1, 0.5, 0.25, 0]) * heights[0], atol=0.01)
    assert len({float(bar["y"]) + float(bar["height"]) for bar in document.all("rect")}) == 1  # on one ground
    assert "4 bars from 0 to 4." in [svg.get("aria-label") for svg in document.all("svg")]
    assert {"#posterior-health"} <= {link["href"] for link in document.all("a")}
    assert document.all("rect") != Elements(render_page(a_page())).all("rect") == []


def test_a_map_has_every_sound_at_its_place_in_its_colour() -> None:
    labels = [{"digit": "10", "split": "train"}, {"digit": "2", "split": "test"}, {"digit": "", "split": "train"}]
    sounds = a_map(labels)
    text = render_page(a_page(sections=[Section("Latent map", "", [sounds])]))
    document = Elements(text)
    places = [(float(c["cx"]), float(c["cy"])) for c in document.all("circle")]
    (left, bottom), (right, also_bottom), (also_right, top) = places
    assert left < right == also_right
    assert top < bottom == also_bottom  # y grows downwards
    assert [c["class"] for c in document.all("circle")] == ["class-1", "class-0", "class-10"]  # 2, 10, none
    content = re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    assert content is not None
    data = json.loads(content[1])
    assert [point["title"] for point in data["points"]] == ["Tone 0", "Tone 1", "Tone 2"]
    assert data["classes"] == [[1, 0, 10], [1, 0, 1]]
    assert data["placed"][0][0] == [left, bottom]
    for point in data["points"]:
        assert soundfile.info(content_of(point["audio"], "audio/wav")).duration == pytest.approx(0.5)
        sizes = [Image.open(content_of(picture["src"], "image/png")).size for picture in point["pictures"]]
        assert sizes == [(32, ROWS), (32, BINS)]


def test_of_many_classes_the_rarest_share_a_colour() -> None:
    values = [str(i % 13) for i in range(13 * 4)] + ["7", "0", "12"]
    of = legend("digit", values)
    assert len(of.classes) == 11
    assert of.classes[10] == "other"
    assert {"0", "7", "12"} < set(of.classes.values())
    shown = [value for number, value in of.classes.items() if number < 10]
    assert shown == sorted(shown, key=int)
    assert [of.classes[number] for number in of.class_of_point[:1]] == ["0"]


def test_a_picture_of_a_long_sound_has_fewer_pixels() -> None:
    log_spectrogram = np.repeat(np.linspace(-80, 0, 2000)[None, :, None], 700, axis=0)
    image = Image.open(content_of(media.spectrogram_png(log_spectrogram, (-80, 0)), "image/png"))
    assert image.size == (512, 512)
    assert np.all(np.diff(np.asarray(image)[0].astype(int)) >= 0)


def test_an_almost_empty_page_and_a_page_of_one_epoch() -> None:
    assert "<h1>Title</h1>" in render_page(Page("Title", "Lead."))
    curves = [Curve("train", [0.5]), Curve("validation", [math.nan])]
    charts = Charts([Chart("Loss", "", curves, log_scale=True)])
    document = Elements(render_page(Page("Title", "Lead.", sections=[Section("Training", "", [charts])])))
    assert len(document.all("circle")) == 1
    assert "nan" not in document.text.lower()


def test_size_of_a_page_with_twelve_pairs_and_six_sounds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def noise() -> Sound:  # the hardest to compress
        waveform = rng.uniform(-1, 1, (16000, 1)).astype(np.float32)
        return Sound("Noise", waveform, 16000, rng.normal(-40, 6, (256, 64, 1)).astype(np.float32), 256)

    pairs = Comparisons([Comparison(str(number), [noise(), noise()]) for number in range(12)])
    singles = Comparisons([Comparison("", [noise()])] * 6)
    page = Page("Noise", "", sections=[Section("A", "", [pairs]), Section("B", "", [singles])])
    assert write_page(page, tmp_path / "page.html").stat().st_size < 3_000_000


@pytest.mark.parametrize(
    ("waveform", "spectrogram", "message"),
    [
        (np.zeros(10), np.zeros((4, 2, 1)), r"waveform of shape \(10,\) must be"),
        (np.zeros((10, 1)), np.zeros((4, 2)), r"log_spectrogram of shape \(4, 2\) must be"),
        (np.full((10, 1), np.nan), np.zeros((4, 2, 1)), "must be finite"),
        (np.zeros((10, 1)), np.full((4, 2, 1), -np.inf), "must be finite"),
    ],
)
def test_a_sound_of_wrong_shape_or_values(waveform: np.ndarray, spectrogram: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sound("Bad", waveform, RATE, spectrogram, HOP)

"""What the app makes of sounds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.config import SpectrogramConfig
from pipelines.errors import SettingError, SourceError
from tests.helpers.dataset_writer import write_dataset
from tests.helpers.sounds import tone
from tests.helpers.tones_model import CONFIG, tones, write_model
from vae_model.playing.board import Touch, for_page
from vae_model.playing.figure import figure
from vae_model.playing.heard import Heard, playable
from vae_model.playing.studio import Studio
from vae_model.sound import latents
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.limiter import limited

RATE = 4000


def picture_of(studio: Studio, heard: Heard) -> str:
    return figure(heard, studio.sample_rate, studio.generator.bundle.spectrogram.hop_length)


def test_a_touch_of_the_map_is_the_sound_there_or_lies_between_sounds(studio: Studio) -> None:
    generator = studio.generator
    a, b, c = (studio.sounds[number] for number in (0, 7, 11))

    def heard(latent: np.ndarray) -> np.ndarray:
        return limited(next(generator.decode(latent[None])), RATE)

    np.testing.assert_array_equal(studio.play(Touch(((7, 1.0),))).waveform, heard(b.latent))
    half = latents.between(a.latent, b.latent, np.array([0.5]), latents.SLERP)[0]
    np.testing.assert_array_equal(studio.play(Touch(((0, 0.5), (7, 0.5)))).waveform, heard(half))
    third = latents.between(half, c.latent, np.array([0.2]), latents.SLERP)[0]
    touch = Touch(((0, 0.4), (7, 0.4), (11, 0.2)))
    np.testing.assert_allclose(studio.play(touch).waveform, heard(third), atol=1e-5)
    moved = third + 2 * studio.directions.steps[1]
    np.testing.assert_allclose(studio.play(touch, [0.0, 2.0]).waveform, heard(moved), atol=1e-5)


def test_what_a_drag_passes_by_is_nearly_the_sound_there(studio: Studio) -> None:
    shares = ((0, 0.5), (7, 0.5))
    passed, there = studio.play(Touch(shares, settled=False)), studio.play(Touch(shares))
    assert (passed.passing, there.passing) == (True, False)
    levels = [studio.generator.inverter.to_decibels(heard.waveform) for heard in (passed, there)]
    assert np.abs(levels[0] - levels[1]).mean() < 3


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "{}",
        '{"shares": [[40, 1]], "settled": true}',
        '{"shares": [[-1, 1]], "settled": true}',
        '{"shares": [[0, 0]], "settled": true}',
        '{"shares": [[0, NaN]], "settled": true}',
        '{"shares": [[0, Infinity]], "settled": true}',
        '{"shares": [[0, 1], [1, 1], [2, 1], [3, 1]], "settled": true}',
        '{"shares": 3, "settled": true}',
    ],
)
def test_what_no_map_says_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"touch of the map"):
        Touch.of_json(text, 40)


def test_what_a_map_says() -> None:
    assert Touch.of_json(None, 40) == Touch()
    assert Touch.of_json('{"shares": [[3, 3], [9, 1]], "settled": false}', 40) == Touch(((3, 0.75), (9, 0.25)), False)


def test_the_map_of_a_model_without_its_training_sounds_has_new_ones(studio: Studio, learned: Studio) -> None:
    assert (studio.has_training_sounds, len(studio.sounds)) == (True, 40)
    assert (learned.has_training_sounds, len(learned.sounds)) == (False, 200)
    board = for_page(learned.sounds, learned.directions)
    assert board["titles"][:2] == ["new 1", "new 2"]
    assert {legend["label"] for legend in board["legends"]} >= {"last"}


def test_sounds_are_all_over_the_map(studio: Studio) -> None:
    board = for_page(studio.sounds, studio.directions)
    assert [sorted(axis) for axis in zip(*board["places"], strict=True)] == [
        pytest.approx(np.arange(40) / 39, abs=1e-4)
    ] * 2
    (legend,) = (legend for legend in board["legends"] if legend["label"] == "last")
    assert [name for _, name in legend["classes"]] == list("0123456789")
    number = board["titles"].index("13.wav")
    assert legend["of"][number] == 3
    assert "last 3" in board["labels"][number]


def test_reconstruct_mix_and_generate(studio: Studio, sound: Path, tmp_path: Path) -> None:
    heard = studio.reconstruct(str(sound))
    assert len(heard.waveform) == 0.6 * RATE
    assert heard.name == "reconstruction of mine"
    captions = ["What came in, its first 0.25 s", "What the model makes of it, its first 0.25 s"]
    assert list(heard.log_spectrograms) == captions
    assert picture_of(studio, heard).count("<img") == 2
    assert picture_of(studio, studio.generate(1)).count("<img") == 1
    soundfile.write(tmp_path / "other.wav", tone(1200, 0.3, 8000), 8000)
    ends = [studio.mix(str(sound), str(tmp_path / "other.wav"), part).waveform for part in (0.0, 1.0)]
    assert [len(end) for end in ends] == [0.25 * RATE] * 2
    soundfile.write(tmp_path / "short.wav", tone(500, 0.2, 8000), 8000)
    whole = studio.reconstruct(str(tmp_path / "short.wav"))
    assert list(whole.log_spectrograms) == ["What came in", "What the model makes of it"]
    np.testing.assert_array_equal(ends[0], studio.mix(str(sound), str(sound), 0.7).waveform)
    np.testing.assert_array_equal(studio.generate(7).waveform, studio.generate(7).waveform)


def test_a_log_mel_model_is_heard_and_drawn_as_any_other(sound: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, spectrogram=SpectrogramConfig(64, 64, feature="log-mel", n_bands=8))
    dataset = write_dataset(tmp_path / "dataset", {"train": tones(12, 0)}, config)
    studio = Studio(SoundGenerator.load(write_model(tmp_path / "model", dataset)), str(tmp_path / "sounds"))
    made = [
        studio.reconstruct(str(sound)),
        studio.play(Touch(), [1.0]),
        studio.generate(3),
        studio.mix(*[str(sound)] * 2, 0.5),
    ]
    for heard in made:
        assert np.isfinite(heard.waveform).all()
        assert np.abs(heard.waveform).max() > 0
        assert {len(picture) for picture in heard.log_spectrograms.values()} == {32}  # bins up to 2 kHz, not bands
        assert "500 Hz" in picture_of(studio, heard)


def test_new_sounds_by_label_of_any_length_and_variations(learned: Studio, studio: Studio, sound: Path) -> None:
    assert learned.labels["last"] == tuple("0123456789")
    assert (studio.labels, studio.has_prior, studio.longest_seconds) == ({}, False, 0.25)
    assert len(learned.generate(1, {"last": "3"}, guidance=2.0).waveform) == 0.25 * RATE
    heard = learned.generate(1, {"last": "3"}, seconds=1.5)
    assert len(heard.waveform) == 1.5 * RATE
    np.testing.assert_array_equal(heard.waveform, learned.generate(1, {"last": "3"}, None, 1.5).waveform)
    assert not np.array_equal(heard.waveform, learned.generate(1, {"last": "3"}, 3.0, 1.5).waveform)
    near, far = (learned.vary(str(sound), amount, 1).waveform for amount in (0.1, 1.0))
    assert len(near) == len(far) == 0.25 * RATE
    assert not np.array_equal(near, far)
    with pytest.raises(SettingError, match="seconds=21 must be at most 20"):
        learned.generate(1, seconds=21)
    with pytest.raises(SettingError, match="--label last=x must be a value that the model learned"):
        learned.generate(1, {"last": "x"})


def test_a_faint_sound_is_said_to_be_faint() -> None:
    faint = np.full((2000, 1), 1e-3, np.float32)
    assert Heard("a", faint, {}).facts(RATE) == "0.50 s, peak −60.0 dB of full scale"
    assert Heard("a", 0 * faint, {}).facts(RATE) == "0.50 s, silence"


def test_files_are_named_by_what_they_are_of(studio: Studio, sound: Path) -> None:
    assert studio.play(Touch(), [0.0, 0.0]).name == "moved to mean"
    assert studio.play(Touch(), [0.5, 0.0, -1.0]).name == "moved to 0.5 0 -1"
    first, second = (studio.sounds[number].source.removesuffix(".wav") for number in (3, 4))
    assert studio.play(Touch(((3, 1.0),))).name == first
    assert studio.play(Touch(((3, 0.75), (4, 0.25))), [1.0]).name == f"{first} 75%, {second} 25% moved to 1"
    assert studio.mix(str(sound), str(sound), 0.25).name == "mine to mine, 0.25"
    assert studio.generate(7).name == "new 7"


@pytest.mark.parametrize("name", ["mine.aiff", "mine.aif"])
def test_what_browsers_don_t_play_is_made_into_what_they_do(name: str, sound: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(sound)
    soundfile.write(tmp_path / name, samples, rate, format="AIFF")
    made = playable(str(tmp_path / name), str(tmp_path))
    assert Path(made).name == "mine.wav"
    info = soundfile.info(made)
    assert (info.format, info.samplerate) == ("WAV", 44100)
    assert info.duration == pytest.approx(0.6, abs=1e-3)
    assert playable(str(sound), str(tmp_path)) == str(sound)


def test_what_is_no_sound_is_refused(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<b>")
    with pytest.raises(SettingError, match=r"a file \.html is none of"):
        studio.reconstruct(str(tmp_path / "page.html"))
    (tmp_path / "broken.wav").write_text("no sound")
    with pytest.raises(SourceError, match="Format not recognised"):
        studio.reconstruct(str(tmp_path / "broken.wav"))

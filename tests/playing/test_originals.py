"""The recording of a sound of the map, beside what the model makes of it; in stereo, on the page too."""

from __future__ import annotations

import dataclasses
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.config import AudioConfig, SpectrogramConfig
from pipelines.dataset.folder import open_dataset
from tests.helpers.app_server import serving
from tests.helpers.browser import visiting
from tests.helpers.dataset_writer import write_dataset
from tests.helpers.tones_model import CONFIG, tones, write_model
from vae_model.model_folder.bundle import Bundle
from vae_model.playing.board import Touch
from vae_model.playing.heard import correlation, loudness_of
from vae_model.playing.studio import Studio
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.recordings import ModelRecordings
from vae_model.training_sounds import read_training_sounds, write_training_sounds
from vae_model.vae.finished import load_finished

RATE = 4000
STEREO = dataclasses.replace(
    CONFIG,
    audio=AudioConfig(sample_rate=RATE, segment_seconds=0.25, channels=2),
    spectrogram=SpectrogramConfig(64, 64, stereo="coherence"),
)


def wide(count: int) -> list[np.ndarray]:
    """The tones, with noise of its own in each channel, and left twice as loud."""
    rng = np.random.default_rng(5)
    noise = [0.3 * np.abs(wave).max() * rng.normal(size=(1000, 2)).clip(-2, 2) for wave in tones(count, 0)]
    return [(wave + own) * [0.5, 0.25] for wave, own in zip(tones(count, 0), noise, strict=True)]


def write_recordings(folder: Path, waves: list[np.ndarray]) -> Path:
    """As files of the names that the dataset's sources have."""
    folder.mkdir()
    for number, wave in enumerate(waves):
        soundfile.write(folder / f"{number}.wav", wave, RATE, "FLOAT")
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("of") / "tones", tones(40, 0))


def with_recordings(studio: Studio, folder: Path | None) -> Studio:
    given = [] if folder is None else [str(folder)]
    found = ModelRecordings(studio.generator.bundle, None, given)
    return Studio(studio.generator, studio.folder, studio.sounds, found)


def test_a_sound_of_the_map_comes_with_its_recording(studio: Studio, recordings: Path) -> None:
    heard = with_recordings(studio, recordings).play(Touch(((5, 1.0),)))
    number = int(studio.sounds[5].source.removesuffix(".wav"))
    np.testing.assert_allclose(heard.original, tones(40, 0)[number], atol=1e-6)
    assert heard.original is not None
    assert heard.original_lufs == loudness_of(heard.original, RATE)
    assert list(heard.log_spectrograms) == ["Its recording", "What the model makes of it"]
    np.testing.assert_array_equal(heard.waveform, studio.play(Touch(((5, 1.0),))).waveform)


def test_what_is_no_training_sound_has_none(studio: Studio, recordings: Path) -> None:
    beside = with_recordings(studio, recordings)
    for touch, amounts in (
        (Touch(), []),
        (Touch(((5, 0.5), (6, 0.5))), []),
        (Touch(((5, 1.0),)), [1.0]),
        (Touch(((5, 1.0),), settled=False), []),
    ):
        assert beside.play(touch, amounts).original is None


def test_a_recording_that_has_gone_or_is_another_is_none(studio: Studio, recordings: Path, tmp_path: Path) -> None:
    touch = Touch(((5, 1.0),))
    assert with_recordings(studio, None).play(touch).original is None
    assert with_recordings(studio, tmp_path).play(touch).original is None
    changed = tmp_path / "changed"
    shutil.copytree(recordings, changed)
    soundfile.write(changed / studio.sounds[5].source, tones(41, 9)[5][::-1] * 0.1, RATE, "FLOAT")
    assert with_recordings(studio, changed).play(touch).original is None
    assert with_recordings(studio, changed).play(Touch(((6, 1.0),))).original is not None


def test_width_is_told_of_two_channels_alone() -> None:
    noise = np.random.default_rng(0).normal(size=(100_000, 2)).astype(np.float32)
    assert correlation(noise) == pytest.approx(0, abs=0.02)
    assert correlation(noise[:, [0, 0]]) == pytest.approx(1)
    assert correlation(noise[:, :1] * [1, -0.1]) == pytest.approx(-1)
    assert correlation(noise[:, :1]) is None
    assert correlation(noise * [1, 0]) is None


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained model of stereo sounds, with these in its folder's map."""
    folder = tmp_path_factory.mktemp("stereo")
    dataset = write_dataset(folder / "dataset", {"train": wide(20)}, STEREO)
    model = write_model(folder / "model", dataset)
    write_training_sounds(Path(model), *load_finished(model), open_dataset(dataset))
    write_recordings(folder / "recordings", wide(20))
    return model


def test_stereo_sounds_have_two_channels_and_their_recordings(stereo: str) -> None:
    bundle = Bundle.load(stereo)
    given = ModelRecordings(bundle, None, [str(Path(stereo).with_name("recordings"))])
    studio = Studio(SoundGenerator.load(stereo), "", read_training_sounds(stereo, bundle), given)
    heard = studio.play(Touch(((3, 1.0),)))
    assert heard.waveform.shape == (1000, 2)
    np.testing.assert_allclose(heard.original, wide(20)[int(studio.sounds[3].source.removesuffix(".wav"))], atol=1e-6)
    assert {picture.shape for picture in heard.log_spectrograms.values()} == {(32, 16, 2)}
    assert "stereo: the channels correlate by" in heard.facts(RATE)


@pytest.mark.slow
def test_the_page_plays_compares_and_packs_stereo(stereo: str, tmp_path: Path) -> None:
    with (
        serving(stereo, tmp_path, "--recordings", str(Path(stereo).with_name("recordings"))) as (url, _),
        visiting() as visit,
    ):
        page = visit.page
        page.goto(url)
        page.locator("#board .dots circle").nth(3).click(timeout=30_000)
        page.locator("#moved-facts").get_by_text("stereo: the channels correlate by").wait_for(timeout=30_000)
        page.get_by_role("button", name="A: original").click(timeout=30_000)
        a, b = (
            f"document.querySelector('#compare-moved audio[data-of={part}]')" for part in ("given", "reconstruction")
        )
        visit.wait_until(f"{a}.played.length > 0 && {a}.src.includes('recording')")
        page.locator("h1").click()
        page.keyboard.press("b")
        visit.wait_until(f"{b}.played.length > 0")
        assert page.locator("#compare-moved .gain").inner_text() != ""
        page.keyboard.press("ArrowRight")
        visit.wait_until("document.querySelectorAll('#moved a[download]').length > 0")
        with page.expect_download(timeout=30_000) as download:
            page.locator("#zip").click()
        download.value.save_as(tmp_path / "sounds.zip")
        with zipfile.ZipFile(tmp_path / "sounds.zip") as archive:
            sounds = [soundfile.read(io.BytesIO(archive.read(name)))[0] for name in archive.namelist()]
        assert (visit.errors, visit.elsewhere) == ([], [])
    assert sounds
    for sound in sounds:
        assert sound.shape == (1000, 2)
        assert np.abs(sound[:, 0] - sound[:, 1]).max() > 0.001

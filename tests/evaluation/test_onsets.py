"""Onsets of synthetic clicks at known places: what is before them, how fast they rise, how loud they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.dataset.folder import open_dataset
from tests.helpers.console import audio_vae_json
from vae_model.commands import evaluate
from vae_model.evaluation.onsets import before_db, figures_of, find_onset, measure_onsets, shape_of
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.sound.generator import SoundGenerator
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.gaussians import Gaussians
from vae_model.vae.variational import build

RATE = 16000
AT, BESIDE = 6000, 320  # 20 ms
CLICKS = 6


def click(at: int = AT, gain: float = 0.5, seconds: float = 1.0) -> np.ndarray:
    """Silence, and from a sample on noise that decays within 0.1 s, float32 (n_samples, 1)."""
    time = np.arange(int(seconds * RATE) - at) / RATE
    noise = np.random.default_rng(at).uniform(-gain, gain, len(time)) * np.exp(-time / 0.1)
    return np.concatenate([np.zeros(at), noise]).astype(np.float32)[:, None]


def smeared(sound: np.ndarray, change_db: float) -> np.ndarray:
    """With noise in the 20 ms before AT whose mean power is so far from that of the 20 ms behind it."""
    noise = np.random.default_rng(1).normal(size=(BESIDE, 1))
    behind = np.square(sound[AT : AT + BESIDE]).mean()
    before = np.sqrt(behind * 10 ** (change_db / 10) / np.square(noise).mean()) * noise
    return np.concatenate([sound[: AT - BESIDE], before, sound[AT:]]).astype(np.float32)


def test_a_click_is_found_where_it_is() -> None:
    onset = find_onset(click(), RATE)
    assert onset is not None
    assert abs(onset.start - AT) <= RATE / 1000
    assert abs(onset.rise - AT) <= RATE / 1000


def test_a_smear_before_a_click_counts_as_many_decibels_as_it_has() -> None:
    assert before_db(click(), AT, RATE) == -80.0  # silence
    for change in (-40.0, -25.0, -12.0):
        assert before_db(smeared(click(), change), AT, RATE) == pytest.approx(change, abs=0.01)
    stereo = np.concatenate([smeared(click(), -20.0), np.zeros((RATE, 1), np.float32)], axis=1)
    assert before_db(stereo, AT, RATE) == pytest.approx(-20.0, abs=0.01)  # of both channels together


def test_an_attack_takes_as_long_as_its_ramp_from_a_tenth_to_nine_tenths() -> None:
    steady = np.concatenate([np.zeros(AT), np.where(np.arange(RATE - AT) % 2, 0.5, -0.5)])
    for ramp_ms in (5.0, 20.0):
        ramp = np.clip((np.arange(RATE) - AT) / (ramp_ms / 1000 * RATE), 0, 1)
        sound = (ramp * steady).astype(np.float32)[:, None]
        onset = find_onset(sound, RATE)
        assert onset is not None
        shape = shape_of(sound, onset, RATE)
        assert shape.attack_ms == pytest.approx(0.8 * ramp_ms, abs=0.2)
        assert shape.peak == pytest.approx(0.5, rel=0.01)


def test_figures_are_medians_beside_the_original() -> None:
    shapes = []
    for change in (-30.0, -20.0, -10.0):
        original = smeared(click(), -40.0)
        onset = find_onset(original, RATE)
        assert onset is not None
        onset = dataclasses.replace(onset, start=AT)
        heard = [original, 2 * smeared(click(), change), original / 2]
        shapes.append([shape_of(each.astype(np.float32), onset, RATE) for each in heard])
    figures = figures_of(shapes)
    assert figures["original"]["before_db"] == pytest.approx(-40, abs=0.01)
    assert figures["spectrogram"]["before_db"] == pytest.approx(-20, abs=0.01)
    assert figures["spectrogram"]["before_change_db"] == pytest.approx(20, abs=0.01)
    assert figures["spectrogram"]["peak_change_db"] == pytest.approx(6.02, abs=0.01)
    assert figures["reconstruction"]["before_change_db"] == pytest.approx(0, abs=0.01)
    assert figures["reconstruction"]["peak_change_db"] == pytest.approx(-6.02, abs=0.01)
    assert figures["reconstruction"]["attack_ms"] == figures["original"]["attack_ms"]


@pytest.mark.parametrize(
    "sound",
    [
        click(at=BESIDE // 2),  # no 20 ms before it
        click(at=RATE - BESIDE // 2),  # none behind it
        np.zeros((RATE, 1), np.float32),
        np.sin(np.arange(RATE, dtype=np.float32))[:, None],  # steady
        np.linspace(0, 1, RATE, dtype=np.float32)[:, None] * np.sin(np.arange(RATE, dtype=np.float32))[:, None],
        click(seconds=0.38)[AT:][:600],  # shorter than twice 20 ms
    ],
)
def test_what_has_no_onset_has_none(sound: np.ndarray) -> None:
    assert find_onset(sound, RATE) is None


def test_silence_where_an_onset_was_is_no_number_that_is_none() -> None:
    onset = find_onset(click(), RATE)
    assert onset is not None
    shape = shape_of(np.zeros((RATE, 1), np.float32), onset, RATE)
    original = shape_of(click(), onset, RATE)
    figures = figures_of([[original, shape, shape]])
    assert figures["spectrogram"]["peak_change_db"] == pytest.approx(-80)
    assert all(np.isfinite(list(row.values())).all() for row in figures.values())


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Recordings of six clicks and two sines, a dataset with them all in `validation`, a model that nobody trained."""
    folder = tmp_path_factory.mktemp("onsets")
    sounds = folder / "sounds"
    sounds.mkdir()
    for number in range(CLICKS):
        soundfile.write(sounds / f"click_{number}.wav", click(AT + 700 * number), RATE)
    for number in range(2):
        soundfile.write(sounds / f"sine_{number}.wav", 0.3 * np.sin(np.arange(RATE) * (0.2 + number)), RATE)
    dataset = str(folder / "dataset")
    splits = ["--split-pattern", "validation=(click|sine)_[0-5]"]
    audio_vae_json("preprocess", sounds, "--output", dataset, "--preset", "tiny", *splits)
    return sounds, dataset, untrained(folder / "model", dataset)


def untrained(folder: Path, dataset: str) -> str:
    opened = open_dataset(dataset)
    config = ModelConfig("vae", opened.record.shape, (4,), (3,), (4,), 3)
    build(config).save(folder)
    Bundle.of(opened, config, TrainConfig(), ValueRange(opened.min_db, opened.max_db)).save(folder)
    return str(folder)


class Faultless(Autoencoder):
    """A model whose latents are the spectrograms."""

    config = ModelConfig("autoencoder")

    def __init__(self) -> None:
        pass

    def posterior(self, spectrograms: np.ndarray) -> Gaussians:
        return Gaussians(spectrograms)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        return latents


def test_true_spectrograms_keep_onsets_and_a_model_without_error_adds_nothing(clicks: tuple[Path, str, str]) -> None:
    _, dataset, model = clicks
    bundle = Bundle.load(model)
    generator = SoundGenerator(Faultless(), bundle)
    found = measure_onsets(generator, open_dataset(dataset), "validation")
    assert (found["num"], found["num_heard"], found["why"]) == (CLICKS, CLICKS + 2, None)
    original, true, own = (found[name] for name in ("original", "spectrogram", "reconstruction"))
    assert original["before_db"] == -80
    assert original["attack_ms"] < 2
    assert -80 < true["before_db"] < -10  # the window of 32 ms reaches before the click
    assert true["before_change_db"] == pytest.approx(true["before_db"] - original["before_db"])
    assert abs(true["peak_change_db"]) < 3
    for key, value in true.items():
        assert own[key] == pytest.approx(value, abs=0.3), key  # but for the bits of float32


def test_evaluate_tells_of_onsets_where_the_recordings_are(
    clicks: tuple[Path, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds, dataset, model = clicks
    found = audio_vae_json("evaluate", model, dataset)["onsets"]
    assert (found["num"], found["num_heard"], found["why"]) == (CLICKS, CLICKS + 2, None)
    assert set(found["reconstruction"]) == {"before_db", "before_change_db", "attack_ms", "peak_change_db"}

    moved = tmp_path / "moved"
    sounds.rename(moved)
    try:
        nothing = audio_vae_json("evaluate", model, dataset)["onsets"]
        assert nothing == {
            "num": 0,
            "num_heard": 0,
            "original": None,
            "spectrogram": None,
            "reconstruction": None,
            "why": "the recordings are not found",
        }
        assert evaluate.main([model, dataset]) == 0
        assert "onsets                        not measured: the recordings are not found" in capsys.readouterr().out
        assert audio_vae_json("evaluate", model, dataset, "--recordings", moved)["onsets"] == found
    finally:
        moved.rename(sounds)
    assert evaluate.main([model, dataset]) == 0
    text = capsys.readouterr().out
    assert "onsets, 6 in 8 sounds" in text
    assert max(map(len, text.splitlines()[1:])) <= 80


def test_the_report_has_them_among_its_numbers(clicks: tuple[Path, str, str], tmp_path: Path) -> None:
    _, dataset, model = clicks
    found = audio_vae_json("evaluate", model, dataset)["onsets"]
    page = tmp_path / "page.html"
    audio_vae_json("report", model, dataset, "--output", page)
    text = page.read_text(encoding="utf-8")
    assert "Before an onset" in text
    assert f"{found['reconstruction']['attack_ms']:.1f} ms" in text

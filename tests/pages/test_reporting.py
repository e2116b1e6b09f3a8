"""The report command on a small model: what is on the page, where its sounds come from, and what it refuses."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.spatial.distance import cdist

from pipelines.dataset.folder import open_dataset
from pipelines.errors import SettingError
from tests.helpers.console import audio_vae_json
from tests.helpers.dataset_writer import write_dataset
from tests.helpers.pages import Elements, content_of
from tests.helpers.sounds import write_tones
from tests.helpers.tones_model import CONFIG, tones, write_model
from vae_model.commands import report
from vae_model.model_folder.bundle import Bundle
from vae_model.pages import model_page
from vae_model.pages.facts import MAP_SECONDS, MAX_SECONDS
from vae_model.pages.latent_map import layouts
from vae_model.pages.page_sounds import survey
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.recordings import Recordings


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """40 labelled tones to train on and 12 in test, 32 x 16 x 1, whose recordings are nowhere."""
    folder = tmp_path_factory.mktemp("data") / "dataset"
    return write_dataset(folder, {"train": tones(40, 0), "test": tones(12, 2)}, CONFIG)


@pytest.fixture(scope="module")
def model(dataset: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("model") / "tones", dataset)


def test_the_page_has_every_part(model: str, dataset: str, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    values = audio_vae_json("report", model, dataset, "--output", output)
    text = output.read_text(encoding="utf-8")
    assert values == {
        "page": str(output),
        "num_bytes": output.stat().st_size,
        "split": "test",
        "num_sounds": 2 * 8 + 2 * 4 + 8 + 8 + 52,  # no recordings: inversions and reconstructions alone
    }
    document = Elements(text)
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", text)
    assert titles == [
        "Held-out sounds",
        "Worst reconstructions",
        "New sounds",
        "Interpolation",
        "Latent map",
        "Training",
        "Posterior health",
        "Numbers",
    ]
    assert "What a VAE learned from dataset" in document.text
    assert "trained for 3 epochs on 40 segments of 0.25 s. On 12 others" in " ".join(document.text.split())
    assert len(document.all("circle")) == 52 + 2 * 3  # the points, and the curves' ends
    assert all(f">{name}</option>" in text for name in ("what is heard", "principal components", "t-SNE"))
    assert len(document.all("rect")) == 3
    for player in document.all("audio"):
        assert soundfile.info(content_of(player["src"], "audio/wav")).frames == 1000

    figures = audio_vae_json("evaluate", model, dataset)
    for value in (figures["reconstruction"]["mean_z"]["mse"], figures["baselines"]["pca_8"]["mse"]):
        assert f"{value:.5f}" in document.text
    for words in ("Linear probe: last", "Fréchet distance, new sounds", "3 of 3", "Log-spectral distance"):
        assert words in document.text


def test_the_worst_are_those_with_the_largest_errors(model: str, dataset: str) -> None:
    generator, opened = SoundGenerator.load(model), open_dataset(dataset)
    records = list(opened.records("test"))
    evenly, worst = survey(generator, records, 12, 5, 4)
    low, span = opened.min_db, opened.max_db - opened.min_db
    inputs = np.stack([(r.spectrogram * (r.max_db - r.min_db) + r.min_db - low) / span for r in records])
    latents = generator.autoencoder.encode(inputs)["mu"]
    errors = np.mean((inputs - generator.autoencoder.decode(latents)) ** 2, axis=(1, 2, 3))
    expected = [records[index].source for index in np.argsort(-errors)[:4]]
    assert [one.record.source for one in worst] == expected
    np.testing.assert_allclose([one.error for one in worst], np.sort(errors)[::-1][:4], rtol=1e-4)
    assert {one.record.source for one in evenly} == {records[index].source for index in (0, 3, 6, 8, 11)}


def test_an_autoencoder_s_page_on_sounds_that_it_was_trained_on(dataset: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", dataset, kind="autoencoder")
    assert report.main([folder, dataset, "--split", "train", "--output", str(tmp_path / "page.html")]) == 0
    document = Elements((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "What an autoencoder learned" in document.text
    assert "These are sounds that the model was trained on" in document.text
    assert "nats" not in document.text


def test_recordings_are_heard_where_they_still_are(tone_folder: Path, tone_dataset: Path, tmp_path: Path) -> None:
    opened = open_dataset(str(tone_dataset))
    record = next(opened.records("validation"))
    found = Recordings(opened).segment(record)
    expected = soundfile.read(tone_folder / record.source, dtype="float32", always_2d=True)[0]
    assert found is not None
    np.testing.assert_array_equal(found[: len(expected)], expected[: len(found)])

    moved = tmp_path / "sounds"
    runs = tuple(dataclasses.replace(run, inputs=(str(moved),)) for run in opened.runs)
    elsewhere = Recordings(dataclasses.replace(opened, runs=runs))
    assert elsewhere.segment(record) is None  # gone
    write_tones(moved)
    assert elsewhere.segment(record) is not None
    shutil.copy(moved / "tone_11.wav", moved / record.source)
    assert elsewhere.segment(record) is None  # another sound has taken its place


def test_long_sounds_are_fewer_and_cut(model: str) -> None:
    bundle = Bundle.load(Path(model))
    assert model_page.numbers_for(bundle) == model_page.Numbers()
    audio = dataclasses.replace(bundle.audio, sample_rate=48000, segment_seconds=30.0, channels=2)
    numbers = model_page.numbers_for(dataclasses.replace(bundle, audio=audio))
    in_lists = 3 * (numbers.comparisons + numbers.worst) + numbers.new + numbers.steps
    on_map = numbers.points * MAP_SECONDS * 320e3 / 8  # the most that MP3 takes
    heard_bytes = 4 / 3 * (2 * 2 * 48000 * in_lists * MAX_SECONDS + on_map)
    assert heard_bytes < 40e6
    assert numbers.points > 50
    assert numbers.comparisons >= 2


def test_groups_of_latents_stay_groups_on_the_map() -> None:
    rng = np.random.default_rng(0)
    centres = 20 * rng.normal(size=(3, 6))
    latents = np.repeat(centres, 20, axis=0) + rng.normal(size=(60, 6))
    group = np.repeat(np.arange(3), 20)
    for layout in layouts(latents.astype(np.float32), seed=1):
        distances = cdist(layout.positions, layout.positions) + np.diag(np.full(60, np.inf))
        assert np.all(group[distances.argmin(axis=1)] == group)
    one = layouts(latents[:, :1].astype(np.float32), seed=1)[0]
    assert one.positions.shape == (60, 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "{}"], "--output {} must be a file, it is a folder"),
        (["--output", "{}/none/page.html"], "--output {}/none/page.html must lie in a folder that is there"),
        (["--output", "http://host/page.html"], "--output http://host/page.html must be a place that can be written"),
        (["--output", "{}/page.html", "--split", "nope"], "split='nope' must be one of train, test"),
        (["--output", "{}/page.html", "--seed", "-1"], "--seed=-1 must be at least 0"),
    ],
)
def test_refusals(model: str, dataset: str, tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message.format(tmp_path))):
        report.main([model, dataset, *(word.format(tmp_path) for word in words)])
    assert list(tmp_path.iterdir()) == []

"""Levels that are told of a dataset with `stereo=coherence`: of its channels, not of how they go together."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from pipelines import describe_dataset, open_dataset, preprocess
from pipelines.beam import CutSegments, ExtractFeatures, Normalise, ReadAudio, WriteDataset
from pipelines.config import COHERENCE
from pipelines.dataset.folder import Dataset
from tests.helpers.sounds import tone
from vae_model.pages.dataset_page import dataset_page
from vae_model.rerun.drift import drift_of_sources

RATE = 16000
GAINS_DB = {"a.wav": -6.0, "b.wav": -26.0, "c.wav": -46.0, "d.wav": -66.0}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stereo sines of 1 kHz, of peaks from -6 to -66 dB of full scale, alike on both sides."""
    folder = tmp_path_factory.mktemp("stereo")
    for name, gain in GAINS_DB.items():
        sine = tone(1000, 1.0, RATE, 10 ** (gain / 20))
        soundfile.write(folder / name, np.stack([sine, sine], axis=1), RATE, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def datasets(sounds: Path) -> dict[str, Dataset]:
    """With and without what the channels have in common."""
    settings = {"preset": "tiny", "channels": 2, "split": "none", "workers": 1}
    output = sounds.parent
    plain = preprocess(sounds, output / "plain", **settings).dataset
    coherent = preprocess(sounds, output / "coherent", stereo=COHERENCE, **settings).dataset
    return {"plain": plain, "coherent": coherent}


def test_the_histogram_is_that_of_the_channels(datasets: dict[str, Dataset]) -> None:
    of_both = [describe_dataset(dataset).levels for dataset in datasets.values()]
    # a sine of full scale has 512 / 4 in its bin, 42.1 dB
    assert {level.from_db for level in of_both[0] if level.sources} == {30, 10, -10, -30}
    assert of_both[0] == of_both[1]
    plain, coherent = (
        dataset.manifest(["source", "max_db", "loudest_db"]).to_pylist() for dataset in datasets.values()
    )
    for one, other in zip(plain, coherent, strict=True):
        assert (one["source"], one["loudest_db"]) == (other["source"], None)
        assert other["loudest_db"] == pytest.approx(one["max_db"], abs=1e-4)
        assert other["max_db"] == pytest.approx(max(one["max_db"], 20), abs=1e-4)


def test_composed_transforms_write_the_same_levels(sounds: Path, datasets: dict[str, Dataset], tmp_path: Path) -> None:
    config = datasets["coherent"].config
    with beam.Pipeline() as pipeline:
        audio = pipeline | ReadAudio(str(sounds), config.audio)
        extracted = audio.waveforms | CutSegments(config.audio) | ExtractFeatures(config)
        _ = extracted.features | Normalise() | WriteDataset(tmp_path / "composed", config)
    ours, theirs = datasets["coherent"], open_dataset(tmp_path / "composed")
    by_source = [
        {row["source"]: row["loudest_db"] for row in dataset.manifest(["source", "loudest_db"]).to_pylist()}
        for dataset in (ours, theirs)
    ]
    assert by_source[0] == by_source[1]


def test_pages_and_drift_go_by_them(datasets: dict[str, Dataset]) -> None:
    titles = {}
    for name, dataset in datasets.items():
        page = dataset_page(dataset, 4, 0)
        parts = {section.title: section.blocks[0] for section in page.sections}
        titles[name] = [(one.title, one.note) for one in parts["Loudest recordings"].comparisons]
    assert [title for title, _ in titles["coherent"]] == list(GAINS_DB)
    assert titles["coherent"] == titles["plain"]
    drifts = []
    for dataset in datasets.values():
        sources = dataset.manifest(["source", "seconds", "max_db", "loudest_db"])
        is_new = pa.chunked_array([[source in ("c.wav", "d.wav") for source in sources["source"].to_pylist()]])
        drifts.append(drift_of_sources(sources, is_new, dataset.config)["level_db"])
    assert drifts[0] is not None
    assert drifts[1] is not None
    assert drifts[0].new_mean - drifts[0].old_mean == pytest.approx(-40, abs=0.1)
    assert dataclasses.astuple(drifts[1]) == pytest.approx(dataclasses.astuple(drifts[0]), rel=1e-4)


def test_of_manifests_that_do_not_say_nothing_is_told(datasets: dict[str, Dataset], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(datasets["coherent"].uri, tmp_path / "earlier"))
    manifest = next(copy.glob("runs/*/manifest.parquet"))
    pq.write_table(pq.read_table(manifest).drop_columns(["loudest_db"]), manifest)
    assert describe_dataset(copy).levels == ()

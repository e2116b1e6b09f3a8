"""What the tests of the app share: a model with some of its training sounds, and the app's server."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.dataset.folder import open_dataset
from tests.helpers.app_server import serving
from tests.helpers.dataset_writer import write_dataset
from tests.helpers.sounds import tone
from tests.helpers.tones_model import CONFIG, tones, write_model
from vae_model import learn_prior
from vae_model.playing.studio import Studio
from vae_model.sound.generator import SoundGenerator
from vae_model.training_sounds import read_training_sounds, write_training_sounds
from vae_model.vae.finished import load_finished


@pytest.fixture(scope="package")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty tones of 0.25 s at 4 kHz."""
    return write_dataset(tmp_path_factory.mktemp("app") / "dataset", {"train": tones(40, 0)}, CONFIG)


@pytest.fixture(scope="package")
def model(dataset: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained model of them, with its training sounds in its folder."""
    folder = write_model(tmp_path_factory.mktemp("app") / "model", dataset)
    write_training_sounds(Path(folder), *load_finished(folder), open_dataset(dataset))
    return folder


@pytest.fixture(scope="package")
def studio(model: str, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """What can be done with the model."""
    generator = SoundGenerator.load(model)
    sounds = read_training_sounds(model, generator.bundle)
    return Studio(generator, str(tmp_path_factory.mktemp("sounds")), sounds)


@pytest.fixture(scope="package")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A model whose prior has heard files of two segments, labelled by the last digit of their number."""
    folder = tmp_path_factory.mktemp("learned")
    long = [np.concatenate([wave, wave]) for wave in tones(40, 0)]
    model = write_model(folder / "model", write_dataset(folder / "dataset", {"train": long}, CONFIG))
    learn_prior(model, folder / "dataset", epochs=2, width=8, quiet=True)
    return Studio(SoundGenerator.load(model))


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A tone of 0.6 s at 8 kHz."""
    soundfile.write(tmp_path / "mine.wav", tone(500, 0.6, 8000), 8000)
    return tmp_path / "mine.wav"


@pytest.fixture(scope="package")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app's folder of temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="package")
def left(temporary: Path) -> Path:
    """What an app that was killed left: the folder of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    folder = Path(tempfile.mkdtemp(prefix=f"audio-vae-app-{ended.pid}-", dir=temporary))
    (folder / "private.wav").write_text("sound")
    return folder


@pytest.fixture(scope="package")
def server(model: str, temporary: Path, left: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The app with the model."""
    with serving(model, temporary) as running:
        yield running

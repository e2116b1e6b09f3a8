"""MODEL folders on a store: every command reads them there as it reads local ones."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import soundfile

from pipelines.errors import SettingError, WorkError
from tests.helpers.dataset_writer import noises, write_dataset
from tests.helpers.servers import over_http
from tests.helpers.small_models import CONFIG, RATE, write_model
from tests.helpers.sounds import tone
from vae_model.commands import evaluate, export, generate, interpolate, reconstruct, report
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.folder import local_model
from vae_model.sound.generator import SoundGenerator


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The MODEL folder of a VAE, with a history and what no command that uses a model needs."""
    folder = tmp_path_factory.mktemp("vae")
    (folder / "history.csv").write_text("epoch,loss,val_loss\n1,3.5,4.5\n2,2.5,3.75\n")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "epoch-00002.keras").write_bytes(bytes(1000))
    write_model(folder)
    dataclasses.replace(Bundle.load(folder), dataset={"num_examples": {"train": 6}}).save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def remote(model: str) -> Iterator[str]:
    """The same folder in fsspec's memory."""
    fs = fsspec.filesystem("memory")
    fs.put(model, "/bucket/vae", recursive=True)
    yield "memory://bucket/vae"
    fs.rm("/bucket", recursive=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six sources in `train` and two in `test`."""
    return write_dataset(
        tmp_path_factory.mktemp("dataset") / "d", {"train": noises(6), "test": noises(2)}, CONFIG, num_shards=1
    )


@pytest.fixture
def sounds(tmp_path: Path) -> list[str]:
    """Two recordings."""
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for number, path in enumerate(paths, start=2):
        soundfile.write(path, tone(100 * number, 0.6, RATE), RATE)
    return [str(path) for path in paths]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_model_on_a_store_sounds_like_the_local_one(
    model: str, remote: str, sounds: list[str], tmp_path: Path
) -> None:
    for name, place in {"here": model, "there": remote}.items():
        folder = str(tmp_path / name)
        assert reconstruct.main([place, *sounds, "--output", folder]) == 0
        assert generate.main([place, "--count", "2", "--seed", "3", "--output", folder]) == 0
        assert interpolate.main([place, *sounds, "--steps", "2", "--output", folder]) == 0
    assert len(contents(tmp_path / "here")) == 7  # with sources.json, of what is a source's
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


@pytest.mark.slow
def test_figures_page_and_export_of_a_model_on_a_store(
    model: str, remote: str, dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = []
    for place in (model, remote):
        assert evaluate.main([place, dataset, "--json"]) == 0
        figures.append(json.loads(capsys.readouterr().out))
    assert figures[1] == figures[0] | {"model": remote}
    assert report.main([remote, dataset, "--output", str(tmp_path / "page.html")]) == 0
    assert "3.75" in (tmp_path / "page.html").read_text(), "the curve of history.csv"
    assert export.main([remote, "--output", str(tmp_path / "export")]) == 0
    assert Bundle.load(tmp_path / "export") == Bundle.load(model)


def test_only_what_is_needed_is_fetched_and_goes_again(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with local_model(remote) as folder:
        assert sorted(contents(folder)) == ["bundle.json", "model.keras"]
        assert folder.is_relative_to(tmp_path)
    SoundGenerator.load(remote)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def served(model: str) -> Iterator[str]:
    """The folder over HTTP on this machine."""
    with over_http(Path(model)) as url:
        yield url


def test_a_model_is_read_over_http_and_from_a_file_uri(model: str, served: str) -> None:
    bundle = Bundle.load(model)
    assert SoundGenerator.load(served).bundle == bundle
    assert SoundGenerator.load(f"file://{model}").bundle == bundle
    with pytest.raises(SettingError, match=f"MODEL {served}/no must be the folder of a trained model: no bundle.json"):
        Bundle.load(f"{served}/no")


def test_errors_name_the_uri(model: str, remote: str, capsys: pytest.CaptureFixture[str]) -> None:
    fs = fsspec.filesystem("memory")
    for uri in ("memory://bucket/nothing", "memory://nowhere"):
        with pytest.raises(SettingError, match=f"MODEL {uri} must be the folder of a trained model: no bundle.json"):
            Bundle.load(uri)
    fs.pipe("/bucket/begun/checkpoints/state.json", b"{}")
    with pytest.raises(SettingError, match=r"MODEL memory://bucket/begun must be .* training has not finished"):
        Bundle.load("memory://bucket/begun")
    fs.pipe("/bucket/half/bundle.json", (Path(model) / "bundle.json").read_bytes())
    with pytest.raises(SettingError, match=r"memory://bucket/half/model\.keras must be a trained model: no such file"):
        SoundGenerator.load("memory://bucket/half")
    fs.pipe("/bucket/half/model.keras", b"cut off")
    with pytest.raises(WorkError, match=r"^memory://bucket/half/model\.keras is damaged"):
        SoundGenerator.load("memory://bucket/half")
    fs.pipe("/bucket/half/bundle.json", b"{")
    with pytest.raises(SettingError, match=r"^memory://bucket/half/bundle\.json must be a readable JSON file"):
        SoundGenerator.load("memory://bucket/half")

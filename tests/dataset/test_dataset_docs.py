"""Every example in the documentation of the format runs as it stands, and the readers agree with each other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest

from pipelines.audio.spectrogram import LogSpectrogramExtractor, MinMaxNormaliser
from pipelines.config import DatasetConfig, split_of
from pipelines.dataset.folder import open_dataset
from tests.helpers.console import run_in_process
from tests.helpers.places import ROOT
from tests.helpers.snippets import WAYS, Run, run_here

PAGE = ROOT / "docs" / "data-format.md"
READERS = ("numpy", "tf_data", "tfx_bsl", "by_hand")
LIBRARIES = {"pytorch": "torch", "hugging_face": "datasets", "tfds": "tensorflow_datasets"}
"""Readers for libraries that no installation of ours brings, each with the package that it skips without."""

SAVE = """
import numpy as _np
assert decibels.dtype == _np.float32
_np.savez("read.npz", names=_np.array(names), decibels=decibels)
"""


def snippets() -> dict[str, str]:
    """The fenced Python blocks of the page by the name in the comment above each."""
    found = re.findall(r"<!-- snippet: (\w+) -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return dict(found)


def read_with(run: Run, name: str, dataset: Path, folder: Path) -> tuple[list[str], np.ndarray]:
    """Names and decibels that a reader of the page finds in a dataset."""
    folder.mkdir(exist_ok=True)
    (folder / "sounds").symlink_to(dataset, target_is_directory=True)
    run(snippets()[name] + SAVE, folder)
    with np.load(folder / "read.npz") as read:
        return read["names"].tolist(), read["decibels"]


def defined_in(name: str) -> dict[str, Callable[..., object]]:
    """What a snippet that only defines functions leaves in its namespace."""
    namespace: dict[str, Callable[..., object]] = {}
    exec(snippets()[name], namespace)
    return namespace


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset that the page's writer makes."""
    folder = tmp_path_factory.mktemp("written")
    run_here(snippets()["write"], folder)
    return folder / "written"


def test_every_python_block_has_a_name() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```python") == text.count("<!-- snippet: ") == len(snippets())


@WAYS
@pytest.mark.parametrize("name", READERS)
def test_each_reader_finds_what_the_library_finds(run: Run, name: str, tone_dataset: Path, tmp_path: Path) -> None:
    names, decibels = read_with(run, name, tone_dataset, tmp_path)
    records = list(open_dataset(str(tone_dataset)).records("train"))
    expected = np.stack([r.spectrogram * np.float32(r.max_db - r.min_db) + np.float32(r.min_db) for r in records])
    assert names == [record.source for record in records]
    assert decibels.shape == (9, 256, 64, 1)
    np.testing.assert_allclose(decibels, expected, atol=1e-4)
    # a tone at 220 Hz times 2 to the power of n / 12 is loudest in its own bin of 31.25 Hz
    for source, array in zip(names, decibels, strict=True):
        frequency = 220 * 2 ** (int(source[5:7]) / 12)
        assert abs(int(array[:, 20, 0].argmax()) - frequency / 31.25) <= 0.5 + 1e-9


@pytest.mark.parametrize("name", LIBRARIES)
def test_each_library_finds_what_the_library_finds(name: str, tone_dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip(LIBRARIES[name], reason=f"{LIBRARIES[name]} is not a dependency")
    names, decibels = read_with(run_here, name, tone_dataset, tmp_path)
    records = list(open_dataset(str(tone_dataset)).records("train"))
    assert names == [record.source for record in records]
    np.testing.assert_allclose(decibels, np.stack([record.log_spectrogram for record in records]), atol=1e-4)


@WAYS
@pytest.mark.parametrize("name", READERS)
def test_each_reader_reads_what_the_writer_wrote(run: Run, name: str, written: Path, tmp_path: Path) -> None:
    names, decibels = read_with(run, name, written, tmp_path)
    assert names == ["ramp.wav"]
    np.testing.assert_allclose(decibels.ravel(), np.linspace(-60, 20, decibels.size), atol=1e-4)


@WAYS
@pytest.mark.parametrize("name", ["manifest", "fingerprint", "tfx"])
@pytest.mark.parametrize("dataset", ["tone_dataset", "written"])
def test_what_a_snippet_asserts_holds(
    run: Run, name: str, dataset: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "sounds").symlink_to(request.getfixturevalue(dataset), target_is_directory=True)
    run(snippets()[name], tmp_path)


def test_the_written_dataset_is_verified(written: Path) -> None:
    done = run_in_process("verify", written, "--json")
    values = json.loads(done.stdout)
    assert values["problems"] == []
    assert done.returncode == 0
    assert values["num_examples"] == 1


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("frame_size", "hop_length"), [(512, 256), (512, 93), (64, 100)])
def test_the_spectrogram_formula_is_the_pipelines_and_librosas(channels: int, frame_size: int, hop_length: int) -> None:
    formula = defined_in("spectrogram")
    rng = np.random.default_rng(channels)
    segment = rng.normal(0, 0.1, (3000, channels)).astype(np.float32)
    segment[2000:] = 0
    decibels = formula["log_spectrogram"](segment, frame_size, hop_length, 80.0)
    assert isinstance(decibels, np.ndarray)
    np.testing.assert_allclose(decibels, LogSpectrogramExtractor(frame_size, hop_length).extract(segment), atol=1e-3)
    spectra = np.abs(librosa.stft(segment.T, n_fft=frame_size, hop_length=hop_length))[:, :-1]
    np.testing.assert_allclose(decibels, librosa.amplitude_to_db(spectra).transpose(1, 2, 0), atol=1e-3)
    np.testing.assert_allclose(formula["normalise"](decibels), MinMaxNormaliser().normalise(decibels), atol=1e-6)


def test_the_split_rule_is_the_pipelines() -> None:
    rule = defined_in("split")["split_of"]
    config = DatasetConfig(split=(("validation", 0.3), ("test", 0.2)), split_pattern=(("probe", r"_7\."),))
    sources = [f"folder/größe_{i}.wav" for i in range(500)]
    expected = [split_of(source, config) for source in sources]
    assert [rule(source, config.to_dict()) for source in sources] == expected
    assert set(expected) == {"train", "validation", "test", "probe"}


def test_the_fingerprint_rule_is_the_pipelines(tone_dataset: Path, tmp_path: Path) -> None:
    config = DatasetConfig(label_pattern=r"(?P<größe>\d+)")
    values = config.to_dict()
    (tmp_path / "sounds").symlink_to(tone_dataset, target_is_directory=True)
    check = f"\nassert fingerprint(json.loads({json.dumps(json.dumps(values))})) == {config.fingerprint!r}\n"
    run_here(snippets()["fingerprint"] + check, tmp_path)


def test_the_abridged_entry_has_the_fields_of_a_real_one(tone_dataset: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = json.loads(text.split("```json\n")[1].split("```")[0])
    real = json.loads((tone_dataset / "dataset.json").read_text(encoding="utf-8"))
    assert list(shown) == list(real)
    for name in ("config", "record", "global_range", "sources"):
        assert list(shown[name]) == list(real[name]), name
    assert [list(shown["config"][name]) for name in ("audio", "spectrogram")] == [
        list(real["config"][name]) for name in ("audio", "spectrogram")
    ]
    assert list(shown["splits"]["train"]["shards"][0]) == list(real["splits"]["train"]["shards"][0])
    assert list(shown["runs"][0]) == list(real["runs"][0])
    assert shown["fingerprint"] == DatasetConfig.from_dict(shown["config"]).fingerprint

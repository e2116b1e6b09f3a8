"""Which package may import which, seen in fresh interpreters."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import pipelines
import vae_model

ROOT = Path(__file__).resolve().parents[2]

SHARED = {"errors", "config", "formats", "audio", "decoding", "spectrogram", "records", "dataset", "sources", "store"}
SHARED |= {"remote_listing", "remote_reading", "remote_store", "remote_writing", "terminal"}
"""The modules of `pipelines` that the model side may use."""

TENSORFLOW_OR_BEAM = {"tensorflow", "apache_beam", "tfx_bsl", "keras"}


def modules_of(package: object) -> list[str]:
    """All modules of a package, itself included."""
    name, path = package.__name__, package.__path__  # type: ignore[attr-defined]
    return [name, *(found.name for found in pkgutil.walk_packages(path, f"{name}."))]


def loaded_after(code: str) -> set[str]:
    """The names in `sys.modules` of a fresh interpreter after it ran some code."""
    report = "\nimport json as _json, sys as _sys\nprint('\\n' + _json.dumps(sorted(_sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, timeout=300, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def of_package(loaded: set[str], package: str) -> set[str]:
    """The modules of a package among those loaded, without its name and dot."""
    return {name.removeprefix(f"{package}.") for name in loaded if name.startswith(f"{package}.")}


def first_to_load(modules: list[str], unwanted: str) -> dict[str, list[str]]:
    """For each module of a list, imported one after the other, what it is the first to load that is unwanted.

    unwanted: a Python expression on `name`, that of a loaded module.
    """
    code = f"""
import importlib, json, sys
found, known = {{}}, set()
for module in {modules!r}:
    importlib.import_module(module)
    new = sorted(name for name in sys.modules if name not in known and ({unwanted}))
    known.update(new)
    if new:
        found[module] = new
print("\\n" + json.dumps(found))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_model_side_needs_no_beam_and_only_shared_modules() -> None:
    allowed = {"pipelines", *(f"pipelines.{name}" for name in SHARED)}
    unwanted = f"name == 'apache_beam' or (name.split('.')[0] == 'pipelines' and name not in {allowed!r})"
    assert first_to_load(modules_of(vae_model), unwanted) == {}


def test_the_data_side_needs_neither_keras_nor_the_model_side() -> None:
    assert first_to_load(modules_of(pipelines), "name in ('keras', 'vae_model')") == {}


@pytest.mark.parametrize("module", sorted(f"pipelines.{name}" for name in SHARED))
def test_shared_modules_need_neither_tensorflow_nor_beam(module: str) -> None:
    assert not loaded_after(f"import {module}") & TENSORFLOW_OR_BEAM


def test_help_starts_without_tensorflow_and_beam() -> None:
    loaded = loaded_after("from vae_model.cli import main\nassert main(['--help']) == 0")
    assert not loaded & (TENSORFLOW_OR_BEAM | {"numpy", "pyarrow"})


def test_reading_records_needs_neither_tensorflow_nor_beam(tone_dataset: Path) -> None:
    code = f"""
from pipelines.dataset import open_dataset
dataset = open_dataset({str(tone_dataset)!r})
records = list(dataset.records("train"))
assert len(records) == dataset.split("train").num_examples
assert records[0].spectrogram.shape == dataset.record.shape
assert len(dataset.manifest()) == dataset.sources.found
"""
    loaded = loaded_after(code)
    assert not loaded & (TENSORFLOW_OR_BEAM | {"soundfile", "soxr", "librosa", "scipy"})

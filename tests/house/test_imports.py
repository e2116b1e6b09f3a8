"""Which package may import which, seen in fresh interpreters."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import pipelines
import vae_model

ROOT = Path(__file__).resolve().parents[2]

TENSORFLOW_OR_BEAM = {"tensorflow", "apache_beam", "tfx_bsl", "keras"}


def modules_of(package: object) -> list[str]:
    """All modules of a package, itself included, but what `python -m` runs."""
    name, path = package.__name__, package.__path__  # type: ignore[attr-defined]
    found = (module.name for module in pkgutil.walk_packages(path, f"{name}."))
    return [name, *(module for module in found if not module.endswith("__main__"))]


def loaded_after(code: str) -> set[str]:
    """The names in `sys.modules` of a fresh interpreter after it ran some code."""
    report = "\nimport json as _json, sys as _sys\nprint('\\n' + _json.dumps(sorted(_sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, timeout=300, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


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


@pytest.mark.slow
def test_the_model_side_needs_no_beam() -> None:
    assert first_to_load(modules_of(vae_model), "name == 'apache_beam'") == {}


def test_the_data_side_needs_neither_keras_nor_the_model_side() -> None:
    assert first_to_load(modules_of(pipelines), "name in ('keras', 'vae_model')") == {}


@pytest.mark.parametrize("room", ["audio", "console", "dataset", "plan", "runs", "store", "building"])
def test_rooms_that_the_model_side_uses_need_neither_tensorflow_nor_beam(room: str) -> None:
    modules = [module for module in modules_of(pipelines) if module.startswith(f"pipelines.{room}")]
    assert first_to_load(modules, f"name in {TENSORFLOW_OR_BEAM!r}") == {}


def test_commands_parse_and_refuse_before_tensorflow_and_beam_are_loaded() -> None:
    commands = [module for module in modules_of(vae_model) if ".commands." in module]
    commands += [f"pipelines.commands.{name}" for name in ("info", "prune", "preprocess", "verify")]
    assert first_to_load(commands, f"name in {TENSORFLOW_OR_BEAM!r}") == {}


HEAVY = TENSORFLOW_OR_BEAM | {"numpy", "pyarrow", "soundfile", "scipy", "librosa"}


@pytest.mark.parametrize(
    "code",
    [
        "import pipelines, vae_model",
        "import pipelines.audio, pipelines.dataset, vae_model.sound, vae_model.training, vae_model.pages",
        "from vae_model.cli import main\nassert main(['--help']) == 0",
        "from vae_model.cli import main\nassert main(['--version']) == 0",
    ],
)
def test_faces_help_and_version_load_nothing_heavy(code: str) -> None:
    assert not loaded_after(code) & HEAVY


def test_a_public_name_loads_what_it_needs_and_no_more() -> None:
    loaded = loaded_after("from pipelines import Loader, MinMaxNormaliser, Padder\nfrom pipelines.audio import Loader")
    assert "numpy" in loaded
    assert not loaded & (TENSORFLOW_OR_BEAM | {"pyarrow"})
    loaded = loaded_after("from vae_model import evaluate_model, export_model, generate, train_model, write_report")
    assert not loaded & TENSORFLOW_OR_BEAM


def test_builders_start_without_arrow() -> None:
    assert "pyarrow" not in loaded_after("import pipelines.building.builder")


@pytest.mark.parametrize("package", [pipelines, vae_model])
def test_a_face_lists_its_names_and_has_nothing_else(package: types.ModuleType) -> None:
    assert package.__all__ == sorted(set(package.__all__))
    assert dir(package) == package.__all__
    assert package.__version__ == pipelines.__version__
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name
    assert (Path(str(package.__file__)).parent / "py.typed").exists()


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


@pytest.mark.parametrize("init", ["", "from pipelines import nothing_of_the_kind"])
def test_a_project_s_own_folder_of_the_name_is_told_in_a_line(init: str, tmp_path: Path) -> None:
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "nightly.py").write_text("")
    (folder / "__init__.py").write_text(init)
    told = f"{folder} hides the package pipelines of audio-vae in {ROOT / 'pipelines'}: rename the one that is yours"
    script = tmp_path / "audio-vae"
    script.write_text("import sys\nfrom vae_model.cli import main\nsys.exit(main())\n")

    def ran(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "", "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        command = [sys.executable, *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)

    command = ran(str(script), "--version")
    assert (command.returncode, command.stdout) == (2, "")
    assert command.stderr.startswith(f"audio-vae: {told}")
    assert command.stderr.count("\n") == 1
    imported = ran("-c", "from vae_model.vae import VAE")
    assert imported.returncode == 1
    assert imported.stderr.splitlines()[-1].startswith(f"ImportError: {told}")
    as_module = ran("-m", "vae_model", "--version")
    assert told in as_module.stderr
    assert "Traceback" not in as_module.stderr

"""The examples in the docstrings of all public names, run as they stand.

They are given `sounds`, a folder of twelve tones; `dataset`, made of them with preset tiny; `model`, one with random
weights that fits it; `folder`, a new one; and `port`, one that nobody listens on.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import pipelines
import vae_model
from tests.helpers.tones_model import write_model
from vae_model.runtime import prepare

NAMES = [f"{package.__name__}.{name}" for package in (pipelines, vae_model) for name in package.__all__]


@pytest.fixture(scope="module")
def model(tone_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three latents that nobody trained."""
    prepare()
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, str(tone_dataset), conv_strides=(4, 4))
    return folder


def named(dotted: str) -> Any:
    """What a public name stands for."""
    package, name = dotted.split(".")
    return getattr(importlib.import_module(package), name)


@pytest.mark.parametrize("dotted", NAMES)
def test_the_example_of_a_public_name_does_what_it_shows(
    dotted: str, tone_folder: Path, tone_dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dotted == "vae_model.open_app":
        pytest.importorskip("gradio", reason="gradio is not installed: pip install -e '.[app]'")
    if dotted == "pipelines.SpectrogramDataset":
        pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[torch]'")
    thing = named(dotted)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"sounds": tone_folder, "dataset": tone_dataset, "model": model, "folder": tmp_path, "port": port}
    monkeypatch.chdir(tmp_path)
    about = vars(inspect.getmodule(thing)) | given | {"urllib": urllib, dotted.split(".")[1]: thing}
    text = inspect.getdoc(thing) or ""
    example = doctest.DocTestParser().get_doctest(text, about, dotted, None, None)
    assert example.examples, f"{dotted} has no example"
    said: list[str] = []
    results = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert results.failed == 0, "".join(said)


def test_every_command_has_a_function() -> None:
    from vae_model.cli import COMMANDS

    functions = {
        "preprocess": "preprocess",
        "info": "describe_dataset",
        "verify": "verify_dataset",
        "compact": "compact_dataset",
        "prune": "prune_dataset",
        "browse": "write_dataset_page",
        "train": "train_model",
        "evaluate": "evaluate_model",
        "reconstruct": "reconstruct",
        "generate": "generate",
        "prior": "learn_prior",
        "continue": "continue_sound",
        "vary": "vary",
        "interpolate": "interpolate",
        "encode": "encode",
        "decode": "decode",
        "report": "write_report",
        "export": "export_model",
        "app": "open_app",
        "rerun": "run_again",
        "watch": "watch",
        "import-course": "import_course",
        "import-npy": "import_npy",
        "demo": "make_demo",
    }
    assert set(functions) == set(COMMANDS)
    public = {*pipelines.__all__, *vae_model.__all__}
    for command, name in functions.items():
        assert name in public, command
        function = getattr(pipelines if name in pipelines.__all__ else vae_model, name)
        text = (inspect.getdoc(function) or "").split("\n\n")[0]
        assert f"`audio-vae {command}`" in text, f"{name} does not say which command it is"

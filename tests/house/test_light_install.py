"""`pip install audio-vae` alone: a model's sounds and latents without Beam, and a line where Beam is needed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import light
from tests.helpers.console import audio_vae, audio_vae_json, run_in_process
from tests.helpers.places import ROOT
from tests.helpers.tones_model import write_model
from vae_model.runtime import prepare

NEEDED = "pip install 'audio-vae[pipeline]'"
CODE = """
import json, sys
from vae_model.cli import main
for words in json.loads(sys.argv[1]):
    status = main(words)
    assert status == 0, (words, status)
for name in ("apache_beam", "tfx_bsl", "pandas", "google.cloud.storage", "pymongo", "jax", "gradio"):
    assert name not in sys.modules, name
"""


@pytest.fixture(scope="module")
def model(tone_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three latents that nobody trained."""
    prepare()
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, str(tone_dataset), conv_strides=(4, 4))
    return folder


@pytest.fixture
def _no_beam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beam and tfx-bsl can't be found, for whoever looks from now on."""
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.setitem(sys.modules, "tfx_bsl", None)


def refused(*words: object) -> str:
    """The one line with which a command that can't work ends."""
    done = run_in_process(*words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    return done.stderr


def test_it_brings_tensorflow_and_neither_beam_nor_cloud_packages() -> None:
    brought = light.brought()
    assert {"tensorflow", "librosa", "numpy", "fsspec"} <= brought
    assert not {name for name in brought if name.startswith(("apache-beam", "tfx-bsl", "google-cloud", "pandas"))}


@pytest.mark.slow
def test_all_commands_of_a_model_do_their_work(
    model: Path, tone_folder: Path, tone_dataset: Path, tmp_path: Path
) -> None:
    sounds = sorted(map(str, tone_folder.glob("*.wav")))
    audio_vae_json("encode", model, tone_folder, "--output", tmp_path / "beam.parquet")
    commands: list[list[object]] = [
        ["reconstruct", model, sounds[0], "--output", tmp_path / "heard"],
        ["generate", model, "--count", 2, "--output", tmp_path / "new"],
        ["interpolate", model, sounds[0], sounds[1], "--steps", 3, "--output", tmp_path / "way"],
        ["encode", model, tone_folder, "--output", tmp_path / "light.parquet"],
        ["decode", model, tmp_path / "light.parquet", "--output", tmp_path / "decoded"],
        ["evaluate", model, tone_dataset],
        ["preprocess", tone_folder, "--output", tmp_path / "dataset", "--preset", "tiny"],
        ["info", tmp_path / "dataset"],
    ]
    given = json.dumps([[str(word) for word in words] for words in commands])
    (tmp_path / "site").mkdir()
    environment = light.environment(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-c", CODE, given], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in ("", ".sources"):
        there, here = tmp_path / f"beam{name}.parquet", tmp_path / f"light{name}.parquet"
        assert there.read_bytes() == here.read_bytes()
    assert len(list((tmp_path / "decoded").glob("*.wav"))) == 12
    told = audio_vae("verify", tmp_path / "dataset", environment=environment)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert NEEDED in told.stderr


@pytest.mark.usefixtures("_no_beam")
def test_what_needs_beam_says_what_to_install(
    model: Path, tone_folder: Path, tone_dataset: Path, tmp_path: Path
) -> None:
    output = tmp_path / "dataset"
    assert refused("verify", tone_dataset) == (
        f"audio-vae verify: reading every record back needs apache_beam, which is not installed: {NEEDED}\n"
    )
    told = refused("preprocess", tone_folder, "--output", output, "--runner", "FlinkRunner")
    assert "--runner must be an option that --help lists, where Beam is not installed" in told
    assert NEEDED in told
    told = refused("encode", model, tone_folder, "--output", tmp_path / "l.parquet", "--runner=FlinkRunner")
    assert NEEDED in told
    told = refused("preprocess", tone_folder, "--output", output, "--shard-mb", "0.01")
    assert told.startswith("audio-vae preprocess: a run of more than 4 shards needs apache_beam")
    assert not output.exists()


@pytest.mark.usefixtures("_no_beam")
def test_encode_of_files_that_fail_does_without_beam_what_it_does_with_it(
    model: Path, tone_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.wav").write_text("no sound")
    given = ("encode", model, tone_folder, tmp_path / "bad.wav", "--output", tmp_path / "l.parquet", "--workers", "1")
    done = run_in_process(*given, "--json")
    assert json.loads(done.stdout)["sources"] == {"found": 13, "written": 12, "failed": 1}
    assert run_in_process(*given, "--max-failures", "0").returncode == 3
    assert not list(tmp_path.glob("*.work-*"))


def test_the_pinned_versions_are_of_all_extras_but_torch() -> None:
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    extras = re.findall(r'^    "(\w+)": (?:\[|PIPELINE)', setup, re.MULTILINE)
    (pinned,) = re.findall(r"^EXTRAS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(pinned.split()) == sorted(set(extras) - {"torch"})

"""The console: versions, help, commands by every name that Python has for them, and errors in a line."""

from __future__ import annotations

import importlib
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import pipelines
from pipelines import cli as data_cli
from tests.helpers.console import run_in_process
from tests.helpers.places import ROOT
from vae_model import cli

MODULES = sorted({module for module, _ in cli.COMMANDS.values()})


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Python with the packages on its path."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=120, env=environment, cwd=cwd, check=False
    )


def test_version_names_the_versions_that_matter(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"audio-vae {pipelines.__version__}"
    assert lines[1].startswith(f"Python {platform.python_version()} ")
    for name in ("keras", "tensorflow", "apache-beam"):
        assert f"{name} {metadata.version(name)}" in lines


def test_a_package_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_cli, "_VERSIONS", ("no-such-package",))
    assert data_cli.version_text().splitlines()[-1] == "no-such-package is not installed"


def test_the_version_is_that_of_the_distribution() -> None:
    assert metadata.version("audio-vae") == pipelines.__version__


def test_help_lists_all_commands_and_shows_one(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["help"]):
        assert cli.main(words) == 0
        said = capsys.readouterr().out
        assert [name for name in cli.COMMANDS if f"\n  {name} " in said] == list(cli.COMMANDS)
    with pytest.raises(SystemExit) as ended:
        cli.main(["help", "generate"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: audio-vae generate ")
    assert cli.main([]) == 2


@pytest.mark.parametrize("words", [["traim"], ["help", "traim"]])
def test_an_unknown_command_is_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert "COMMAND='traim' must be one of preprocess, info, browse" in capsys.readouterr().err


def test_each_package_runs_its_commands(tmp_path: Path) -> None:
    for package, command in (("pipelines", "info"), ("vae_model", "info"), ("vae_model", "generate")):
        done = python("-m", package, command, "--help", cwd=tmp_path)
        assert (done.returncode, done.stdout.split()[:3]) == (0, ["usage:", "audio-vae", command])
    done = python("-m", "pipelines", "train", cwd=tmp_path)
    assert done.returncode == 2
    known = "preprocess, info, verify, compact, import-npy, prune"
    assert done.stderr == f"audio-vae: COMMAND='train' must be one of {known}\n"


def test_a_command_s_module_runs_it_too(tmp_path: Path) -> None:
    done = python("-m", "pipelines.commands.preprocess", "sounds", "--output", "dataset", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("audio-vae preprocess: INPUT sounds")


@pytest.mark.parametrize("name", MODULES)
def test_every_command_s_module_says_which_one_it_runs(name: str) -> None:
    path = Path(str(importlib.import_module(name).__file__))
    assert path.read_text(encoding="utf-8").rstrip().endswith(f'run_module("{name}")')


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name != "watch"])
def test_a_mistyped_option_gets_the_nearest_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "a", "b", "--hepl"])
    assert ended.value.code == 2
    assert "--hepl must be an argument of this command: did you mean --help?" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_help_shows_each_option_once_and_what_it_is_for(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    said = capsys.readouterr().out
    options = said[re.search(r"\n(options|positional arguments):", said).start() :]  # type: ignore[union-attr]
    shown = re.findall(r"(?m)^  (?:-\w(?: \S+)?, )?(--[\w-]+)", options)
    assert "--help" in shown
    assert len(shown) == len(set(shown))


def test_help_shows_the_flags_for_code_of_ones_own_where_they_apply() -> None:
    shown = {}
    for name in cli.COMMANDS:
        with_help = run_in_process(name, "--help").stdout
        shown[name] = tuple(flag for flag in ("--feature", "--import") if f"  {flag} " in with_help)
    of_sound = ["reconstruct", "generate", "continue", "vary", "interpolate", "encode", "decode", "report", "app"]
    assert {name for name, flags in shown.items() if flags == ("--feature", "--import")} == set(of_sound)
    assert {name for name, flags in shown.items() if flags == ("--feature",)} == {"preprocess", "browse"}
    assert {name for name, flags in shown.items() if flags == ("--import",)} == {
        "train",
        "evaluate",
        "export",
        "prior",
    }

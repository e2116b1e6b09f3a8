"""What the Tab key completes, asked of bash with the script that `--print-completion` prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.console import run_in_process
from vae_model.cli import COMMANDS

pytest.importorskip("shtab", reason="shtab is not installed: pip install -e '.[completion]'")

TAB = """
source completion.bash
function=$(complete -p audio-vae | sed -E 's/.*-F (\\S+).*/\\1/')
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
$function
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the script lies, and a file to complete."""
    folder = tmp_path_factory.mktemp("shell")
    done = run_in_process("--print-completion", "bash")
    assert done.returncode == 0
    (folder / "completion.bash").write_text(done.stdout)
    (folder / "sounds").mkdir()
    return folder


def tab(folder: Path, *words: str) -> set[str]:
    """What may stand for the last word, as bash finds it."""
    command = ["bash", "-c", TAB, "bash", "audio-vae", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_choices_and_files(folder: Path) -> None:
    assert tab(folder, "re") == {name for name in COMMANDS if name.startswith("re")}
    assert tab(folder, "preprocess", "--hop") == {"--hop-length"}
    assert tab(folder, "preprocess", "--preset", "") == {"course", "default", "music", "speech", "tiny"}
    assert {"--help", "--json"} <= tab(folder, "verify", "--")
    assert tab(folder, "info", "sou") == {"sounds"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_every_command(shell: str) -> None:
    script = run_in_process("--print-completion", shell).stdout
    assert {name for name in COMMANDS if re.search(rf"\b{name}\b", script)} == set(COMMANDS)


def test_another_shell_is_refused_and_shtab_is_named_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_in_process("--print-completion", "csh")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "audio-vae --print-completion: SHELL='csh' must be one of bash, zsh, fish\n"
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert "pip install 'audio-vae[completion]'" in run_in_process("--print-completion", "bash").stderr

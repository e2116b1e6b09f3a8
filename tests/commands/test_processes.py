"""The console command as a process: every command is there, and its exit status tells how it went."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.console import audio_vae, run_in_process
from vae_model.cli import COMMANDS


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_use_of_a_command_ends_its_process_with_status_2(command: str) -> None:
    """With a line that names the command, and without a traceback."""
    done = audio_vae(command, "--no-such-setting")
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"audio-vae {command}: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_status_tells_what_went_wrong(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "text.wav").write_text("no audio")
    given = ("preprocess", bad, "--output", tmp_path / "out")
    for status, flags in ((1, ()), (3, ("--max-failures", 0)), (2, ("--hop-length", 0))):
        own, here = audio_vae(*given, *flags), run_in_process(*given, *flags)
        assert (own.returncode, own.stdout) == (here.returncode, here.stdout) == (status, "")
        assert own.stderr.splitlines()[-1] == here.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_the_script_and_the_module_are_one_command() -> None:
    script = Path(sys.executable).with_name("audio-vae")
    if not script.exists():
        pytest.skip("the package is not installed here")
    done = subprocess.run([script, "nothing"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", audio_vae("nothing").stderr)


@pytest.mark.slow
def test_the_commands_one_after_the_other_as_a_user_runs_them(tone_folder: Path, tmp_path: Path) -> None:
    """Each in its own process: all end with status 0, and none says anything of an error, nor does TensorFlow."""

    def run(*words: object) -> str:
        done = audio_vae(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert not [word for word in ("Traceback", "absl::InitializeLog") if word in done.stderr], done.stderr
        return done.stdout

    one, two = (tone_folder / f"tone_{number:02}.wav" for number in (0, 7))
    run("preprocess", tone_folder, "--output", "dataset", "--preset", "tiny", "--split", "test=0.3")
    assert "12" in run("info", "dataset")
    run("verify", "dataset")
    run("prune", "dataset")
    run("browse", "dataset", "--output", "dataset.html")
    run("train", "dataset", "--output", "model", "--preset", "tiny", "--epochs", 1)
    run("evaluate", "model", "dataset")
    run("report", "model", "dataset", "--output", "report.html")
    run("reconstruct", "model", one, "--output", "heard")
    run("generate", "model", "--count", 2, "--output", "new")
    run("interpolate", "model", one, two, "--steps", 3, "--output", "way")
    run("encode", "model", tone_folder, "--output", "latents.parquet")
    run("decode", "model", "latents.parquet", "--output", "decoded")
    run("export", "model", "--output", "served")
    counts = {"heard": 1, "new": 2, "way": 3, "decoded": 12}
    assert {name: len(list((tmp_path / name).glob("*.wav"))) for name in counts} == counts
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("dataset.html", "report.html"))
    assert (tmp_path / "served" / "saved_model.pb").exists()

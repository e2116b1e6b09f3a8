"""Temporary folders of processes that were killed go with the next one's; those of living ones, and others', stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.own_folder import keep, own_folder
from tests.helpers.places import ROOT

_HOLD = """
import sys, tempfile
from pipelines.own_folder import own_folder, own_temporary_folder
own_temporary_folder()
made = tempfile.mkdtemp(prefix="beam-")
own_folder("audio-vae-app-")
import atexit, os
atexit.register(lambda: os.rmdir(made) or print("ended"))  # as libraries do that were imported later
print("there", flush=True)
sys.stdin.read()
"""


def holding(temporary: Path) -> subprocess.Popen[str]:
    environment = dict(os.environ, PYTHONPATH=str(ROOT), TMPDIR=str(temporary))
    command = [sys.executable, "-c", _HOLD]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, env=environment, **pipes)  # type: ignore[call-overload]
    assert process.stdout is not None
    process.stdout.readline()
    return process  # type: ignore[no-any-return]


def test_what_killed_processes_left_goes_and_what_living_ones_own_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed, alive = holding(tmp_path), holding(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    others = [tmp_path / name for name in ("tmpabc", f"audio-vae-run-{killed.pid}x-1", "audio-vae-run-")]
    for folder in others:
        folder.mkdir()
    (tmp_path / f"audio-vae-run-{killed.pid}-link").symlink_to(others[0])
    for prefix in ("audio-vae-run-", "audio-vae-app-"):
        (left,) = tmp_path.glob(f"{prefix}{killed.pid}-*[!k]")
        own = own_folder(prefix)
        assert not left.exists()
        assert own.stat().st_mode & 0o777 == 0o700
        assert len(list(tmp_path.glob(f"{prefix}{alive.pid}-*"))) == 1
    assert all(folder.is_dir() for folder in others)
    assert alive.communicate("")[0] == "ended\n"
    assert not list(tmp_path.glob(f"audio-vae-run-{alive.pid}-*"))


def test_a_folder_that_a_living_process_holds_stays_whatever_its_number(tmp_path: Path) -> None:
    """As in a container with process numbers of its own: the lock decides."""
    held = own_folder("audio-vae-x-", str(tmp_path))
    gone = subprocess.Popen(["true"])
    gone.wait()
    renamed = held.rename(tmp_path / f"audio-vae-x-{gone.pid}-abc")
    script = f"from pipelines.own_folder import own_folder; own_folder('audio-vae-x-', {str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", script], check=True, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    assert renamed.is_dir()


def test_what_its_user_was_told_to_fetch_stays(tmp_path: Path) -> None:
    script = f"from pipelines.own_folder import own_folder, keep; keep(own_folder('o-', {str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", script], check=True, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    (kept,) = tmp_path.iterdir()
    own = own_folder("o-", str(tmp_path))
    assert kept.is_dir()
    keep(own)
    assert own.stat().st_mode & 0o777 == 0o700


def test_an_encode_clears_what_a_killed_one_left_beside_its_output(tmp_path: Path) -> None:
    from pipelines.runs.encoding_run import work_folder

    script = (
        f"import os; from pipelines.runs.encoding_run import work_folder as w; f = w({str(tmp_path / 'l.parquet')!r}"
    )
    script += ", True); f.__enter__(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script], env=dict(os.environ, PYTHONPATH=str(ROOT)), check=False)
    (left,) = tmp_path.glob("l.parquet.work-*")
    time.sleep(0.1)
    with work_folder(str(tmp_path / "other.parquet"), here=True):
        assert left.is_dir()
    with work_folder(str(tmp_path / "l.parquet"), here=True) as own:
        assert [path.name for path in tmp_path.iterdir()] == [Path(own).name]
    assert list(tmp_path.iterdir()) == []

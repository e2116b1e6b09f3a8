"""Python of the documentation, run as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.places import ROOT

Run = Callable[[str, Path], None]
"""Runs code in a folder; an error in it is the test's."""


def run_here(code: str, folder: Path) -> None:
    """Run code in a folder, within this process, which has TensorFlow imported already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(code, "snippet", "exec"), {"__name__": "__main__"})


def run_alone(code: str, folder: Path) -> None:
    """Run code in a folder, in a fresh interpreter."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT), TF_CPP_MIN_LOG_LEVEL="3")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


WAYS = pytest.mark.parametrize("run", [run_here, pytest.param(run_alone, marks=pytest.mark.slow)])
"""Both ways, for a test that takes a `run`."""

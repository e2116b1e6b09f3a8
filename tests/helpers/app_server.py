"""`audio-vae app` as a process, for tests of its page."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.places import ROOT


@contextmanager
def serving(model: str, temporary: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The URL of a running app, and its process; what it has in the folder of temporary files goes with it."""
    pytest.importorskip("gradio", reason="needs gradio, the extra app")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vae_model.cli", "app", model, "--port", str(port), *options]
    environment = dict(os.environ, PYTHONPATH=str(ROOT), TMPDIR=str(temporary))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        line = next((line for line in process.stderr if line.startswith("http")), "")
        assert line, "the app ended before it was ready"
        yield line.split()[0], process
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert [path.name for path in temporary.glob("audio-vae-*")] == [], "uploads and sounds go with the app"

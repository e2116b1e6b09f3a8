"""The console command, as a user runs it or within this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.helpers.places import ROOT


def audio_vae(
    *arguments: object, environment: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the console command as a user does."""
    command = [sys.executable, "-m", "vae_model.cli", *map(str, arguments)]
    environment = environment or dict(os.environ, PYTHONPATH=str(ROOT))
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, **options)


def audio_vae_json(*arguments: object) -> dict[str, Any]:
    """Run the console command with --json and return what it prints."""
    done = audio_vae(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return values

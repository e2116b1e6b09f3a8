"""The console command, as a user runs it or within this process."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from tests.helpers.places import ROOT
from vae_model import cli


def audio_vae(
    *arguments: object, environment: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the console command as a user does."""
    command = [sys.executable, "-m", "vae_model.cli", *map(str, arguments)]
    environment = environment or dict(os.environ, PYTHONPATH=str(ROOT))
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, **options)


def audio_vae_json(*arguments: object) -> dict[str, Any]:
    """Run the console command with --json within this process and return what it prints."""
    done = run_in_process(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def run_in_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the console command within this process, as if in its own, without the seconds until one has started.

    What its child processes and native code write is not in what is returned.
    """
    command = list(map(str, arguments))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _own_logging():
        try:
            status = cli.main(command)
        except SystemExit as end:  # argparse's
            status = int(end.code or 0)
    return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Handlers and levels that a command sets are those before it again after the block, and it finds no others."""
    root = logging.getLogger()
    named = [logging.getLogger(name) for name in ("apache_beam", "pipelines")]
    handlers, levels = root.handlers[:], [logger.level for logger in (root, *named)]
    root.handlers[:] = []
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for logger, level in zip((root, *named), levels, strict=True):
            logger.setLevel(level)


def ran(*arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    done = run_in_process(*arguments)
    return done.returncode, done.stdout, done.stderr

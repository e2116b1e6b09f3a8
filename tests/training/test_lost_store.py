"""Training from a store that goes away: it says so in a line, and the process ends."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.dataset_writer import noises, write_dataset
from tests.helpers.places import ROOT
from tests.helpers.resuming import CONFIG, OPTIONS
from tests.helpers.servers import WholeFiles, over_http

SHARDS = 40
SECONDS = 150
"""More than the tries of a request and a start of TensorFlow on a busy machine; far from for ever."""


class Going(WholeFiles):
    """A web server that gives so many shards."""

    left = 0

    def do_GET(self) -> None:
        if "train-" in self.path:
            type(self).left -= 1
            if self.left < 0:
                self.lost()
                return
        super().do_GET()

    def lost(self) -> None:
        self.send_error(503)


class Gone(Going):
    """Hangs up instead."""

    def lost(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "given"),
    [
        pytest.param(Going, 10, id="answers-503-before-the-first-epoch"),
        pytest.param(Gone, SHARDS + 20, id="hangs-up-within-an-epoch"),
    ],
)
def test_training_from_a_store_that_goes_away_says_so_and_ends(kind: type[Going], given: int, tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset", {"train": noises(1000), "validation": noises(16)}, CONFIG, SHARDS)
    handler = type("Handler", (kind,), {"left": given})
    with over_http(tmp_path, handler) as url:
        read_each_epoch = ["--cache-mb", "0", "--shard-cache-mb", "1"]
        command = ["train", f"{url}/dataset", "--output", str(tmp_path / "model"), *OPTIONS, *read_each_epoch]
        done = subprocess.run(
            [sys.executable, "-m", "vae_model.cli", *command],
            env=dict(os.environ, PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "never retrieved" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"audio-vae train: training on DATASET {url}/dataset failed: {url}/dataset/runs/")

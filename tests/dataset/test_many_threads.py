"""Many threads that all are the first to want TensorFlow and tfx-bsl."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.places import ROOT

_CHECK = """
import sys, threading
from pipelines.dataset.checking import check_shard
from pipelines.dataset.folder import open_dataset
dataset = open_dataset(sys.argv[1])
sys.setswitchinterval(1e-5)
barrier, found = threading.Barrier(32), []
def check():
    barrier.wait()
    try:
        found.append(check_shard(dataset.shards[0].path, dataset.uri))
    except BaseException as error:
        found.append(repr(error))
threads = [threading.Thread(target=check) for _ in range(32)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit(0 if found == [[]] * 32 else f"{[each for each in found if each]}")
"""


@pytest.mark.slow
def test_each_finds_the_shard_as_it_should_be(tone_dataset: Path) -> None:
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    command = [sys.executable, "-c", _CHECK, str(tone_dataset)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr

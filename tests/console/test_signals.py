"""Ctrl-C while TensorFlow is imported, which swallows it now and then: held back, and then it counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from pipelines.signals import held_signals, terminable
from tests.helpers.places import ROOT

INTERRUPTED = """
import os, signal, sys
class Hook:
    seen = sent = 0
    def find_spec(self, name, path=None, target=None):
        Hook.seen += 1
        if Hook.seen % 150 == 0:
            Hook.sent += 1
            os.kill(os.getpid(), signal.SIGINT)
from vae_model.runtime import prepare
sys.meta_path.insert(0, Hook())
try:
    prepare()
except KeyboardInterrupt:
    sys.exit(40 if Hook.sent > 3 and hasattr(sys.modules["tensorflow"], "data") else 41)
sys.exit(42)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_counts_when_the_block_has_ended(number: signal.Signals) -> None:
    done = []

    def three_times() -> None:
        with held_signals():
            for _ in range(3):
                os.kill(os.getpid(), number)
                done.append(number)

    with terminable(), pytest.raises(KeyboardInterrupt):
        three_times()
    assert len(done) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_of_the_block_is_not_lost_where_no_signal_came() -> None:
    with pytest.raises(ValueError, match="own"), held_signals():
        raise ValueError("own")


def test_another_thread_holds_nothing() -> None:
    seen = []

    def work() -> None:
        with held_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


@pytest.mark.slow
def test_no_moment_of_the_import_swallows_it() -> None:
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], env=environment, capture_output=True, timeout=120)
    assert done.returncode == 40

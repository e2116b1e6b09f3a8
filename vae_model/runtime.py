"""What a command does before it uses Keras: choose the backend, and keep TensorFlow's start-up notes to itself."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def prepare() -> None:
    """Import TensorFlow as Keras's backend and start its devices, without a word on the terminal.

    TensorFlow's C++ side writes notes to file descriptor 2 before any setting reaches it, so the descriptor itself
    is held meanwhile; if the start fails, what it wrote is shown.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _held_stderr():
        import tensorflow

        tensorflow.config.list_logical_devices()
        tensorflow.get_logger().setLevel("ERROR")


@contextmanager
def _held_stderr() -> Iterator[None]:
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        terminal = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)

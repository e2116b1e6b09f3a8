"""What a command does before it uses Keras, and how a signal stops it at a step's end."""

from __future__ import annotations

import os

from pipelines.console.terminal import held_stderr
from pipelines.signals import held_signals, import_whole


def prepare() -> None:
    """Import TensorFlow as Keras's backend and start its devices, without a word on the terminal.

    TensorFlow's C++ side writes notes to file descriptor 2 before any setting reaches it, so the descriptor itself
    is held meanwhile; if the start fails, what it wrote is shown. So are signals: parts of these imports take any
    error for a package that is not there, and go on.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with held_signals(), held_stderr():
        import_whole("keras", "tensorflow")
        import tensorflow

        if "TF_CONFIG" not in os.environ:  # a cluster must be joined before the devices start
            tensorflow.config.list_logical_devices()
        tensorflow.get_logger().setLevel("ERROR")

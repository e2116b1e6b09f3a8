"""A command and its terminal: what native libraries write on their own is held back."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipelines.signals import held_signals


@contextmanager
def held_stderr() -> Iterator[None]:
    """Hold file descriptor 2 back; when the block ends with an error, what was written is shown after all.

    TensorFlow's C++ side writes notes while it is imported, before any setting reaches it.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        terminal = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


class _Unknown:
    """An import hook that knows of no packages of these names."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        if name in self.names:
            raise ModuleNotFoundError(name, name=name)


@contextmanager
def _unknown(*names: str) -> Iterator[None]:
    hook = _Unknown(names)
    sys.meta_path.insert(0, hook)  # type: ignore[arg-type]
    try:
        with held_signals():
            yield
    finally:
        sys.meta_path.remove(hook)  # type: ignore[arg-type]


_settled: list[bool] = []


def settle() -> None:
    """Let pyarrow find no pandas, for this process, nor Beam what `import_beam` leaves out.

    It looks for pandas once, at the first list that it makes an array of: 0.3 s, a third of a rerun with nothing new.
    Only for the process of a command: `to_pandas` does not work afterwards. What is raised while it looks is lost, so
    Ctrl-C is held back.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    _settled.append(True)
    with _unknown("pandas"):
        pa.array([0])


_OF_EXTRAS = ("google.cloud", "google.auth", "google.api_core", "apitools", "boto3", "pymongo", "bson", "pandas")
"""Packages that Beam imports where they are there, and does without where not."""


def import_beam() -> None:
    """Import what a job on this machine needs of Beam, in a settled process without the packages of Beam's extras.

    They take half of the time: clients of clouds and databases, and data frames, of which the job uses none. Should
    Beam need one after all, it is imported as ever by whoever imports it next.
    """
    if not _settled:
        return
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # it says what it does not find
    try:
        with contextlib.suppress(ImportError), _unknown(*_OF_EXTRAS):
            importlib.import_module("apache_beam")
            importlib.import_module("apache_beam.runners.portability.fn_api_runner")
    finally:
        logging.disable(level)


def set_up_logging(verbose: bool) -> None:
    """Beam reports an error with its traceback; users get one line instead unless they ask for more."""
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        return
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL + 1)
    logging.getLogger("pipelines").setLevel(logging.ERROR)

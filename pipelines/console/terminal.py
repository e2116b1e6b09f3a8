"""A command and its terminal: what native libraries write on their own is held back."""

from __future__ import annotations

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


class _NoPandas:
    """An import hook that knows of no pandas."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        if name == "pandas":
            raise ImportError(name)


def settle() -> None:
    """Let pyarrow find no pandas, for this process.

    It looks for pandas once, at the first list that it makes an array of: 0.3 s, a third of a rerun with nothing new.
    Only for the process of a command: `to_pandas` does not work afterwards. What is raised while it looks is lost, so
    Ctrl-C is held back.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    hook = _NoPandas()
    sys.meta_path.insert(0, hook)  # type: ignore[arg-type]
    try:
        with held_signals():
            pa.array([0])
    finally:
        sys.meta_path.remove(hook)  # type: ignore[arg-type]


def set_up_logging(verbose: bool) -> None:
    """Beam reports an error with its traceback; users get one line instead unless they ask for more."""
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        return
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL + 1)
    logging.getLogger("pipelines").setLevel(logging.ERROR)

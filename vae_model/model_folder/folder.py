"""A MODEL folder at a path or on any store: the names of its files, and local copies of those that a command needs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines import store
from pipelines.errors import WorkError
from pipelines.store.paths import local_path

MODEL_FILE = "model.keras"
PRIOR_FILE = "prior.keras"
SOUNDS_FILE = "sounds.parquet"
BUNDLE_FILE = "bundle.json"
CONFIG_FILE = "config.yaml"
STATE_FILE = "checkpoints/state.json"
LAST_FILES = (STATE_FILE, MODEL_FILE, PRIOR_FILE, BUNDLE_FILE)
"""What is written after all else, in this order: the first names checkpoints, the last is what makes a model."""
MODEL_FILES = (MODEL_FILE, BUNDLE_FILE)
"""What a model is used with, without its training's checkpoints and TensorBoard files."""


def file_in(folder: str | Path, *parts: str) -> str:
    """The path or URI of a file in a MODEL folder at a path or URI."""
    path = local_path(str(folder))
    return store.join(str(folder), *parts) if path is None else str(Path(path, *parts))


@contextmanager
def local_model(model: str | Path, names: Sequence[str] = MODEL_FILES) -> Iterator[Path]:
    """A local folder with these files of the MODEL folder at a path or URI, as far as it has them.

    It is the MODEL folder itself when that is local; else a copy, fetched in the order of the names, which goes when
    the block ends. WorkError names a file that can't be fetched.
    """
    path = local_path(str(model))
    if path is not None:
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="audio-vae-model-") as folder:
        for name in names:
            fetch(file_in(model, name), Path(folder, name))
        yield Path(folder)


def fetch(uri: str, path: Path) -> bool:
    """Copy a file of any store to a local path, in a folder made if need be; False when there is no such file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        store.get_file(uri, path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise WorkError(f"{uri}: cannot be read: {error.strerror or error}") from error
    return True

"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines import store
from pipelines.errors import SettingError, WorkError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path of the same suffix that takes the place of `path` when the block ends without an error."""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file, all at once."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path | str) -> dict[str, Any]:
    """The object in the JSON file at a path or URI; SettingError when it can't be read as one."""
    try:
        values = json.loads(store.read_bytes(str(path)).decode("utf-8"))
    except WorkError:  # of a store that does not answer
        raise
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} must be a readable JSON file: {error}") from error
    if not isinstance(values, dict):
        raise SettingError(f"{path} must hold a JSON object, not {type(values).__name__}")
    return values

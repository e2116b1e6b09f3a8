"""Start sooner: keep pyarrow from importing pandas, which no command of ours needs."""

from __future__ import annotations

import sys
from collections.abc import Sequence


class _NoPandas:
    """An import hook that knows of no pandas."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        if name == "pandas":
            raise ImportError(name)


def settle() -> None:
    """Let pyarrow find no pandas, for this process.

    It looks for pandas once, at the first list that it makes an array of: 0.3 s, a third of a rerun with nothing new.
    Only for the process of a command: `to_pandas` does not work afterwards.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    hook = _NoPandas()
    sys.meta_path.insert(0, hook)  # type: ignore[arg-type]
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(hook)  # type: ignore[arg-type]

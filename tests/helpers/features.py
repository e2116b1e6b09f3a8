"""The feature of docs/features.md, as a module of the working folder."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from pipelines import spectrogram_config
from tests.helpers.places import ROOT

OWN = "my_features:LowHalf"


def snippets() -> dict[str, str]:
    """The fenced Python blocks of the page by the name in the comment above each."""
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- snippet: (\w+) -->\n```python\n(.*?)```", page, re.DOTALL))


def written(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Write the module into a folder and work there, with no feature allowed yet."""
    (folder / "my_features.py").write_text(snippets()["my_features"])
    patch.chdir(folder)
    patch.setattr(spectrogram_config, "_allowed_features", set())
    patch.setattr(sys, "path", list(sys.path))
    patch.delitem(sys.modules, "my_features", raising=False)
    patch.setattr(sys, "dont_write_bytecode", True)

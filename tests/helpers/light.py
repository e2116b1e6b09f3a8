"""This installation as the light one: of all that is installed here, only what `pip install audio-vae` brings."""

from __future__ import annotations

import ast
import os
import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from tests.helpers.places import ROOT

_HIDING = """
import importlib.machinery, sys

HIDDEN = set({hidden!r})


class Light:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN or name.startswith("google.cloud"):
            return None
        return importlib.machinery.PathFinder.find_spec(name, path, target)

    invalidate_caches = staticmethod(importlib.machinery.PathFinder.invalidate_caches)


sys.meta_path[:] = [Light if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
"""


def canonical(name: str) -> str:
    """The name of a distribution as an index knows it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def base_requirements() -> list[str]:
    """What setup.py requires without any extra."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (found,) = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "install_requires"
    ]
    requirements: list[str] = ast.literal_eval(found)
    return requirements


def brought() -> set[str]:
    """The distributions that come with `pip install audio-vae`."""
    found: set[str] = set()
    rest = [(Requirement(text), "") for text in base_requirements()]
    while rest:
        needed, extra = rest.pop()
        if needed.marker is not None and not needed.marker.evaluate({"extra": extra}):
            continue
        name = canonical(needed.name)
        key = f"{name}[{','.join(sorted(needed.extras))}]"
        if key in found:
            continue
        found |= {name, key}
        requires = metadata.distribution(name).requires or []
        rest += [(Requirement(text), extra) for text in requires for extra in ("", *needed.extras)]
    return {name for name in found if "[" not in name}


def environment(folder: Path) -> dict[str, str]:
    """Variables with which Python, and its children, find no more than that. folder: for the file that sees to it."""
    there = brought()
    hidden = [
        name
        for name, owners in metadata.packages_distributions().items()
        if name not in ("pipelines", "vae_model", "_distutils_hack", "google")
        and not there & {canonical(owner) for owner in owners}
    ]
    (folder / "sitecustomize.py").write_text(_HIDING.format(hidden=sorted(hidden)))
    return dict(os.environ, PYTHONPATH=f"{folder}{os.pathsep}{ROOT}")

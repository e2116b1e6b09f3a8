"""Hooks of mkdocs: a page for each public face, made of its `.pyi`; mkdocstrings reads the docstrings.

A face's page has its names, and then what its functions give back: the classes of both packages in their annotations.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
FACES = ("pipelines", "pipelines.beam", "vae_model")
"""Those that programs import from."""
_PACKAGES = ("pipelines", "vae_model")


def on_config(config: MkDocsConfig) -> None:
    """Give the reference a group."""
    config.nav.append({"Reference": [{face: f"reference/{face}.md"} for face in FACES]})


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages."""
    for face in FACES:
        files.append(File.generated(config, f"reference/{face}.md", content=page_of(face)))


def page_of(face: str) -> str:
    """The page: the face's docstring, its names, and the results of its functions."""
    names = names_of(face)
    results = dict(result for module, name in names.values() for result in results_of(module, name))
    results = {name: module for name, module in results.items() if name not in names}
    doc = ast.get_docstring(_tree(face))
    lines = [f"# {face}", "", f"::: {face}\n    options:\n      members: false\n      show_root_heading: false", ""]
    assert doc, face
    lines += [_entry(module, name) for name, (module, _) in names.items()]
    if results:
        lines += ["## What they give back", ""]
        lines += [_entry(module, name, level=3) for name, module in sorted(results.items())]
    return "\n".join(lines)


def _entry(module: str, name: str, level: int = 2) -> str:
    return f"::: {module}.{name}\n    options:\n      heading_level: {level}\n"


def names_of(face: str) -> dict[str, tuple[str, str]]:
    """The public names of a face, each with its module and itself."""
    stub = ROOT.joinpath(*face.split("."), "__init__.pyi").read_text(encoding="utf-8")
    imports = [node for node in ast.parse(stub).body if isinstance(node, ast.ImportFrom) and node.level == 1]
    return {name.name: (f"{face}.{node.module}", name.name) for node in imports for name in node.names}


def results_of(module: str, name: str) -> Iterator[tuple[str, str]]:
    """The classes of both packages that a function's annotation says it returns, each with its module."""
    (thing,) = [node for node in _tree(module).body if getattr(node, "name", "") == name]
    if isinstance(thing, ast.FunctionDef) and thing.returns is not None:
        for node in ast.walk(thing.returns):
            place = home_of(module, node.id) if isinstance(node, ast.Name) else None
            if place:
                yield node.id, place


def home_of(module: str, name: str) -> str | None:
    """The module of both packages in which a class that this one names is written; None where there is none."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module
        if isinstance(node, ast.ImportFrom) and node.module and name in [alias.name for alias in node.names]:
            return home_of(node.module, name) if node.module.split(".")[0] in _PACKAGES else None
    return None


@functools.cache
def _tree(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(source.read_text(encoding="utf-8"))

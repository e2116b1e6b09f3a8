"""How the tests are put together: what they share stands in `tests/helpers`, and none is needed by another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.places import ROOT

FILES = sorted((ROOT / "tests").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, also within its functions; `from a import b` gives `a` and `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_a_test(name: str) -> bool:
    """Whether a dotted name is that of a module of tests, or of fixtures, which pytest hands out itself."""
    return name.startswith("tests.") and any(
        part == "conftest" or part.startswith("test_") for part in name.split(".")[1:]
    )


def test_no_test_imports_another_test() -> None:
    assert len(FILES) > 80
    assert [f"{path}: {name}" for path in FILES for name in imported(path) if is_a_test(name)] == []


def test_helpers_hold_no_tests_and_every_test_module_lies_in_a_room() -> None:
    for path in FILES:
        place = path.relative_to(ROOT / "tests")
        if place.name.startswith("test_"):
            assert len(place.parts) == 2, path
            assert place.parts[0] != "helpers", path

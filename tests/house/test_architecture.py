"""The picture in docs/architecture.md is the table of which room may import which; every import is held against it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = ("pipelines", "vae_model")
FACES = {"__init__", "__main__"}
"""Files that hand on what other rooms have, when it is asked for; they stand above all rooms."""

_EDGE = re.compile(r"^\s*(\w+)(?:\[([\w.]+)\])? --> (\w+)(?:\[([\w.]+)\])?$", re.MULTILINE)


def modules() -> dict[str, Path]:
    """Every module of both packages by its dotted name, faces left out."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if path.stem not in FACES:
                found[".".join(path.relative_to(ROOT).with_suffix("").parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of both packages that a file imports, at its top or in a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                full = f"{node.module}.{name.name}"
                yield full if full in known or (ROOT / full.replace(".", "/")).is_dir() else node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def room_of(module: str) -> str:
    """The room, or the file of the hall, that a module is in."""
    return ".".join(module.split(".")[:2])


def drawn() -> dict[str, set[str]]:
    """The arrows of the picture: room → rooms."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = text.split("```mermaid")[1].split("```")[0]
    names: dict[str, str] = {}
    arrows: dict[str, set[str]] = defaultdict(set)
    for start, start_name, end, end_name in _EDGE.findall(picture):
        names |= {key: name for key, name in ((start, start_name), (end, end_name)) if name}
        arrows[start].add(end)
    return {names[start]: {names[end] for end in ends} for start, ends in arrows.items()}


def built() -> dict[str, set[str]]:
    """The imports from one room into another."""
    known = modules()
    arrows: dict[str, set[str]] = defaultdict(set)
    for module, path in known.items():
        for target in imports(path, known):
            if target.split(".")[0] in PACKAGES and target.count(".") and room_of(target) != room_of(module):
                arrows[room_of(module)].add(room_of(target))
    return arrows


def reachable(start: str, arrows: dict[str, set[str]], without: str | None = None) -> set[str]:
    """What can be reached from a room, itself left out; `without` one of its arrows."""
    seen: set[str] = set()
    rest = [room for room in arrows.get(start, ()) if room != without]
    while rest:
        room = rest.pop()
        if room not in seen:
            seen.add(room)
            rest += arrows.get(room, ())
    return seen


def test_every_import_between_rooms_is_allowed_by_the_picture() -> None:
    allowed = drawn()
    forbidden = {
        f"{room} imports {target}" for room, targets in built().items() for target in targets - reachable(room, allowed)
    }
    assert not forbidden


def test_every_arrow_of_the_picture_is_needed() -> None:
    allowed, used = drawn(), built()
    idle = {
        f"{room} --> {target}" for room, targets in allowed.items() for target in targets if target not in used[room]
    }
    doubled = {
        f"{room} --> {target}"
        for room, targets in allowed.items()
        for target in targets
        if target in reachable(room, allowed, without=target)
    }
    assert not idle
    assert not doubled


def test_no_arrow_leads_back() -> None:
    allowed = drawn()
    assert not {room for room in allowed if room in reachable(room, allowed)}


def test_every_room_is_in_the_picture() -> None:
    allowed = drawn()
    shown = set(allowed) | {target for targets in allowed.values() for target in targets}
    assert {room_of(module) for module in modules()} == shown


def test_no_two_modules_import_each_other_by_any_way() -> None:
    known = modules()
    arrows = {module: {target for target in imports(path, known) if target in known} for module, path in known.items()}
    assert not {module for module in known if module in reachable(module, arrows)}


def test_the_data_side_never_imports_the_model_side() -> None:
    assert not {
        room for room, targets in built().items() if room.startswith("pipelines") for t in targets if "vae" in t
    }


def test_nobody_imports_a_command_but_the_console() -> None:
    known = modules()
    importers = {
        module
        for module, path in known.items()
        for target in imports(path, known)
        if ".commands" in target and ".commands" not in module
    }
    assert importers <= {"vae_model.cli"}


def test_a_room_is_no_larger_than_a_head() -> None:
    """About a dozen modules a room; a module of about 300 lines."""
    known = modules()
    sizes: dict[str, int] = defaultdict(int)
    for module in known:
        if module.count(".") > 1:
            sizes[room_of(module)] += 1
    assert {room: size for room, size in sizes.items() if size > 20 or (size > 14 and "commands" not in room)} == {}
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in known.items()}
    assert {module: length for module, length in lengths.items() if length > 350} == {}


def test_the_tests_that_the_page_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 5
    missing = [(file, test) for file, test in named if f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8")]
    assert not missing

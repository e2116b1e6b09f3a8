"""Documents and bytes changed at random places into what nobody expects, for tests with Hypothesis."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, -0.0, 0.5, 1e308, -1e308, float("inf"), float("-inf"), float("nan")),
    *(10**12, 2**31, 2**53, 2**63 - 1, 2**63, 10**400, -(10**400)),
    *(
        "",
        "a",
        "..",
        "../../x",
        "/etc/passwd",
        "a\n",
        "\x00",
        "é",
        "\u202e",
        "🙂",
        "x" * 5_000,
        "^(a+)+$",
        "(",
        "9" * 50,
    ),
    *([], {}, [[]], [None], [0], ["a"], {"a": 1}, {"": None}, [[[[[[[[]]]]]]]], list(range(200))),
]
"""Values that stand where another kind of value belongs."""


def places(document: Any, start: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a JSON document, the whole one first."""
    found = [start]
    if isinstance(document, dict):
        for key, value in document.items():
            found += places(value, (*start, key))
    elif isinstance(document, list):
        for number, value in enumerate(document[:5]):
            found += places(value, (*start, number))
    return found


@st.composite
def changed_documents(draw: Callable[..., Any], document: Any) -> Any:
    """A JSON document with up to three values replaced, removed, doubled, renamed or made a little different."""
    result = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        way = draw(st.sampled_from(places(result)))
        if not way:
            if draw(st.integers(0, 20)) == 0:
                return draw(st.sampled_from(ODD))
            continue
        inner = result
        for key in way[:-1]:
            inner = inner[key]
        _change(draw, inner, way[-1])
    return result


def _change(draw: Callable[..., Any], inner: Any, key: Any) -> None:
    kind = draw(st.sampled_from(("odd", "odd", "odd", "remove", "rename", "double", "nudge")))
    if kind == "remove":
        del inner[key]
    elif kind == "rename" and isinstance(inner, dict):
        inner[draw(st.sampled_from(["", "x", "../x", str(key) + " ", "A" * 300]))] = inner.pop(key)
    elif kind == "double" and isinstance(inner, list):
        inner.append(copy.deepcopy(inner[key]))
    elif kind == "nudge" and isinstance(inner[key], (int, float)) and not isinstance(inner[key], bool):
        inner[key] += draw(st.sampled_from((-1, 1, 2**40) if isinstance(inner[key], int) else (1e-9, -1.0, 1e9)))
    elif kind == "nudge" and isinstance(inner[key], str):
        inner[key] = inner[key] + draw(st.sampled_from(("", "\n", "/", "/..", "\x00", "0", "é")))
    else:
        inner[key] = copy.deepcopy(draw(st.sampled_from(ODD)))


@st.composite
def changed_bytes(draw: Callable[..., Any], data: bytes) -> bytes:
    """Bytes with some of them flipped, cut out, doubled or overwritten."""
    result = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        if not result:
            break
        at = draw(st.integers(0, len(result) - 1))
        kind = draw(st.sampled_from(("flip", "set", "cut", "end", "double", "zero")))
        length = draw(st.integers(1, 64))
        if kind == "flip":
            result[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            result[at] = draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF)))
        elif kind == "cut":
            del result[at : at + length]
        elif kind == "end":
            del result[at:]
        elif kind == "double":
            result[at:at] = result[at : at + length]
        else:
            result[at : at + length] = bytes(length)
    return bytes(result)


def json_bytes(document: Any) -> bytes:
    """A document as a JSON file, with what is no JSON in it where Python writes such (NaN)."""
    return json.dumps(document).encode()

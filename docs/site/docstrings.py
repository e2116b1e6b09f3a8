"""How a docstring of this repository becomes Markdown: its examples are code, its arguments stand out."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^( *)>>> .*?(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)


class AsMarkdown(griffe.Extension):
    """Rewrites the docstring of every class and function."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Fence `>>>` blocks, and set `name: …` of each argument or field in bold."""
        _rewrite(pkg)


def _rewrite(thing: griffe.Object) -> None:
    if thing.docstring is not None:
        thing.docstring.value = _as_markdown(thing.docstring.value, _names(thing))
    for member in thing.members.values():
        if not member.is_alias:
            _rewrite(member)


def _names(thing: griffe.Object) -> set[str]:
    """Of the arguments of a function, and of those and the fields of a class."""
    if thing.is_function:
        return {parameter.name.lstrip("*") for parameter in thing.parameters}
    if not thing.is_class:
        return set()
    fields = {name for name, member in thing.members.items() if member.is_attribute}
    return fields | {parameter.name.lstrip("*") for parameter in thing.parameters}


def _as_markdown(text: str, names: set[str]) -> str:
    lines, is_code = [], False
    for line in _EXAMPLE.sub(r"```pycon\n\g<0>\n```", text).splitlines():
        is_code ^= line.startswith("```")
        lines.append(line if is_code or not names else _marked(line, names))
    return "\n".join(lines)


def _marked(line: str, names: set[str]) -> str:
    wanted = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    return re.sub(rf"(^|[.,] )((?:(?:{wanted}), )*(?:{wanted})): ", r"\1**\2**: ", line)

"""Settings from and to YAML files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines import store
from pipelines.errors import SettingError, WorkError, describe
from pipelines.settings import settable

_MOST_BYTES = 1 << 18
_MOST_VALUES = 100_000


def read_settings(path: str | Path) -> dict[str, Any]:
    """The mapping in the YAML file at a path or URI. SettingError names the file, and the line where it is no YAML."""
    try:
        values = _document(_text(path))
    except WorkError:  # of a store that does not answer
        raise
    except OSError as error:
        raise SettingError(f"{path} must be a readable file: {error.strerror or error}") from error
    except UnicodeError as error:
        raise SettingError(f"{path} must be a text file in UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = str(getattr(error, "problem", None) or error)[:300]
        raise SettingError(f"{path}:{line} must be YAML: {problem}") from error
    # what its constructors raise for a value that is none of the kind it says, such as 2026-99-99
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise SettingError(f"{path} must be YAML: {describe(error)[:300]}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingError(f"{path} must hold settings, each a line `name: value`, not a {type(values).__name__}")
    return values


def _text(path: str | Path) -> str:
    with store.open_read(str(path)) as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise SettingError(f"{path} must be a file of settings, of at most {_MOST_BYTES:,} bytes")
    return data.decode("utf-8")


def _document(text: str) -> Any:
    """The values in a text of YAML. ValueError when anchors make far more of them than stand there."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}) > _MOST_VALUES:
            raise ValueError(f"it must hold at most {_MOST_VALUES:,} values, with what its anchors repeat")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values a node holds, written out; without end where it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        if isinstance(node, yaml.ScalarNode):
            node.value.encode()  # UnicodeError for half of a pair, which can't be printed
            inner: list[yaml.Node] = []
        elif isinstance(node, yaml.MappingNode):
            inner = [part for pair in node.value for part in pair]
        else:
            inner = node.value
        known[id(node)] = 1 + sum(_count(part, known) for part in inner)
    return known[id(node)]


class _Dumper(yaml.SafeDumper):
    """Writes a setting a line, its list within it."""


_Dumper.add_representer(list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, True))


def settings_text(configs: Sequence[Any]) -> str:
    """All settings of the dataclass instances as YAML, group by group, that `read_settings` and `with_values` take."""
    groups: dict[str, dict[str, Any]] = {}
    for config in configs:
        for name, field in settable(config).items():
            value = _plain(getattr(config, name))
            groups.setdefault(field.metadata.get("group", ""), {})[name] = value
    parts = []
    for group, values in groups.items():
        heading = f"# {group}\n" if group else ""
        parts.append(heading + yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
    return "\n".join(parts)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value

"""Settings from and to YAML files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines import store
from pipelines.errors import SettingError, WorkError
from pipelines.settings import settable


def read_settings(path: str | Path) -> dict[str, Any]:
    """The mapping in the YAML file at a path or URI. SettingError names the file, and the line where it is no YAML."""
    try:
        values = yaml.safe_load(store.read_bytes(str(path)).decode("utf-8"))
    except WorkError:  # of a store that does not answer
        raise
    except OSError as error:
        raise SettingError(f"{path} must be a readable file: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{path} must be a text file in UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise SettingError(f"{path}:{line} must be YAML: {getattr(error, 'problem', None) or error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingError(f"{path} must hold settings, each a line `name: value`, not a {type(values).__name__}")
    return values


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

"""Settings in frozen dataclasses: their description for a command line, and their values from and to YAML files.

A field made by `setting` says all that there is to say of it: default, group, help. `vae_model/options.py` makes a flag
of each, and a file may hold each by its name. Imports neither TensorFlow nor Keras.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from pipelines import store
from pipelines.errors import SettingError, WorkError, shortened

T = TypeVar("T")
_FIXED = "fixed"
_TYPES = {int: "an integer", float: "a number", bool: "true or false", str: "text"}


def setting(
    default: T,
    group: str,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    metavar: str | None = None,
    flag: str | None = None,
) -> T:
    """A field of a settings dataclass that users may set.

    group, help: where and how `--help` shows it. choices: the values of a text. metavar: what stands for its value in
    the help. flag: its name there if it isn't the field's, with the two dashes.
    """
    about = {"group": group, "help": help, "choices": choices, "metavar": metavar, "flag": flag}
    made: T = dataclasses.field(default=default, metadata=about)
    return made


def fixed(default: T) -> T:
    """A field that no user sets: the program does."""
    made: T = dataclasses.field(default=default, metadata={_FIXED: True})
    return made


def settable(config: Any) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a dataclass, or of an instance, that users may set, by name."""
    return {field.name: field for field in dataclasses.fields(config) if _FIXED not in field.metadata}


def hints(config: Any) -> dict[str, Any]:
    """The types of a dataclass's fields, by name."""
    return typing.get_type_hints(config if isinstance(config, type) else type(config))


def coerced(name: str, value: Any, hint: Any) -> Any:
    """A value as YAML gives it, in the type of a field: a list becomes a tuple, a whole number a float if one is meant.

    SettingError `name=value must be rule`.
    """
    try:
        return _coerced(value, hint)
    except (ValueError, OverflowError):
        raise SettingError(f"{name}={shortened(value)} must be {rule(hint)}") from None


def rule(hint: Any) -> str:
    """What values a type takes, in words."""
    if hint in _TYPES:
        return _TYPES[hint]
    inner = [part for part in typing.get_args(hint) if part is not Ellipsis]
    if _is_union(hint):
        return " or ".join("nothing" if part is type(None) else rule(part) for part in inner)
    each = [rule(part) for part in inner]
    if Ellipsis in typing.get_args(hint):
        return f"a list, each {each[0]}"
    return f"a list of {len(each)}: {', '.join(each)}"


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _coerced(value: Any, hint: Any) -> Any:
    if _is_union(hint):
        for part in typing.get_args(hint):
            try:
                return _coerced(value, part)
            except ValueError:
                continue
        raise ValueError
    if typing.get_origin(hint) is tuple:
        parts = typing.get_args(hint)
        if not isinstance(value, (list, tuple)):
            raise ValueError
        if parts[1:] == (Ellipsis,):
            parts = (parts[0],) * len(value)
        return tuple(_coerced(item, part) for item, part in zip(value, parts, strict=True))
    if hint is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return float(value)  # also of a text: YAML 1.1 takes 5e-4, which lacks a point, for one
    if hint is Any or (isinstance(value, hint) and isinstance(value, bool) == (hint is bool)):
        return value
    raise ValueError


def with_values(configs: Sequence[Any], values: Mapping[str, Any], where: str = "") -> list[Any]:
    """The dataclass instances with the values replaced, each value in the one that has its name.

    values: as YAML gives them. where: the file they come from, for errors. SettingError names it, the key, the rule and
    the value; for a key that no dataclass has, the nearest one.
    """
    known = [name for config in configs for name in settable(config)]
    start = f"{where}: " if where else ""
    for name in values:
        if name not in known:
            raise SettingError(f"{start}{name} must be a setting{suggestion(str(name), known)}")
    result = []
    for config in configs:
        kinds = hints(config)
        try:
            own = {name: coerced(name, values[name], kinds[name]) for name in settable(config) if name in values}
            result.append(dataclasses.replace(config, **own))
        except SettingError as error:
            raise SettingError(f"{start}{error}") from error
    return result


def suggestion(name: str, known: Iterable[str]) -> str:
    """`: did you mean …?` with the nearest of the known names, or what they are where none is near."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {near[0]}?" if near else f", one of {', '.join(known)}"


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


_METAVARS = {int: "N", float: "X", str: "TEXT"}


def add_settings(parser: argparse.ArgumentParser, configs: Sequence[Any], groups: Mapping[str, Any]) -> None:
    """A flag for every field that users may set, in its group; the help shows the values that `configs` have.

    groups: argument groups of the parser by title; a field of another one makes it. A flag not given is None.
    """
    made = dict(groups)
    for config in configs:
        kinds = hints(config)
        for name, field in settable(config).items():
            title = field.metadata.get("group", "other settings")
            if title not in made:
                made[title] = parser.add_argument_group(title)
            _add_flag(made[title], field, kinds[name], getattr(config, name))


def _add_flag(group: Any, field: dataclasses.Field[Any], hint: Any, default: Any) -> None:
    about = field.metadata
    flag = about.get("flag") or f"--{field.name.replace('_', '-')}"
    text = f"{about.get('help', '')} (default: {shown(default)})".strip().replace("%", "%%")
    shared: dict[str, Any] = {"dest": field.name, "help": text, "default": None}
    if hint is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, **shared)
    elif about.get("choices"):
        group.add_argument(flag, choices=about["choices"], **shared)
    else:
        metavar = about.get("metavar") or _METAVARS.get(hint, "N,N,…")
        group.add_argument(flag, type=_reader(field.name, hint), metavar=metavar, **shared)


def shown(value: Any) -> str:
    """A setting's value as its flag takes it."""
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(f"[{shown(item)}]" if isinstance(item, tuple) else shown(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _reader(name: str, hint: Any) -> Callable[[str], Any]:
    """What turns a flag's text into a value of the type; a list is written 2,2,[2,1]."""

    def read(text: str) -> Any:
        try:
            if hint in _METAVARS:
                return hint(text)
            is_list = typing.get_origin(hint) is tuple
            return coerced(name, yaml.safe_load(f"[{text}]" if is_list else text), hint)
        except (ValueError, SettingError, yaml.YAMLError):
            raise argparse.ArgumentTypeError(f"{text!r} must be {rule(hint)}") from None

    return read

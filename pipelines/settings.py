"""Settings in frozen dataclasses: what a field says of itself, and values put into them.

A field made by `setting` says all that there is to say of it: default, group, help, how people write it and what it
must be. `flags.py` makes a flag of each, and a file (`settings_file.py`) may hold each by its name.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pipelines.errors import SettingError, require, shortened

T = TypeVar("T")
Check = Callable[[str, Any], None]
"""Called with the name and the value of a setting; raises SettingError `name=value must be rule`."""
_FIXED = "fixed"
_NAME = 80  # characters that are shown of a name that is none
_TYPES = {int: "an integer", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Spelling:
    """How people write a value that has no form of its own in YAML, in a file and as a flag.

    read: makes the value of what was written, ValueError when it can't. rule: what it must look like, in words. write:
    the value as it is written. repeated: whether its flag may be given several times; `read` then gets the list.
    """

    read: Callable[[Any], Any]
    rule: str
    write: Callable[[Any], str]
    repeated: bool = False


def setting(
    default: T,
    group: str,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    metavar: str | None = None,
    flag: str | None = None,
    unset: str | None = None,
    spelling: Spelling | None = None,
    check: Check | None = None,
) -> T:
    """A field of a settings dataclass that users may set.

    group, help: where and how `--help` shows it. choices: the values of a text. metavar: what stands for its value in
    the help. flag: its name there if it isn't the field's, with the two dashes. unset: what it is when it is None, in
    words. check: what it must be, whatever the other settings are; `check_settings` asks it.
    """
    about: dict[str, Any] = {"group": group, "help": help, "choices": choices, "metavar": metavar, "flag": flag}
    about |= {"unset": unset, "spelling": spelling, "check": check}
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


MOST = 2**31
"""Above every number of samples, bytes, Hz or epochs that there can be."""


def positive(what: str, kind: type = float) -> Check:
    """A rule: a finite number above 0. what: it counts, after `a positive`. kind: int for whole numbers alone."""
    return lambda name, value: require(_is_positive(value, kind), name, value, f"a positive {what}")


def one_of(choices: Sequence[str]) -> Check:
    """A rule: one of the choices, where they are too many to be shown as those of a flag."""
    return lambda name, value: require(value in choices, name, value, f"one of {', '.join(choices)}")


def _is_positive(value: Any, kind: type) -> bool:
    is_number = isinstance(value, (int, kind)) and not isinstance(value, bool)
    most = MOST - 1 if kind is int else sys.float_info.max  # an integer may be beyond every float
    return is_number and 0 < value <= most


def check_settings(config: Any) -> None:
    """Ask each field's own rule; for `__post_init__`. SettingError `name=value must be rule`."""
    for name, field in settable(config).items():
        _check(name, field, getattr(config, name))


def _check(name: str, field: dataclasses.Field[Any], value: Any) -> None:
    if value is None and field.default is None:
        return
    if choices := field.metadata.get("choices"):
        one_of(choices)(name, value)
    if check := field.metadata.get("check"):
        check(name, value)


def coerced(name: str, value: Any, hint: Any, spelling: Spelling | None = None) -> Any:
    """A value as YAML gives it, in the type of a field: a list becomes a tuple, a whole number a float if one is meant.

    SettingError `name=value must be rule`.
    """
    try:
        return _coerced(value if spelling is None else spelling.read(value), hint)
    except (ValueError, TypeError, OverflowError):
        raise SettingError(f"{name}={shortened(value)} must be {spelling.rule if spelling else rule(hint)}") from None


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
    if type(value).__module__ == "numpy":
        value = value.tolist()  # an array's list, a scalar's number
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
    checked = checked_values(configs, values, where)
    result = []
    for config in configs:
        try:
            own = {name: checked[name] for name in settable(config) if name in checked}
            result.append(dataclasses.replace(config, **own))
        except SettingError as error:
            raise at(where, error) from error
    return result


def checked_values(configs: Sequence[Any], values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The values in the types of the fields that have their names, each as far as it can be checked without the others.

    Errors as of `with_values`.
    """
    fields = {name: (config, field) for config in configs for name, field in settable(config).items()}
    checked = {}
    for name, value in values.items():
        if name not in fields:
            word = str(name)[:_NAME]
            raise at(where, SettingError(f"{word} must be a setting{suggestion(word, fields)}"))
        config, field = fields[name]
        try:
            checked[name] = coerced(name, value, hints(config)[name], field.metadata.get("spelling"))
            _check(name, field, checked[name])
        except SettingError as error:
            raise at(where, error) from error
    return checked


def at(where: str, error: SettingError) -> SettingError:
    """The error with the place of the setting before it, such as its file."""
    return SettingError(f"{where}: {error}" if where else str(error))


def suggestion(name: str, known: Iterable[str]) -> str:
    """`: did you mean …?` with the nearest of the known names, or what they are where none is near."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {near[0]}?" if near else f", one of {', '.join(known)}"


def shown(value: Any, about: Mapping[str, Any] = types.MappingProxyType({})) -> str:
    """A setting's value as its flag takes it. about: the metadata of its field."""
    if value is None or (value == "" and about.get("unset")):
        return about.get("unset") or "automatic"
    if spelling := about.get("spelling"):
        return str(spelling.write(value))
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(f"[{shown(item)}]" if isinstance(item, tuple) else shown(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Flags of a command line made of settings, and what a mistyped one gets."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import yaml

from pipelines.errors import SettingError, is_installed
from pipelines.settings import coerced, hints, rule, settable, shown

_METAVARS = {int: "N", float: "X", str: "TEXT"}


def add_settings(
    parser: argparse.ArgumentParser, configs: Sequence[Any], groups: Mapping[str, Any], *, underscores: bool = False
) -> None:
    """A flag for every field that users may set, in its group; the help shows the values that `configs` have.

    groups: argument groups of the parser by title; a field of another one makes it. underscores: `--hop_length` is
    taken as `--hop-length` is, which the help shows alone. A flag not given is None.
    """
    made = dict(groups)
    for config in configs:
        kinds = hints(config)
        for name, field in settable(config).items():
            title = field.metadata.get("group", "other settings")
            if title not in made:
                made[title] = parser.add_argument_group(title)
            _add_flag(made[title], field, kinds[name], getattr(config, name), underscores)


def has_others(argv: Sequence[str], own: Collection[str]) -> bool:
    """Whether there are options besides one's own, which may be Beam's. SettingError for them where Beam is not."""
    others = [word.split("=")[0] for word in argv if word.startswith("--") and word.split("=")[0] not in own]
    if others and not is_installed("apache_beam"):
        needed = "where Beam is not installed; for Beam's: pip install 'audio-vae[pipeline]'"
        raise SettingError(f"{others[0]} must be an option that --help lists, {needed}")
    return bool(others)


def _add_flag(group: Any, field: dataclasses.Field[Any], hint: Any, default: Any, underscores: bool) -> None:
    about = field.metadata
    flag = about.get("flag") or f"--{field.name.replace('_', '-')}"
    text = f"{about.get('help', '')} (default: {shown(default, about)})".strip().replace("%", "%%")
    shared: dict[str, Any] = {"dest": field.name, "help": text, "default": None}
    if hint is bool:
        shared["action"] = argparse.BooleanOptionalAction
    elif about.get("choices"):
        shared["choices"] = about["choices"]
    else:
        shared["metavar"] = about.get("metavar") or _METAVARS.get(hint, "N,N,…")
        shared["type"] = _reader(field, hint)
        if about.get("spelling") and about["spelling"].repeated:
            shared["action"] = "append"
    add_flag(group, flag, underscores=underscores, **shared)


def add_flag(group: Any, flag: str, *, underscores: bool, **how: Any) -> None:
    """`add_argument`, with the spelling `--a_b` of a flag `--a-b` too, of which the help says nothing."""
    action = group.add_argument(flag, **how)
    other = "--" + flag[2:].replace("-", "_")
    if underscores and other != flag:
        group.add_argument(other, **{**how, "dest": action.dest, "help": argparse.SUPPRESS})


def _reader(field: dataclasses.Field[Any], hint: Any) -> Callable[[str], Any]:
    """What turns a flag's text into a value of the type; a list is written 2,2,[2,1]."""
    spelling = field.metadata.get("spelling")

    def read(text: str) -> Any:
        try:
            if spelling is not None:
                value = coerced(field.name, text, hint, spelling)
                return text if spelling.repeated else value  # all that are given are read together, later
            if str in typing.get_args(hint):
                return text
            if hint in _METAVARS:
                return hint(text)
            is_list = typing.get_origin(hint) is tuple
            return coerced(field.name, yaml.safe_load(f"[{text}]" if is_list else text), hint)
        except (ValueError, SettingError, yaml.YAMLError):
            raise argparse.ArgumentTypeError(f"{text!r} must be {_rule(field, hint)}") from None

    return read


def _rule(field: dataclasses.Field[Any], hint: Any) -> str:
    spelling = field.metadata.get("spelling")
    return str(spelling.rule) if spelling else rule(hint)


def given(arguments: argparse.Namespace, configs: Sequence[Any]) -> dict[str, Any]:
    """The settings of the dataclasses whose flags were given, by name."""
    values = {name: getattr(arguments, name) for config in configs for name in settable(config)}
    return {name: value for name, value in values.items() if value is not None}


def preset_named(argv: Sequence[str], presets: Iterable[str], default: str) -> str:
    """The preset on a command line, whose values its help is to show; the default one where none is, or a wrong one."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", nargs="?")
    named = first.parse_known_args(argv)[0].preset
    return named if named in presets else default


def parse(parser: argparse.ArgumentParser, argv: Sequence[str], also_known: Iterable[str] = ()) -> argparse.Namespace:
    """Parse a command line; an unknown option ends the program with the nearest known one.

    also_known: flags that another than the parser takes, to be named when one is nearest.
    """
    actions = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    known = [*(flag for action in actions for flag in action.option_strings), *also_known]

    def refuse(argument: str) -> NoReturn:
        near = difflib.get_close_matches(argument.split("=")[0], known, n=1)
        suggested = f": did you mean {near[0]}?" if near else ""
        parser.error(f"{argument} must be an argument of this command{suggested}")

    for word in argv:  # first: a mistyped option may be one that has to be given
        if word.startswith("--") and not any(
            flag.startswith(word.split("=")[0]) for flag in parser._option_string_actions
        ):
            refuse(word)
    arguments, unknown = parser.parse_known_args(argv)
    for argument in unknown:
        refuse(argument)
    return arguments

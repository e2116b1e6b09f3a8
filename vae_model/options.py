"""Flags of a command made from settings dataclasses, and the help on a mistyped one."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from pipelines.errors import SettingError
from vae_model.config import PHASES
from vae_model.settings import coerced, hints, rule, settable

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


def add_phase(parser: argparse.ArgumentParser, *more: str) -> None:
    """The flag --phase: one of PHASES, or of `more`."""
    parser.add_argument(
        "--phase",
        choices=(*PHASES, *more),
        default=PHASES[0],
        help=f"how the phases are found, docs/sound.md (default: {PHASES[0]})",
    )


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; an unknown option ends the program with the nearest known one."""
    arguments, unknown = parser.parse_known_args(argv)
    for argument in unknown:
        flags = [flag for action in parser._actions for flag in action.option_strings]
        near = difflib.get_close_matches(argument.split("=")[0], flags, n=1)
        parser.error(f"{argument} must be an argument of this command" + (f": did you mean {near[0]}?" if near else ""))
    return arguments

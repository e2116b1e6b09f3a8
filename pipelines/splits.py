"""How the settings of splits and labels are written, and what they must be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipelines.errors import SettingError, require, shortened
from pipelines.settings import Spelling

TRAIN, VALIDATION, TEST = "train", "validation", "test"
"""Splits that mean something: train gets what no other does, and models are measured on test, else validation."""
_SPLIT_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _read_split(value: Any) -> Any:
    """Pairs of `validation=0.1,test=0.1`, of `none`, or of a mapping; what is none of these as it is."""
    if value == "none":
        return ()
    if isinstance(value, Mapping):
        return tuple(value.items())
    if not isinstance(value, str):
        return value
    pairs = (part.partition("=") for part in value.split(","))
    return tuple((name.strip(), float(fraction)) for name, _, fraction in pairs)


def _read_split_pattern(value: Any) -> Any:
    r"""Pairs of one or several `test=_[0-4]\.wav$`."""
    if isinstance(value, Mapping):
        return tuple(value.items())
    texts = [value] if isinstance(value, str) else value
    return tuple(_pair(text) if isinstance(text, str) else text for text in texts)


def _pair(text: str) -> tuple[str, str]:
    name, equals, pattern = text.partition("=")
    if not equals:
        raise ValueError
    return name, pattern


def _written(pairs: tuple[tuple[str, Any], ...]) -> str:
    return ",".join(f"{name}={value}" for name, value in pairs) or "none"


SPLIT = Spelling(_read_split, "like validation=0.1,test=0.1, or none", _written)
SPLIT_PATTERN = Spelling(_read_split_pattern, "like test=EXPRESSION", _written, repeated=True)


def check_split(_: str, value: tuple[tuple[str, float], ...]) -> None:
    for name, fraction in value:
        require(bool(_SPLIT_NAME.fullmatch(name)), "split", name, "named in lower-case letters, digits and _")
        require(name != TRAIN, "split", name, "another split than train, which gets the rest")
        is_number = isinstance(fraction, (int, float)) and not isinstance(fraction, bool)
        require(is_number and 0 < fraction < 1, f"split {name}", fraction, "a fraction between 0 and 1")
    names = [name for name, _ in value]
    require(len(set(names)) == len(names), "split", ",".join(names), "a list of different splits")
    require(sum(fraction for _, fraction in value) < 1, "split", dict(value), "fractions with a sum below 1")


def check_split_pattern(_: str, value: tuple[tuple[str, str], ...]) -> None:
    for name, pattern in value:
        require(bool(_SPLIT_NAME.fullmatch(name)), "split_pattern", name, "a split in lower-case letters")
        _compile("split_pattern", pattern)


def check_label_pattern(name: str, value: str) -> None:
    groups = _compile(name, value).groupindex
    require(bool(groups), name, value, "an expression with named groups (?P<name>…)")


def _compile(name: str, pattern: str) -> re.Pattern[str]:
    require(isinstance(pattern, str), name, pattern, "a regular expression")
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise SettingError(f"{name}={shortened(pattern)} must be a regular expression: {error}") from error

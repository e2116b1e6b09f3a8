"""Code of a user's own that a model is of, named `module` or `module:Class`: what may be imported in this process."""

from __future__ import annotations

import re
import sys
from typing import Any

from pipelines.errors import SettingError, require

_NAME = re.compile(r"([A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?)?", re.ASCII)
_allowed: set[str] = set()


def check_code(name: str, value: Any) -> None:
    """A rule of a setting: nothing, or `module` or `module:Class`."""
    is_name = isinstance(value, str) and _NAME.fullmatch(value)
    require(bool(is_name), name, value, "a module's name, or module:Class")


def module_of(code: str) -> str:
    """The module of `module` or `module:Class`."""
    return code.partition(":")[0]


def allow_import(code: str) -> None:
    """Let a module be imported in this process, as a user asks for it by name.

    A model or a file of settings that names one never makes anything be imported by itself. SettingError when it is no
    name of a module.
    """
    check_code("--import", code)
    _allowed.add(module_of(code))


def allowed_imports() -> tuple[str, ...]:
    """What has been allowed, for a process that goes on with it elsewhere."""
    return tuple(sorted(_allowed))


def check_import_allowed(code: str) -> None:
    """SettingError, with the flag to give, for a module that nobody here has asked for, or imported already."""
    module = module_of(code)
    if module not in _allowed and module not in sys.modules:
        raise SettingError(
            f"code={code}, which the model is of, would be imported; where you trust it, give --import {module} "
            f"(in Python: import {module})"
        )

"""What readers of the well-known course bring along: its names for arguments, and its methods that nothing calls here.

docs/from-the-course.md has old and new side by side.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pipelines.errors import SettingError

_Function = TypeVar("_Function", bound=Callable[..., Any])
PAGE = "docs/from-the-course.md"


def also_called(**names: str) -> Callable[[_Function], _Function]:
    """A function that takes arguments by the course's names too: `course_name="our_name"`.

    >>> @also_called(min_val="min")
    ... def lowest(min=0):
    ...     return min
    >>> lowest(min_val=-1)
    -1
    """

    def taking(function: _Function) -> _Function:
        @functools.wraps(function)
        def called(*arguments: Any, **named: Any) -> Any:
            for name in named.keys() & names.keys():
                if names[name] in named:
                    raise SettingError(f"{name} must not be given beside {names[name]}, which it is another name of")
                named[names[name]] = named.pop(name)
            return function(*arguments, **named)

        return called  # type: ignore[return-value]

    return taking


def refuse_methods(cls: type, instead: Mapping[str, str]) -> None:
    """SettingError for a subclass that has a method of the course's which would never be called.

    instead: by the name of the method, how the same is done here.
    """
    for name in vars(cls):
        if name in instead:
            raise SettingError(f"{cls.__name__}.{name} would never be called: {instead[name]} ({PAGE})")

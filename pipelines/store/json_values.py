"""JSON that anybody may have written: read as one document, and then value by value, each with its place and rule."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Any

from pipelines.errors import SettingError, shortened

LARGEST = 2**63 - 1
"""The largest integer that is taken where no smaller one is named."""


def json_document(data: bytes) -> Any:
    """What a JSON file holds. ValueError when it is no JSON, or no text that can be printed and written again."""
    try:
        values = json.loads(data.decode("utf-8"))
        if b"\\ud" in data.lower():  # half of a surrogate pair, which can be neither printed nor written again
            json.dumps(values, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeError as error:
        raise ValueError(f"it is no UTF-8: {error}") from error
    return values


class Value:
    """A value of a file with its place in it. Each method returns it as one kind, or raises SettingError.

    file: how errors begin. place: such as `splits.train.shards[3].path`.
    """

    def __init__(self, file: str, value: Any, place: str = "") -> None:
        self.file, self.value, self.place = file, value, place

    def require(self, condition: bool, rule: str) -> None:
        """SettingError `file: place=value must be rule` unless the condition holds."""
        if not condition:
            named = f"{self.place}={shortened(self.value)}" if self.place else f"it is {shortened(self.value)}, and"
            raise SettingError(f"{self.file}: {named} must be {rule}")

    def object(self, names: Collection[str] | None = None, optional: Collection[str] = ()) -> dict[str, Value]:
        """The values of an object by their names. names: exactly those that it must have, but for the optional ones."""
        self.require(isinstance(self.value, dict), "an object")
        start = f"{self.place}." if self.place else ""
        if names is not None:
            known = sorted({*names, *optional})
            for name in names:
                if name not in self.value:
                    raise SettingError(f"{self.file}: {start}{name} must be there")
            for name in self.value:
                if name not in known:
                    raise SettingError(f"{self.file}: {start}{shortened(name)[1:-1]} must be one of {', '.join(known)}")
        return {name: Value(self.file, value, f"{start}{name[:60]}") for name, value in self.value.items()}

    def list(self) -> list[Value]:
        """The values of a list."""
        self.require(isinstance(self.value, list), "a list")
        return [Value(self.file, value, f"{self.place}[{i}]") for i, value in enumerate(self.value)]

    def text(self) -> str:
        """A text."""
        self.require(isinstance(self.value, str), "text")
        return str(self.value)

    def integer(self, least: int = 0, most: int = LARGEST) -> int:
        """An integer within bounds."""
        is_one = isinstance(self.value, int) and not isinstance(self.value, bool)
        self.require(is_one and least <= self.value <= most, f"an integer from {least} to {most}")
        return int(self.value)

    def number(self, least: float = -math.inf, most: float = math.inf) -> float:
        """A finite number within bounds, an integer as it is."""
        is_one = isinstance(self.value, (int, float)) and not isinstance(self.value, bool)
        within = f" from {least:g} to {most:g}" if math.isfinite(least) and math.isfinite(most) else ""
        within = within or (f", at least {least:g}" if math.isfinite(least) else "")
        finite = is_one and -1.7e308 < self.value < 1.7e308  # also of an integer that no float holds
        self.require(finite and least <= self.value <= most, f"a finite number{within}")
        number: float = self.value
        return number

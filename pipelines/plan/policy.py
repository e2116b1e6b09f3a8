"""What a run does with known, removed and failed sources, and how many failures it bears."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pipelines.errors import SettingError


@dataclass(frozen=True)
class Policy:
    """How a rerun treats what it knows. checksum: compare content. The other two are as their options say."""

    checksum: bool = False
    keep_removed: bool = False
    retry_failed: bool = False


@dataclass(frozen=True)
class MaxFailures:
    """How many of the sources that a run tries may fail: a count, or a percentage when `percent`. None: any number."""

    value: float | None = None
    percent: bool = False

    @classmethod
    def read(cls, written: Any) -> MaxFailures:
        """Of `10`, `2.5%`, a number, or None for any number. ValueError when it is none of these."""
        if written is None or isinstance(written, MaxFailures):
            return written or cls()
        text = str(written)
        value = float(text.removesuffix("%"))
        percent = text.endswith("%")
        if not (value >= 0 and math.isfinite(value) and (percent or value == int(value))):
            raise ValueError(text)
        return cls(value, percent)

    @classmethod
    def parse(cls, text: str) -> MaxFailures:
        """`read` of the flag --max-failures."""
        try:
            return cls.read(text)
        except ValueError:
            raise SettingError(f"--max-failures={text} must be a count like 10 or a percentage like 2.5%") from None

    def exceeded(self, failed: int, tried: int) -> bool:
        """Whether `failed` of `tried` sources are too many."""
        if self.value is None:
            return False
        return failed > (self.value * tried / 100 if self.percent else self.value)

    def __str__(self) -> str:
        if self.value is None:
            return "any number"
        return f"{self.value:g}%" if self.percent else f"{self.value:g}"

"""What a run does with known, removed and failed sources, and how many failures it bears."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    def parse(cls, text: str) -> MaxFailures:
        """`10` or `2.5%`."""
        try:
            value = float(text.removesuffix("%"))
        except ValueError:
            value = -1.0
        percent = text.endswith("%")
        if not (value >= 0 and math.isfinite(value) and (percent or value == int(value))):
            raise SettingError(f"--max-failures={text} must be a count like 10 or a percentage like 2.5%")
        return cls(value, percent)

    def exceeded(self, failed: int, tried: int) -> bool:
        """Whether `failed` of `tried` sources are too many."""
        if self.value is None:
            return False
        return failed > (self.value * tried / 100 if self.percent else self.value)

    def __str__(self) -> str:
        return f"{self.value:g}%" if self.percent else f"{self.value:g}"

"""What a run does with known, removed and failed sources, and how many failures it bears."""

from __future__ import annotations

import errno
import math
import os
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pipelines.building.task import DEADLINE
from pipelines.decoders import with_pyav
from pipelines.decoders.streams import INSTALL
from pipelines.errors import SettingError
from pipelines.store.paths import local_path


@dataclass(frozen=True)
class Policy:
    """How a rerun treats what it knows. checksum: compare content. The others are as their options say.

    by_content: find files of known or equal content among those that are new by name, size or stamp.
    """

    checksum: bool = False
    keep_removed: bool = False
    retry_failed: bool = False
    keep_duplicates: bool = False
    by_content: bool = True


def worth_another_try(table: pa.Table, old: pa.Table) -> Any:
    """Which listed sources may fare better than in the rows beside them, though they have not changed.

    Those that failed for what lies outside of them (stage `read`), unless they are still not permitted; those that took
    too long; and those for which PyAV was missing, once it is there.
    """
    may_be = pc.equal(pc.fill_null(old["error_stage"], ""), "read")
    told = pc.binary_join_element_wise(pc.fill_null(old["error"], ""), pc.fill_null(old["warning"], ""), " ")
    may_be = pc.or_(may_be, pc.match_substring(told, f"({DEADLINE})"))
    if with_pyav.is_installed():
        may_be = pc.or_(may_be, pc.match_substring(told, INSTALL))
    positions = pc.indices_nonzero(pc.and_(may_be, pc.match_substring(told, os.strerror(errno.EACCES))))
    if len(positions) == 0:
        return may_be
    closed = [
        i for i in positions.to_pylist() if not _is_permitted(table["root"][i].as_py(), table["source"][i].as_py())
    ]
    return pc.and_(may_be, pc.invert(pc.is_in(pa.array(range(len(table))), value_set=pa.array(closed, pa.int64()))))


def _is_permitted(root: str, source: str) -> bool:
    path = local_path(store.join(root, source))
    return path is None or os.access(path, os.R_OK)


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

"""What a source is let be, before it costs the others their time, disk or range. None of it changes a record."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.errors import require
from pipelines.settings import check_settings, positive, setting

RUN = "how this run works"
"""The group of `--help` with what has no effect on a record."""


def _check_decibels(name: str, value: float) -> None:
    require(value >= 0, name, value, "a number of dB, at least 0")


@dataclass(frozen=True)
class SourceLimits:
    """Limits of a source. max_over_full_scale_db: how far its loudest sample may lie above ±1; with `inf` it is told
    alone. What `setting` makes is a flag, and a key of a file.
    """

    max_source_seconds: float = setting(
        86400.0, RUN, "a longer source fails", metavar="S", check=positive("number of seconds")
    )
    max_over_full_scale_db: float = setting(
        20.0,
        RUN,
        "a source with a sample so far above full scale fails; with inf it is told",
        metavar="DB",
        check=_check_decibels,
    )
    strict: bool = setting(False, RUN, "what would be a warning is a failure")

    def __post_init__(self) -> None:
        check_settings(self)

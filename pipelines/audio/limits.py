"""What a source is let be, before it costs the others their time, disk or range. None of it changes a record."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceLimits:
    """max_source_seconds: longest sound. max_over_full_scale_db: how far its loudest sample may lie above ±1; with
    `inf` it is told alone. strict: whether what would be a warning fails.
    """

    max_source_seconds: float = 86400.0
    max_over_full_scale_db: float = 20.0
    strict: bool = False

"""Counts at the end of a line, where there is something to count."""

from __future__ import annotations


def failures_so_far(failed: int) -> str:
    """`; 3 failed sources so far`: of this run and of earlier ones; nothing when there are none."""
    return f"; {failed:,} failed source{'s' if failed != 1 else ''} so far" if failed else ""

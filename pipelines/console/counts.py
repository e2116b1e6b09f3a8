"""Counts in words."""

from __future__ import annotations


def failures_so_far(failed: int) -> str:
    """`; 3 failed sources so far`: of this run and of earlier ones; nothing when there are none."""
    return f"; {failed:,} failed source{'s' if failed != 1 else ''} so far" if failed else ""


def counted(number: int, noun: str) -> str:
    """A number of things: `1 epoch`, `2,000 epochs`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def moved_and_duplicates(moved: int, duplicates: int) -> str:
    """`, 3 moved, 2 duplicates`, each where there are some."""
    return (f", {moved:,} moved" if moved else "") + (f", {counted(duplicates, 'duplicate')}" if duplicates else "")


def left_out(segments: int, silent: int) -> str:
    """`117 segments, 3 sources silent throughout`: what is no record by settings that leave segments out."""
    return counted(segments, "segment") + (f", {counted(silent, 'source')} silent throughout" if silent else "")

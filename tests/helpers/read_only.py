"""Folders that can't be written, for root as well."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_VERSION_3 = 0x20080522
_MAY_WRITE_ANYWHERE = 1 << 1  # CAP_DAC_OVERRIDE


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder without leave to write for the block's time, in which root gives up its right to write all the same."""
    mode = folder.stat().st_mode
    with _as_others_are():
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(mode)


@contextlib.contextmanager
def _as_others_are() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    try:
        libc = ctypes.CDLL(None)
        header, sets = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
        assert libc.capget(header, sets) == 0
        all_rights = sets[0]
        sets[0] = all_rights & ~_MAY_WRITE_ANYWHERE
        assert libc.capset(header, sets) == 0
    except (OSError, AttributeError, AssertionError):
        pytest.skip("root may write anywhere here")
    try:
        yield
    finally:
        sets[0] = all_rights
        libc.capset(header, sets)

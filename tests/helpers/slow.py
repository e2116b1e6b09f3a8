"""Values of a parametrised test with which it is a slow one."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: object, id: str | None = None) -> Any:
    """One set of values that `make test` leaves to `make test-all`."""
    return pytest.param(*values, marks=pytest.mark.slow, id=id)

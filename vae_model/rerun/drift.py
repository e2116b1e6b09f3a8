"""How far new values lie from old ones: a standardised difference of means, and whether chance explains the two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from pipelines.config import DatasetConfig
from pipelines.dataset.tables import loudest_of_rows

NOTABLE_P = 0.01
NOTABLE_DIFFERENCE = 0.5
"""A drift is notable when chance alone gives such a distance in one of a hundred cases, and the means lie half a
standard deviation apart, Cohen's "medium" effect: with many files the first alone calls any trifle real."""
_LEAST = 2


@dataclass(frozen=True)
class Drift:
    """Values of one quantity, new beside old.

    old_mean, new_mean: in the quantity's unit. difference: new_mean - old_mean in pooled standard deviations (Cohen
    1988, section 2.5.2). ks: the two-sample Kolmogorov-Smirnov statistic, the largest distance of the two distribution
    functions. p_value: of such a distance under one distribution.
    """

    num_old: int
    num_new: int
    old_mean: float
    new_mean: float
    difference: float
    ks: float
    p_value: float

    @property
    def notable(self) -> bool:
        """Whether somebody should look."""
        return self.p_value < NOTABLE_P and abs(self.difference) >= NOTABLE_DIFFERENCE

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "notable": self.notable}


def drift(old: ArrayLike, new: ArrayLike) -> Drift | None:
    """The drift of new from old values, (count,) each; None with fewer than two of either."""
    from scipy.stats import ks_2samp

    before, after = np.asarray(old, np.float64), np.asarray(new, np.float64)
    if min(len(before), len(after)) < _LEAST:
        return None
    found = ks_2samp(before, after)
    apart = float(after.mean() - before.mean())
    freedom = len(before) + len(after) - 2
    squares = before.var(ddof=1) * (len(before) - 1) + after.var(ddof=1) * (len(after) - 1)
    deviation = math.sqrt(squares / freedom)
    # of values that are all the same any difference is infinite, for which JSON has no number
    difference = apart / deviation if deviation > 0 else math.copysign(1e9, apart) if apart else 0.0
    return Drift(
        num_old=len(before),
        num_new=len(after),
        old_mean=float(before.mean()),
        new_mean=float(after.mean()),
        difference=difference,
        ks=float(found.statistic),
        p_value=float(found.pvalue),
    )


def drift_of_sources(sources: pa.Table, is_new: pa.ChunkedArray, config: DatasetConfig) -> dict[str, Drift | None]:
    """Drift of the sources' `level_db`, each one's loudest cell, and of their length in `seconds`.

    config: of the dataset whose sources they are.
    """
    columns = {"level_db": loudest_of_rows(sources, config), "seconds": sources["seconds"]}
    old = {name: column.filter(pc.invert(is_new)).drop_null() for name, column in columns.items()}
    new = {name: column.filter(is_new).drop_null() for name, column in columns.items()}
    return {name: drift(old[name].to_numpy(), new[name].to_numpy()) for name in columns}


def lines(values: dict[str, Any]) -> list[str]:
    """What to say of drifts (as `to_dict` gives them, by name), the notable ones marked."""
    units = {"level_db": "level, dB", "seconds": "length, s", "error_db": "reconstruction error, dB"}
    said = []
    for name, found in values.items():
        if found is None:
            continue
        mark = "  DRIFT" if found["notable"] else ""
        said.append(
            f"{units[name]}: {found['num_new']:,} new {found['new_mean']:.2f}, {found['num_old']:,} old "
            f"{found['old_mean']:.2f}, {found['difference']:+.2f} standard deviations{mark}"
        )
    return said

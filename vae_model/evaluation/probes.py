"""Linear probes: how well a label can be read from latents by a plane. Alain and Bengio, arXiv:1610.01644."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

REGULARISATION = 10.0
"""scikit-learn's C, the inverse strength of the L2 penalty on standardised features. Fixed, so nothing is tuned."""
MAX_EXAMPLES = 4096
"""A probe is fitted on at most this many training examples, and tried on at most this many others."""
MAX_CLASSES = 200
_MAX_ITERATIONS = 500


@dataclass(frozen=True)
class Probe:
    """What a probe came to.

    accuracy: part of the tried examples whose label it told. majority: what always answering with the most frequent
    training label gets. num_classes: different labels in training.
    """

    accuracy: float
    majority: float
    num_classes: int
    num_train: int
    num_tested: int


def linear_probe(
    train_features: NDArray[Any],
    train_labels: Sequence[str] | NDArray[np.str_],
    features: NDArray[Any],
    labels: Sequence[str] | NDArray[np.str_],
) -> Probe | None:
    """Multinomial logistic regression on standardised features, fitted on the training examples, tried on the others.

    train_features, features: (count, dim); their labels: (count,), of which an empty one is no label and is left out.
    A label that training has not is told wrong. None where there is nothing to tell apart: fewer than 2 or more than
    MAX_CLASSES different training labels, or no labelled example to try. Deterministic.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = _labelled(train_features, train_labels)
    tried, wanted = _labelled(features, labels)
    classes, counts = np.unique(y, return_counts=True)
    if not 2 <= len(classes) <= MAX_CLASSES or not len(wanted):
        return None
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=_MAX_ITERATIONS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the bound on its cost is meant to be met now and then
        probe.fit(x, y)
    return Probe(
        accuracy=float(np.mean(probe.predict(tried) == wanted)),
        majority=float(np.mean(wanted == classes[counts.argmax()])),
        num_classes=len(classes),
        num_train=len(y),
        num_tested=len(wanted),
    )


def _labelled(
    features: NDArray[Any], labels: Sequence[str] | NDArray[np.str_]
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """At most MAX_EXAMPLES examples that have a label, evenly picked."""
    values = np.asarray(labels, dtype=np.str_)
    rows = np.flatnonzero(values != "")
    if len(rows) > MAX_EXAMPLES:
        rows = rows[np.linspace(0, len(rows) - 1, MAX_EXAMPLES).round().astype(int)]
    return np.asarray(features)[rows].astype(np.float64), values[rows]

"""Whether new sounds are what their labels say, by a classifier that has heard real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

POOLED_ROWS, POOLED_FRAMES = 64, 16
MAX_TRAINING = 2048
"""A classifier is fitted on at most so many real sounds, evenly picked."""
MAX_CLASSES = 200
SURE = 0.8
"""A sound is recognised when the classifier gives one value more than this probability."""
_PENALTY = 10.0
_FOLDS = 3


def pooled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a classifier hears of spectrograms (count, n_bins, n_frames, n_channels): means over a grid of 64 x 16.

    Fewer where there are fewer bins or frames. (count, features).
    """
    rows, frames = min(POOLED_ROWS, values.shape[1]), min(POOLED_FRAMES, values.shape[2])
    by_rows = np.stack([part.mean(axis=1) for part in np.array_split(values.mean(axis=3), rows, axis=1)], axis=1)
    cells = np.stack([part.mean(axis=2) for part in np.array_split(by_rows, frames, axis=2)], axis=2)
    return cells.reshape(len(values), -1).astype(np.float32)


@dataclass(frozen=True)
class Recognised:
    """What a classifier says of sounds. recognised: the part that it is sure of. inception_score: exp of the mean KL of
    what it says of one from what it says of all, 1 to the number of values: arXiv:1606.03498. accuracy: the part that
    is what it was made to be, None where nothing was asked for."""

    recognised: float
    inception_score: float
    accuracy: float | None


class Recogniser:
    """Tells the values of a label apart, by a support vector machine on `pooled` features of real sounds.

    Its probabilities are a logistic regression's on what the machine says of sounds that it was not fitted on.
    """

    def __init__(self, features: NDArray[np.float32], values: NDArray[np.str_], seed: int = 0) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.svm import SVC

        deviations = features.std(axis=0)
        self._mean, self._scale = features.mean(axis=0), deviations + 0.2 * deviations.mean() + 1e-9
        scaled = self._scaled(features)
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
        said = cross_val_predict(SVC(C=_PENALTY), scaled, values, cv=folds, method="decision_function")
        self._machine = SVC(C=_PENALTY).fit(scaled, values)
        self._logistic = LogisticRegression(C=_PENALTY, max_iter=1000).fit(said.reshape(len(values), -1), values)

    def _scaled(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = (features - self._mean) / self._scale
        return scaled

    def _probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        said = self._machine.decision_function(self._scaled(features))
        probabilities: NDArray[np.float64] = self._logistic.predict_proba(said.reshape(len(features), -1))
        return probabilities

    @classmethod
    def of(cls, features: NDArray[np.float32], values: NDArray[np.str_], seed: int = 0) -> Recogniser | None:
        """The recogniser of real sounds; None where there is nothing, or too much, to tell apart."""
        known = values != ""
        names, counts = np.unique(values[known], return_counts=True)
        usual = names[counts >= _FOLDS]
        if not 2 <= len(usual) <= MAX_CLASSES:
            return None
        rows = np.flatnonzero(np.isin(values, usual))
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(MAX_TRAINING, len(rows))).round().astype(int))]
        _, counts = np.unique(values[rows], return_counts=True)
        return cls(features[rows], values[rows], seed) if counts.min() >= _FOLDS else None

    def of_sounds(self, features: NDArray[np.float32], wanted: NDArray[np.str_] | None = None) -> Recognised:
        """What it says of sounds. wanted: what each was made to be."""
        probabilities = self._probabilities(features)
        mean = probabilities.mean(axis=0)
        logs = np.log(np.maximum(probabilities, 1e-12)) - np.log(np.maximum(mean, 1e-12))
        says = self._logistic.classes_[probabilities.argmax(axis=1)]
        accuracy = None if wanted is None else float((says == wanted).mean())
        score = float(np.exp((probabilities * logs).sum(axis=1).mean()))
        return Recognised(float((probabilities.max(axis=1) > SURE).mean()), score, accuracy)

    def says(self, features: NDArray[np.float32]) -> NDArray[Any]:
        """The value that each sound sounds like."""
        values: NDArray[Any] = self._logistic.classes_[self._probabilities(features).argmax(axis=1)]
        return values

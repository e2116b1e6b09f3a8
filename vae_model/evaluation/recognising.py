"""Whether new sounds are what their labels say, by a classifier that has heard real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

POOLED_ROWS, POOLED_FRAMES = 64, 16
MAX_TRAINING = 2048
"""A classifier is fitted on at most so many real sounds, evenly picked."""
MAX_CLASSES = 64
SURE = 0.8
"""A sound is recognised when the classifier gives one value more than this probability."""
_PENALTY = 10.0
_FOLDS = 3
_AT_ONCE = 256


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

    Its probabilities: each pair of values has a sigmoid of what the machine says of sounds that it was not fitted on
    (Platt 1999), and the pairs are coupled (Wu, Lin and Weng, JMLR 5, 2004, section 4). So a sound that is like nothing
    that was heard gets no clear answer.
    """

    def __init__(self, features: NDArray[np.float32], values: NDArray[np.str_], seed: int = 0) -> None:
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.svm import SVC

        deviations = features.std(axis=0)
        self._mean, self._scale = features.mean(axis=0), deviations + 0.2 * deviations.mean() + 1e-9
        scaled = self._scaled(features)
        machine = SVC(C=_PENALTY, decision_function_shape="ovo")
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
        said = cross_val_predict(machine, scaled, values, cv=folds, method="decision_function")
        self.values: NDArray[np.str_] = np.unique(values)
        self._pairs = [(i, j) for i in range(len(self.values)) for j in range(i + 1, len(self.values))]
        columns = self._columns(said)
        self._sigmoids = np.array(
            [
                _sigmoid(columns[np.isin(values, self.values[[i, j]]), number], values, self.values[[i, j]])
                for number, (i, j) in enumerate(self._pairs)
            ]
        )
        self._machine = machine.fit(scaled, values)

    def _scaled(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = (features - self._mean) / self._scale
        return scaled

    def _columns(self, said: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the machine says of each pair of values, above 0 for the first; of two values it means the second."""
        return -said[:, None] if said.ndim == 1 else said

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of each sound how likely each of `values` is, (count, values)."""
        said = self._columns(self._machine.decision_function(self._scaled(features)))
        of_first = 1 / (1 + np.exp(-np.clip(said * self._sigmoids[:, 0] + self._sigmoids[:, 1], -16, 16)))
        size = len(self.values)
        first, second = np.array(self._pairs).T
        against = np.zeros((len(features), size, size))  # of i and j, how likely it is i
        against[:, first, second], against[:, second, first] = of_first, 1 - of_first
        return np.concatenate([_coupled(part) for part in np.array_split(against, 1 + len(against) // _AT_ONCE)])

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
        probabilities = self.probabilities(features)
        mean = probabilities.mean(axis=0)
        logs = np.log(np.maximum(probabilities, 1e-12)) - np.log(np.maximum(mean, 1e-12))
        says = self.values[probabilities.argmax(axis=1)]
        accuracy = None if wanted is None else float((says == wanted).mean())
        score = float(np.exp((probabilities * logs).sum(axis=1).mean()))
        return Recognised(float((probabilities.max(axis=1) > SURE).mean()), score, accuracy)

    def says(self, features: NDArray[np.float32]) -> NDArray[Any]:
        """The value that each sound sounds like."""
        values: NDArray[Any] = self.values[self.probabilities(features).argmax(axis=1)]
        return values


def _sigmoid(said: NDArray[np.float64], values: NDArray[np.str_], pair: NDArray[np.str_]) -> tuple[float, float]:
    """Slope and offset of Platt's sigmoid: how likely it is the first of a pair, by what a machine says of it."""
    from sklearn.linear_model import LogisticRegression

    is_first = values[np.isin(values, pair)] == pair[0]
    counts = is_first.sum(), (~is_first).sum()
    target = np.where(is_first, (counts[0] + 1) / (counts[0] + 2), 1 / (counts[1] + 2))
    twice = np.concatenate([said, said])[:, None]
    fitted = LogisticRegression(C=1e6).fit(
        twice, np.repeat([1, 0], len(said)), sample_weight=np.concatenate([target, 1 - target])
    )
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def _coupled(against: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities (count, values) that agree best with those of all pairs, (count, values, values)."""
    size = against.shape[1]
    quadratic = -against * np.swapaxes(against, 1, 2)
    quadratic[:, range(size), range(size)] = np.square(against).sum(axis=1)
    system = np.ones((len(against), size + 1, size + 1))
    system[:, :size, :size], system[:, size, size] = quadratic, 0
    wanted = np.zeros((len(against), size + 1, 1))
    wanted[:, size] = 1
    found = np.clip(np.linalg.solve(system, wanted)[:, :size, 0], 0, None)
    probabilities: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
    return probabilities

"""Predictors that learn nothing deep, for a model's error to be seen beside: means and principal components.

They are fitted on training examples in memory; `evaluation.py` bounds how many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vae_model.evaluation.metrics import Batch

COMPONENTS = (8, 32, 128)
"""Sizes of the principal component baselines."""


class LabelMeans:
    """The mean training spectrogram, and one for each combination of all labels."""

    def __init__(self, training: Batch) -> None:
        self.mean: NDArray[np.float32] = training.values.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.label_names = tuple(training.labels)
        groups: dict[tuple[str, ...], list[int]] = {}
        if self.label_names:
            for index, key in enumerate(_keys(training, self.label_names)):
                groups.setdefault(key, []).append(index)
        self.group_means = {key: training.values[rows].mean(axis=0) for key, rows in groups.items()}

    def predict_mean(self, batch: Batch) -> NDArray[np.float32]:
        """The training mean for each record, of the shape of batch.values."""
        return np.broadcast_to(self.mean, batch.values.shape)

    def predict_by_label(self, batch: Batch) -> NDArray[np.float32]:
        """The mean of the training records with the same labels; the training mean where there was none."""
        keys = _keys(batch, self.label_names)
        return np.stack([self.group_means.get(key, self.mean) for key in keys])


class PrincipalComponents:
    """The training spectrograms' principal components: the best linear code of its size on the training data.

    training: (count, ...), at least two. max_components: as many as wanted, or as count - 1 and the cells allow. Up to
    500 examples and cells, or for most of the components there are, exact; else by a seeded randomised decomposition
    (Halko, Martinsson and Tropp, arXiv:0909.4061), whose error is far below what is reported.
    """

    def __init__(self, training: NDArray[np.float32], max_components: int, seed: int = 0) -> None:
        from sklearn.decomposition import PCA

        flat = training.reshape(len(training), -1)
        if len(flat) < 2:
            raise ValueError(f"principal components must be of at least two examples, there are {len(flat)}")
        size = min(max_components, len(flat) - 1, flat.shape[1])
        fitted = PCA(n_components=size, svd_solver="auto", random_state=seed).fit(flat)
        self.mean: NDArray[np.float32] = fitted.mean_.astype(np.float32)
        self.components: NDArray[np.float32] = fitted.components_.astype(np.float32)

    @property
    def max_components(self) -> int:
        """How many there are."""
        return len(self.components)

    def scores(self, values: NDArray[np.float32], num_components: int | None = None) -> NDArray[np.float32]:
        """The code of spectrograms (count, ...): (count, num_components), all components unless given."""
        centred: NDArray[np.float32] = values.reshape(len(values), -1) - self.mean
        return np.asarray(centred @ self.components[:num_components].T, dtype=np.float32)

    def reconstruct(self, values: NDArray[np.float32], num_components: int) -> NDArray[np.float32]:
        """Spectrograms (count, ...) projected on the first num_components; what leaves [0, 1] is left there."""
        scores = self.scores(values, num_components)
        flat: NDArray[np.float32] = scores @ self.components[:num_components] + self.mean
        return flat.reshape(values.shape)

    def sizes(self, wanted: Sequence[int] = COMPONENTS) -> list[int]:
        """The wanted numbers of components, each no more than there are, without repeats."""
        return sorted({min(size, self.max_components) for size in wanted})


def _keys(batch: Batch, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each record's combination of labels."""
    columns = [batch.labels[name].tolist() for name in names]
    return zip(*columns, strict=True)

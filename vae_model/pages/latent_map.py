"""The map of a model's latents: by what is heard of them, principal components and t-SNE of a few hundred sounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from pipelines.dataset.records import Record
from vae_model.pages.page_sounds import Listener
from vae_model.report import Layout, Point, SoundMap
from vae_model.training_sounds import components_of

MIN_POINTS = 8
"""Fewer make no map."""
_PERPLEXITY = 30.0


def latent_map(listener: Listener, records: Sequence[tuple[str, Record]], seed: int) -> SoundMap:
    """The map of at least MIN_POINTS records, each with the name of its split; a click plays the recording."""
    autoencoder, value_range = listener.generator.autoencoder, listener.generator.bundle.value_range
    means = autoencoder.means(np.stack([value_range.model_input(record) for _, record in records]))
    points = [
        Point(
            listener.title(record),
            {**record.labels, "split": split},
            listener.original(record) or listener.inversion(record),
        )
        for split, record in records
    ]
    by_sound = Layout(
        "what is heard",
        "The two directions in which the sounds that the model makes of the latents differ most.",
        components_of(autoencoder, means)[:, :2],
    )
    return SoundMap("Latent map", [by_sound, *layouts(means, seed)], points)


def layouts(latents: NDArray[np.float32], seed: int) -> list[Layout]:
    """Positions of latents (count, dim): their first two principal components, and t-SNE (van der Maaten, Hinton)."""
    exact = latents.astype(np.float64)
    if exact.shape[1] == 1:
        exact = np.concatenate([exact, np.zeros_like(exact)], axis=1)
    pca = PCA(2, random_state=seed)
    components = pca.fit_transform(exact)
    explained = np.nan_to_num(pca.explained_variance_ratio_).sum()
    perplexity = min(_PERPLEXITY, (len(exact) - 1) / 3)
    with threadpool_limits(1):  # for so few points threads would only wait for each other
        neighbours = TSNE(2, perplexity=perplexity, init="random", random_state=seed).fit_transform(exact)
    return [
        Layout(
            "principal components",
            f"The two directions in which the latents differ most, {explained:.0%} of their variance.",
            components,
        ),
        Layout("t-SNE", "Neighbours are close; distances between groups mean nothing.", neighbours),
    ]

"""From collected latents to a flow that is ready to be fitted: its labels, clusters, statistics and kept rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from vae_model.model_folder.prior_settings import MAX_ROWS, MAX_VALUES, PriorSettings
from vae_model.prior.collecting import Collected
from vae_model.prior.conditions import (
    CLUSTER,
    CLUSTER_BEFORE,
    HAS_BEFORE,
    MAX_DB,
    MAX_DB_BEFORE,
    MIN_DB,
)
from vae_model.prior.flow import ROW_COLUMNS, FlowModel
from vae_model.prior.learning import Examples
from vae_model.vae.gaussians import Gaussians

_LEAST_DEVIATION = 1e-3
_A_CLUSTER = 20
_MOST_CLUSTERS = 256


def begin(
    collected: Collected,
    width: int,
    *,
    with_levels: bool,
    seed: int = 0,
    start: FlowModel | None = None,
    weights: NDArray[np.float64] | None = None,
) -> tuple[FlowModel, Examples]:
    """A new flow, and what it is to be fitted to.

    with_levels: whether a sound's loudness is not in its latent. start: a flow whose weights it takes over as far as
    they fit. weights: what each latent counts, whose sum is 1; None: all alike. The kept rows, which say what new
    sounds there are, are then drawn by them.
    """
    values = label_values(collected)
    mean, scale = _scale(collected.latents)
    points = (collected.latents.means - mean) / scale
    told_apart = any(len(known) > 1 for known in values.values())
    clusters, centroids = (None, None) if told_apart else _clusters(points, seed)
    has_before = collected.before >= 0
    rows = np.zeros((len(collected), len(values) + ROW_COLUMNS), np.float32)
    for column, (name, known) in enumerate(values.items()):
        numbers = {value: number for number, value in enumerate(known, start=1)}
        rows[:, column] = [numbers.get(value, 0) for value in collected.labels[name].tolist()]
    rows[:, [MIN_DB, MAX_DB]] = collected.levels
    rows[:, HAS_BEFORE] = has_before
    if clusters is not None:
        rows[:, CLUSTER] = clusters
    for column, of in ((CLUSTER_BEFORE, CLUSTER), (MAX_DB_BEFORE, MAX_DB)):
        rows[has_before, column] = rows[collected.before[has_before], of]
    kept = rows
    if weights is not None:
        kept = rows[np.sort(np.random.default_rng([seed, 3]).choice(len(rows), min(len(rows), MAX_ROWS), p=weights))]
    elif len(rows) > MAX_ROWS:
        kept = rows[np.sort(np.random.default_rng([seed, 3]).choice(len(rows), MAX_ROWS, replace=False))]
    settings = PriorSettings(
        latent_space_dim=points.shape[1],
        labels=values,
        num_clusters=0 if centroids is None else len(centroids),
        with_levels=with_levels,
        with_before=bool(has_before.any() and kept[:, HAS_BEFORE].any()),
        num_rows=len(kept),
        width=width,
    )
    model = _built(settings, seed)
    if start is not None:
        take_over(model, start)
    level = collected.levels[:, 1].astype(np.float64)
    model.level.assign([level.mean(), level.std() or 1.0])
    kept_values = {"mean": mean, "scale": scale, "rows": kept, "centroids": centroids}
    for name, value in kept_values.items():
        if value is not None:
            getattr(model, name).assign(value)
    return model, Examples(collected.latents, rows, collected.before, weights)


def label_values(collected: Collected) -> dict[str, tuple[str, ...]]:
    """The labels that a flow is told, each with its values in order: those of more than 1,000 values are left out."""
    found = {name: tuple(sorted(set(values.tolist()) - {""})) for name, values in collected.labels.items()}
    return {name: values for name, values in found.items() if 0 < len(values) <= MAX_VALUES}


def _scale(latents: Gaussians) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean of latents, and what they are divided by, (dim,) each: how unsure the encoder is of a dimension.

    So a dimension counts by how many sounds it tells apart, and what tells most is settled first on the way from noise;
    a VAE's own latents have about one variance in all. All of them together then have the variance 1. Of an
    autoencoder, which is sure of all, one scale serves all dimensions.
    """
    means = latents.means.astype(np.float64)
    deviations, variances = np.ones(means.shape[1]), means.var(axis=0)
    if latents.log_variances is not None:
        unsure = np.exp(latents.log_variances.astype(np.float64)).mean(axis=0)
        deviations, variances = np.maximum(np.sqrt(unsure), _LEAST_DEVIATION), variances + unsure
    common = np.sqrt((variances / np.square(deviations)).mean()) or 1.0
    return means.mean(axis=0).astype(np.float32), (deviations * common).astype(np.float32)


def _clusters(points: NDArray[np.float32], seed: int) -> tuple[NDArray[np.int64] | None, NDArray[np.float32] | None]:
    """The number, from 1, of each point's cluster, and their centres; none of few latents.

    What a label is to sounds that have one, these are to others: Bao et al., arXiv:2210.00939.
    """
    count = min(len(points) // _A_CLUSTER, _MOST_CLUSTERS)
    if count < 2:
        return None, None
    from sklearn.cluster import KMeans, MiniBatchKMeans

    kind = KMeans if len(points) <= MAX_ROWS else MiniBatchKMeans
    with threadpool_limits(1):  # threads add up in any order
        found = kind(count, n_init=3, random_state=seed).fit(points)
    return found.labels_.astype(np.int64) + 1, found.cluster_centers_.astype(np.float32)


def _built(settings: PriorSettings, seed: int) -> FlowModel:
    """A flow whose first weights the seed decides, whatever was drawn before."""
    import keras

    keras.utils.set_random_seed(seed)
    return FlowModel(settings.to_dict(), name="prior")


def take_over(model: FlowModel, old: FlowModel) -> None:
    """Begin at another flow's network where layers are alike; of labels the values that both have."""
    layers = {layer.name: layer for layer in old.velocity.layers}
    names = list(old.settings.labels)
    for layer in model.velocity.layers:
        ours, theirs = layer.get_weights(), layers[layer.name].get_weights() if layer.name in layers else []
        if not layer.name.startswith("class_"):
            if [each.shape for each in ours] == [each.shape for each in theirs]:
                layer.set_weights(theirs)
            continue
        number = int(layer.name.removeprefix("class_"))
        label = list(model.settings.labels)[number] if number < len(model.settings.labels) else None
        if label not in names:
            continue
        table, other = ours[0], layers[f"class_{names.index(label)}"].get_weights()[0]
        if table.shape[1] == other.shape[1]:
            table[0] = other[0]
            for place, value in enumerate(model.settings.labels[label], start=1):
                if value in old.settings.labels[label]:
                    table[place] = other[1 + old.settings.labels[label].index(value)]
            layer.set_weights([table])

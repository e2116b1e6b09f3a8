"""The network of the learned prior: which way a latent moves from noise to one of the data. `keras.ops` only."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

from pipelines.store.json_values import Value
from vae_model.model_folder.prior_settings import PriorSettings
from vae_model.vae.layers import PACKAGE

ROW_COLUMNS = 6
"""Columns that each kept row has beside its labels, see `conditions.py`."""
_TIME_FEATURES = 64


class TimeFeatures(layers.Layer):
    """Cosines and sines of a time in [0, 1], at frequencies from 1/4 to 64 turns: (batch, 1) to (batch, 64)."""

    def call(self, inputs: Any) -> Any:
        """inputs: (batch, 1)."""
        frequencies = ops.power(2.0, ops.linspace(-2.0, 6.0, _TIME_FEATURES // 2))
        angles = 2 * math.pi * inputs * frequencies[None]
        return ops.concatenate([ops.cos(angles), ops.sin(angles)], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, 64)."""
        return (*input_shape[:-1], _TIME_FEATURES)


@keras.saving.register_keras_serializable(package=PACKAGE)
class FlowModel(keras.Model):
    """The velocity of a point between noise (time 0) and a latent (time 1), under conditions.

    settings: a PriorSettings as a dict. Latents here are points, centred and scaled: `mean` and `scale`, (dim,) each,
    are kept as weights that are not trained, beside `level` (2,), mean and scale of levels in dB, `centroids`
    (num_clusters, dim) of points and `rows`, see `conditions.py`. Flow matching: Lipman et al., arXiv:2210.02747.
    """

    def __init__(self, settings: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = PriorSettings.from_value(Value("prior", settings))
        dim, given = self.settings.latent_space_dim, self.settings

        def kept(shape: tuple[int, ...], name: str, first: str = "zeros") -> Any:
            return self.add_weight(shape=shape, initializer=first, trainable=False, name=name)

        self.mean, self.scale = kept((dim,), "mean"), kept((dim,), "scale", "ones")
        self.level = kept((2,), "level", "ones")
        self.rows = kept((given.num_rows, len(given.labels) + ROW_COLUMNS), "rows")
        self.centroids = kept((given.num_clusters, dim), "centroids") if given.num_clusters else None
        self.velocity = _network(given)
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        """(batch, dim) of `x` (batch, dim), `time` (batch, 1), `classes` int (batch, classes), `context`."""
        return self.velocity(inputs, training=training)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "settings": self.settings.to_dict()}


def _network(settings: PriorSettings) -> keras.Model:
    """Residual blocks on the point, each shifted by the sum of what is known: time, classes, level, latent before."""
    dim, width = settings.latent_space_dim, settings.width
    inputs = {"x": keras.Input((dim,), name="x"), "time": keras.Input((1,), name="time")}
    known = [layers.Dense(width, name="time_dense")(TimeFeatures(name="time_features")(inputs["time"]))]
    if sizes := settings.class_sizes:
        inputs["classes"] = keras.Input((len(sizes),), dtype="int32", name="classes")
        for number, size in enumerate(sizes):
            embedding = layers.Embedding(size + 1, width, name=f"class_{number}")
            known.append(embedding(inputs["classes"][:, number]))
    if settings.context_size:
        inputs["context"] = keras.Input((settings.context_size,), name="context")
        known.append(layers.Dense(width, name="context_dense")(inputs["context"]))
    summed = layers.Add(name="known")(known) if len(known) > 1 else known[0]
    condition = layers.Activation("silu", name="condition")(summed)
    h = layers.Dense(width, name="in")(inputs["x"])
    for number in range(1, settings.blocks + 1):
        h = _block(h, condition, width, f"block_{number}")
    h = layers.LayerNormalization(center=False, scale=False, name="out_norm")(h)
    output = layers.Dense(dim, kernel_initializer="zeros", name="out")(h)
    return keras.Model(inputs, output, name="velocity")


def _block(h: Any, condition: Any, width: int, name: str) -> Any:
    x = layers.LayerNormalization(center=False, scale=False, name=f"{name}_norm")(h)
    x = layers.Dense(width, name=f"{name}_first")(x)
    x = layers.Add(name=f"{name}_shifted")(
        [x, layers.Dense(width, use_bias=False, name=f"{name}_condition")(condition)]
    )
    x = layers.Activation("silu", name=f"{name}_silu")(x)
    x = layers.Dense(width, kernel_initializer="zeros", name=f"{name}_second")(x)
    return layers.Add(name=f"{name}_sum")([h, x])


def count_weights(settings: PriorSettings) -> int:
    """Numbers in all weights of a FlowModel of these settings."""
    dim, width = settings.latent_space_dim, settings.width
    kept = 2 * dim + 2 + settings.num_rows * (len(settings.labels) + ROW_COLUMNS) + settings.num_clusters * dim
    known = (_TIME_FEATURES + 1) * width + sum((size + 1) * width for size in settings.class_sizes)
    if settings.context_size:
        known += (settings.context_size + 1) * width
    a_block = 2 * (width + 1) * width + width * width
    return kept + known + (dim + 1) * width + settings.blocks * a_block + (width + 1) * dim

"""Files as the course's scripts leave them, made of a plain Keras model: weights.h5 as Keras 2 writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from tests.helpers.plain_vae import PlainVAE

Weights = dict[str, dict[str, np.ndarray]]
"""Arrays by layer and weight: {"mu": {"kernel": …}}."""


def trained(seed: int = 0, **shape: Any) -> PlainVAE:
    """A plain model whose every weight is its own, running statistics included."""
    plain = PlainVAE(**shape)
    rng = np.random.default_rng(seed)
    for part in (plain.encoder, plain.decoder):
        for layer in part.layers:
            for variable in layer.weights:
                drawn = rng.normal(0, 0.2, variable.shape)
                variable.assign(1 + abs(drawn) if variable.name in ("gamma", "moving_variance") else drawn)
    return plain


def named(plain: PlainVAE) -> dict[str, Weights]:
    """The weights of `encoder` and `decoder` under the course's names of their layers."""
    parts = {"encoder": _encoder(plain.encoder), "decoder": _decoder(plain.decoder)}
    return {
        part: {name: {v.name: np.array(v) for v in layer.weights} for name, layer in layers}
        for part, layers in parts.items()
    }


def write_weights(path: Path, parts: dict[str, Weights], suffix: str = "") -> None:
    """The file of `model.save_weights` in Keras 2. suffix: `_1` as of a model that was built twice in a process."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"encoder_input", *(part.encode() for part in parts)]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.4.0"
        file.create_group("encoder_input").attrs["weight_names"] = np.zeros(0)
        for part, layers in parts.items():
            group = file.create_group(part)
            names = [
                f"{layer}{suffix}/{weight}:0"
                for moving in (False, True)
                for layer, weights in layers.items()
                for weight in weights
                if weight.startswith("moving") == moving
            ]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for layer, weights in layers.items():
                for weight, values in weights.items():
                    group.create_dataset(f"{layer}{suffix}/{weight}:0", data=values.astype(np.float32))


def _encoder(encoder: keras.Model) -> Iterator[tuple[str, keras.layers.Layer]]:
    yield from _blocks(encoder, keras.layers.Conv2D, "encoder_conv_layer_{}", "encoder_bn_{}")
    yield from zip(("mu", "log_variance"), encoder.layers[-2:], strict=True)


def _decoder(decoder: keras.Model) -> Iterator[tuple[str, keras.layers.Layer]]:
    (dense,) = (layer for layer in decoder.layers if isinstance(layer, keras.layers.Dense))
    yield "decoder_dense", dense
    yield from _blocks(decoder, keras.layers.Conv2DTranspose, "decoder_conv_transpose_layer_{}", "decoder_bn_{}")


def _blocks(model: keras.Model, kind: type, conv: str, norm: str) -> Iterator[tuple[str, keras.layers.Layer]]:
    for of, name in ((kind, conv), (keras.layers.BatchNormalization, norm)):
        layers = [layer for layer in model.layers if isinstance(layer, of)]
        yield from ((name.format(number), layer) for number, layer in enumerate(layers, start=1))

"""Weights in a file of Keras 2, such as the course's weights.h5, read by the names of their layers, as data.

Keras 3 reads such a file by the order of the layers, which is another one here: mu would become log_variance.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import AudioVaeError, SettingError, WorkError, describe
from vae_model.vae.model_file import datasets

Name = tuple[str, str]
"""A layer's, and that of one of its weights: `mu`, `kernel`."""
_LAYERS = ("layer_names", "layer_names0")
_WHOLE_MODEL = "model_weights"
_OPTIMIZER = "optimizer_weights/"
_OWN = "latent_distribution"
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, RuntimeError, ArithmeticError, MemoryError)


def is_by_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one that Keras 2 wrote. SettingError when there is none, WorkError when it is no HDF5 file."""
    with _opened(path) as file:
        return any(name in file.attrs for name in _LAYERS) or _WHOLE_MODEL in file


def require_own_weights(path: str | os.PathLike[str]) -> None:
    """SettingError unless a file of Keras 3 is of a model of this package: other ones have no names to go by."""
    with _opened(path) as file:
        if _OWN not in file:
            raise SettingError(f"{os.fspath(path)} must be weights that Keras 2 wrote, or model.save_weights here")


def load_by_name(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Give every layer of the encoder and the decoder the weights of its name, or change nothing.

    SettingError for a layer or a shape that the model or the file does not have, WorkError for what is no numbers.
    """
    wanted = dict(_weights(model))
    with _opened(path) as file:
        found = _by_layer(file, os.fspath(path), {layer for layer, _ in wanted})
        for name in found.keys() - wanted.keys():
            raise SettingError(f"{os.fspath(path)}: {'/'.join(name)} must be a weight of the model, which has none")
        values = [_values(os.fspath(path), name, found, variable) for name, variable in wanted.items()]
    for variable, value in zip(wanted.values(), values, strict=True):
        variable.assign(value)


def layers_in(path: str | os.PathLike[str]) -> set[str]:
    """The names of the layers that have weights in a file, as they are written there."""
    with _opened(path) as file:
        return {name.split("/")[-2] for name, _ in _arrays(file) if "/" in name}


def _weights(model: keras.Model) -> Iterator[tuple[Name, keras.Variable]]:
    for part in (model.encoder, model.decoder):
        for layer in part.layers:
            yield from (((layer.name, variable.name), variable) for variable in layer.weights)


def _arrays(file: h5py.File) -> Iterator[tuple[str, Any]]:
    return ((name, data) for name, data in datasets(file) if not name.startswith(_OPTIMIZER))


def _by_layer(file: h5py.File, path: str, layers: set[str]) -> dict[Name, Any]:
    """The arrays by layer and weight. A layer that Keras calls `mu_1`, as of a model that was built twice, is mu."""
    found: dict[Name, Any] = {}
    for full, data in _arrays(file):
        *_, written, weight = ("", *full.split("/"))
        layer = written if written in layers else re.sub(r"_\d+$", "", written)
        name = layer, weight.partition(":")[0]
        if layer not in layers:
            raise SettingError(f"{path}: {written} must be a layer of the model, which has none of this name")
        if name in found:
            raise SettingError(f"{path}: {'/'.join(name)} must be in it once")
        found[name] = data
    return found


def _values(path: str, name: Name, found: dict[Name, Any], variable: keras.Variable) -> NDArray[np.float32]:
    told = f"{path}: {'/'.join(name)}"
    if name not in found:
        raise SettingError(f"{told} must be in it: the model has this weight")
    data = found[name]
    if data.dtype.kind != "f":
        raise WorkError(f"{told} must be floating-point numbers, it is {data.dtype}")
    if tuple(data.shape) != tuple(variable.shape):
        raise SettingError(f"{told} must have the model's shape {tuple(variable.shape)}, it has {tuple(data.shape)}")
    values = np.asarray(data[()], np.float32)
    if not np.isfinite(values).all():
        raise WorkError(f"{told} must be finite numbers: the model has diverged")
    return values


class _opened:
    """An HDF5 file that is open for reading; what is damaged in it is a WorkError with its name."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def __enter__(self) -> h5py.File:
        if not os.path.isfile(self.path):
            raise SettingError(f"{self.path} must be a file of weights: there is none")
        try:
            self.file = h5py.File(self.path, "r")
        except _UNREADABLE as error:
            raise WorkError(f"{self.path} must be a file of weights: {describe(error)}") from error
        return self.file

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.file.close()
        if isinstance(error, _UNREADABLE) and not isinstance(error, AudioVaeError):
            raise WorkError(f"{self.path} must be a file of weights: {describe(error)}") from error

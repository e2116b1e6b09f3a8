"""A `.keras` file looked at as data, before Keras sees it: what it names, and how large what it asks for is.

It may come from anybody. What passes is an archive of the three files that `save_model` writes, whose configuration
names one of this package's models and nothing else, and whose weights are plain, finite numbers, as many as a model of
these settings has.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from pipelines.errors import SettingError, WorkError, shortened
from pipelines.store.json_values import Value, json_document
from vae_model.model_folder.config import ModelConfig, model_config
from vae_model.vae.sizes import count_weights

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_TEXT_BYTES = 1 << 20
_OBJECTS = 20_000
_OPTIMIZER = "optimizer/"
_BETWEEN_SOUND_AND_LATENTS = ("encoder/", "decoder/")
_Settings = TypeVar("_Settings")
_NOT_A_FILE = (
    *(OSError, ValueError, LookupError, TypeError, RuntimeError, ArithmeticError, MemoryError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)


def check_model_file(path: Path, name: str, registered: set[str], optimizers: set[str], compiled: bool) -> ModelConfig:
    """The settings of the model in a file. WorkError or SettingError says why it is none.

    name: what errors call the file. registered: the models that it may be one of, by their registered names.
    optimizers: class names that it may be compiled with, which is looked at if it is to be compiled.
    """

    def settings_of(value: Value) -> ModelConfig:
        return model_config({name: setting.value for name, setting in value.object().items()})

    return check_file(path, name, registered, settings_of, count_weights, optimizers if compiled else None)


def check_file(
    path: Path,
    name: str,
    registered: set[str],
    settings_of: Callable[[Value], _Settings],
    count_of: Callable[[_Settings], int | None],
    optimizers: set[str] | None = None,
) -> _Settings:
    """The settings of any model of this package in a file, as `check_model_file` has it.

    settings_of: reads them. count_of: the weights that a model of such settings has, None if any. optimizers: None
    when it is not to be compiled.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = _parts(archive, path.stat().st_size)
            document, weights = json_document(parts[CONFIG]), io.BytesIO(parts[WEIGHTS])
    except _NOT_A_FILE as error:
        raise WorkError(f"{name} is damaged, or no .keras file: {_first_line(error)}") from error
    config = _config(Value(name, document), registered, optimizers, settings_of)
    try:
        held = _count_held(weights, len(parts[WEIGHTS]))
    except _NOT_A_FILE as error:
        raise WorkError(f"{name} must hold the weights of a model: {_first_line(error)}") from error
    if (wanted := count_of(config)) is not None and held != wanted:
        raise WorkError(f"{name} must hold as many weights as its settings ask for, {shortened(wanted)}, not {held:,}")
    return config


def code_in(path: Path) -> tuple[str, str]:
    """(code, kind) of the settings in a file; ("", "") of one that `check_model_file` refuses: it says why."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(CONFIG)
            if entry.file_size > _TEXT_BYTES:
                return "", ""
            config = model_config(json_document(archive.read(entry))["config"]["settings"])
    except (SettingError, AttributeError, *_NOT_A_FILE):
        return "", ""
    return config.code, config.kind


def weights_digest(path: Path, name: str) -> str:
    """Names the model in a .keras file by the weights of its encoder and its decoder, however often it was saved.

    name: what errors call the file. WorkError when it is damaged.
    """
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(path) as archive:
            weights = _parts(archive, path.stat().st_size)[WEIGHTS]
        with h5py.File(io.BytesIO(weights), "r") as opened:
            for key, data in sorted(_plain_numbers(opened, len(weights)), key=lambda pair: pair[0]):
                if key.startswith(_BETWEEN_SOUND_AND_LATENTS) and data.dtype.kind == "f":
                    digest.update(f"{key} {data.shape} ".encode() + np.ascontiguousarray(data[()], "<f4").tobytes())
    except _NOT_A_FILE as error:
        raise WorkError(f"{name} is damaged, or no .keras file: {_first_line(error)}") from error
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _parts(archive: zipfile.ZipFile, size: int) -> dict[str, bytes]:
    """The files of the archive by name. ValueError for others than three, or larger ones than the archive can hold."""
    entries = archive.infolist()
    if sorted(entry.filename for entry in entries) != sorted((CONFIG, METADATA, WEIGHTS)):
        names = ", ".join(entry.filename for entry in entries[:9])
        raise ValueError(f"it must hold {CONFIG}, {METADATA} and {WEIGHTS}, not {names[:200]}")
    for entry in entries:
        if entry.file_size > (4 * size if entry.filename == WEIGHTS else _TEXT_BYTES):
            raise ValueError(f"its {entry.filename} says that it has {entry.file_size:,} bytes")
    return {entry.filename: archive.read(entry) for entry in entries}


def _config(
    value: Value, registered: set[str], optimizers: set[str] | None, settings_of: Callable[[Value], _Settings]
) -> _Settings:
    """The settings that the configuration holds, which must name nothing that is not known."""
    names = ("module", "class_name", "config", "registered_name")
    values = value.object(names, optional=("compile_config", "build_config"))
    if values["registered_name"].value not in registered:
        found = shortened(values["class_name"].value).strip("'")
        raise SettingError(f"{value.file} must be a model of audio-vae, not a {found}")
    inner = values["config"].object(("name", "settings"))
    inner["name"].text()
    of_compiling = values.get("compile_config")
    if optimizers is not None and of_compiling is not None and of_compiling.value is not None:
        _check_compiling(of_compiling, optimizers)
    try:
        return settings_of(inner["settings"])
    except (TypeError, AttributeError, ValueError, RecursionError, OverflowError) as error:
        raise WorkError(f"{value.file}: its settings must be those of a model: {_first_line(error)}") from error
    except SettingError as error:
        raise WorkError(f"{value.file}: its settings must be those of a model: {error}") from error


def _check_compiling(value: Value, optimizers: set[str]) -> None:
    """An optimiser of Keras's own, made of numbers, and no loss or metric by name: the model has its own."""
    for name, setting in value.object().items():
        if name == "optimizer":
            _check_optimizer(setting, optimizers)
        else:
            setting.require(setting.value is None or isinstance(setting.value, (bool, int, str)), "null or one value")
    for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
        if name in value.value:
            value.object()[name].require(value.value[name] is None, "null")


def _check_optimizer(value: Value, optimizers: set[str]) -> None:
    values = value.object(("module", "class_name", "config", "registered_name"), optional=("build_config",))
    kind = values["class_name"]
    is_own = values["module"].value == "keras.optimizers" and values["registered_name"].value in (None, kind.value)
    kind.require(is_own and kind.text() in optimizers, "an optimiser of Keras's")
    for setting in values["config"].object().values():
        plain = setting.value is None or isinstance(setting.value, (bool, int, float, str))
        setting.require(plain, "a number, text or null")


def _count_held(file: io.BytesIO, size: int) -> int:
    """Numbers in the weights of an HDF5 file, without the optimiser's and the noise's place. ValueError by name."""
    count = 0
    with h5py.File(file, "r") as opened:
        for name, data in _plain_numbers(opened, size):
            if name.startswith(_OPTIMIZER):
                continue
            if data.dtype.kind == "f" and not np.isfinite(data[()]).all():
                raise ValueError(f"{name} must be finite numbers: the model has diverged")
            if data.dtype.kind == "f":
                count += int(data.size)
    return count


def _plain_numbers(opened: h5py.File, size: int) -> Iterator[tuple[str, Any]]:
    """All arrays with their names. ValueError for one that is not numbers in this file of so many bytes."""
    num_bytes = 0
    for name, data in datasets(opened):
        properties = data.id.get_create_plist()
        plain = data.dtype.kind in "fiu" and not data.is_virtual and not properties.get_external_count()
        if not plain or properties.get_nfilters():
            raise ValueError(f"{name} must be plain numbers in this file")
        num_bytes += int(data.size) * data.dtype.itemsize
        if num_bytes > size:
            raise ValueError(f"{name} of shape {data.shape} must fit into the file's {size:,} bytes")
        yield name, data


def datasets(opened: h5py.File) -> Iterator[tuple[str, Any]]:
    """All arrays with their names. ValueError for a link that leads elsewhere, or when there are too many."""
    pending: list[tuple[str, Any]] = [("", opened)]
    for number, (start, group) in enumerate(pending):
        if number + len(pending) > _OBJECTS:  # of a group within itself there is no end
            raise ValueError(f"it must hold at most {_OBJECTS:,} groups")
        for key in group:
            name = f"{start}{key}"
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ValueError(f"{name} must be no link")
            found = group[key]
            if isinstance(found, h5py.Group):
                pending.append((f"{name}/", found))
            elif isinstance(found, h5py.Dataset):
                yield name, found
            else:
                raise ValueError(f"{name} must be plain numbers in this file")

"""Model files from anybody: what is no model of this package, or asks for more than it holds, is refused by name."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from pipelines.errors import AudioVaeError, SettingError, WorkError
from tests.helpers.mutants import changed_bytes
from vae_model.model_folder.config import ModelConfig
from vae_model.vae.model_file import CONFIG, METADATA, WEIGHTS, check_model_file
from vae_model.vae.saving import load_model
from vae_model.vae.variational import build

_MUTANTS = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
SMALL = ModelConfig(
    input_shape=(8, 4, 1), conv_filters=(4, 3), conv_kernels=(3, 3), conv_strides=(2, 2), latent_space_dim=5
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound model, compiled, as a file."""
    folder = tmp_path_factory.mktemp("model")
    model = build(SMALL)
    model.compile(1e-3)
    model.model.optimizer.build(model.model.trainable_variables)
    model.save(folder)
    return folder / "model.keras"


Parts = dict[str, bytes]


@pytest.fixture
def changed(saved: Path, tmp_path: Path) -> Callable[[Callable[[Parts], None]], Path]:
    """The path of a copy whose parts a function has changed."""

    def make(change: Callable[[Parts], None]) -> Path:
        with zipfile.ZipFile(saved) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        change(parts)
        with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
        return tmp_path / "model.keras"

    return make


def set_config(*place: str, to: Any) -> Callable[[Parts], None]:
    """Changes a value of config.json."""

    def change(parts: Parts) -> None:
        values = json.loads(parts[CONFIG])
        inner = values
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = to
        parts[CONFIG] = json.dumps(values).encode()

    return change


def set_whole_config(values: Any) -> Callable[[Parts], None]:
    def change(parts: Parts) -> None:
        parts[CONFIG] = json.dumps(values).encode()

    return change


def refused(path: Path) -> str:
    """The line of a file that is not loaded, compiled or not."""
    with pytest.raises(AudioVaeError) as found:
        load_model(path, compiled=False)
    assert type(found.value) in (SettingError, WorkError)
    assert str(found.value).startswith(str(path))
    assert len(str(found.value)) < 2_000
    with pytest.raises(AudioVaeError):
        load_model(path)
    return str(found.value)


def test_the_sound_file_is_loaded(saved: Path, changed: Callable[..., Path]) -> None:
    assert load_model(saved).settings == SMALL
    assert load_model(changed(lambda parts: None)).optimizer.learning_rate.numpy() == np.float32(1e-3)


def keras_config(layer: dict[str, Any]) -> dict[str, Any]:
    """A Sequential with one layer more than its input."""
    first = {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [None, 4]}}
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [first | {"registered_name": None}, layer]},
        "registered_name": None,
    }


def hostile_layers(place: Path) -> dict[str, dict[str, Any]]:
    """What files have been made to do: run code, call a function by its name, read a file of this machine."""
    secret = place / "secret.txt"
    secret.write_text("a\nb\n")

    def layer(kind: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
        return {"module": module, "class_name": kind, "config": {"name": "x", **config}, "registered_name": None}

    function = {"class_name": "function", "registered_name": "function"}
    fetch = {"module": "keras.utils", "config": "get_file", **function}
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
    return {
        "lambda": layer("Lambda", function=code, arguments={}),
        "get_file": layer("Lambda", function=fetch, arguments={"origin": "http://127.0.0.1:9/x"}),
        "os.system": layer("Lambda", function={"module": "os", "config": "system", **function}, arguments={}),
        "activation": layer("Dense", units=4, activation=fetch),
        "module": layer("Popen", "subprocess", args=["true"]),
        "lookup": layer("StringLookup", vocabulary=str(secret)),
        "text": layer("TextVectorization", vocabulary=str(secret)),
        "saved_model": layer("TFSMLayer", filepath=str(place)),
    }


@pytest.mark.parametrize(
    "kind", ["lambda", "get_file", "os.system", "activation", "module", "lookup", "text", "saved_model"]
)
def test_models_that_are_not_of_this_package_are_refused(
    changed: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    layer = hostile_layers(tmp_path)[kind]
    assert "must be a model of audio-vae, not a Sequential" in refused(changed(set_whole_config(keras_config(layer))))
    # The same beside a name of ours, where Keras would look for what to build.
    inside = changed(set_config("config", "settings", to=layer))
    assert "must be those of a model" in refused(inside)
    assert "config.layer must be one of name, settings" in refused(changed(set_config("config", "layer", to=layer)))
    with pytest.raises(SettingError, match=r"must be (there|an optimiser of Keras's|a number, text or null)"):
        load_model(changed(set_config("compile_config", "optimizer", to=layer)))
    with pytest.raises(SettingError, match="must be"):
        load_model(changed(set_config("compile_config", "loss", to=layer)))
    with pytest.raises(SettingError, match=r"learning_rate=.* must be a number, text or null"):
        load_model(changed(set_config("compile_config", "optimizer", "config", "learning_rate", to=layer)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latent_space_dim", 10**6),
        ("latent_space_dim", 10**9),
        ("latent_space_dim", 10**400),
        ("latent_space_dim", True),
        ("latent_space_dim", None),
        ("conv_filters", [100_000, 100_000]),
        ("conv_filters", [4] * 4_000),
        ("conv_filters", [[[]]]),
        ("conv_filters", 7),
        ("conv_filters", []),
        ("conv_kernels", [10**6, 3]),
        ("conv_strides", [10**9, 2]),
        ("conv_strides", [[2, 2, 2], 2]),
        ("input_shape", [10**9, 10**9, 1]),
        ("input_shape", [8, 4]),
        ("residual_blocks", 10**6),
        ("norm_momentum", float("nan")),
        ("log_variance_range", ["a", "b"]),
        ("kind", ["vae"]),
        ("kind", "autoencoder"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_settings_beyond_the_weights_in_the_file_are_refused(
    changed: Callable[..., Path], name: str, value: Any
) -> None:
    line = refused(changed(set_config("config", "settings", name, to=value)))
    assert "its settings must be those of a model" in line or "as many weights as its settings ask for" in line


def test_settings_of_thousands_of_layers_are_refused(changed: Callable[..., Path]) -> None:
    def many(parts: Parts) -> None:
        for name, value in (("conv_filters", 1), ("conv_kernels", 1), ("conv_strides", 1)):
            set_config("config", "settings", name, to=[value] * 4_000)(parts)

    assert "conv_filters=" in refused(changed(many))


@pytest.mark.parametrize(
    "document",
    [b"", b"[", b"[]", b"null", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b'"\\ud800"', b"9" * 5_000],
    ids=["empty", "cut", "list", "null", "deep", "deep objects", "no UTF-8", "surrogate", "long number"],
)
def test_a_configuration_that_is_none_is_refused(changed: Callable[..., Path], document: bytes) -> None:
    refused(changed(lambda parts: parts.update({CONFIG: document})))


def with_weights(change: Callable[[h5py.File], None]) -> Callable[[Parts], None]:
    """Changes the HDF5 file of the weights."""

    def edit(parts: Parts) -> None:
        file = io.BytesIO(parts[WEIGHTS])
        with h5py.File(file, "a") as opened:
            change(opened)
        parts[WEIGHTS] = file.getvalue()

    return edit


DENSE = "decoder/layers/dense/vars"


def replaced(data: Any = None, **options: Any) -> Callable[[h5py.File], None]:
    def change(opened: h5py.File) -> None:
        values = opened[DENSE]["0"][()] if data is None else data
        del opened[DENSE]["0"]
        if values is not Ellipsis:
            opened[DENSE].create_dataset("0", **({"data": values} | options))

    return change


def linked(link: Any) -> Callable[[h5py.File], None]:
    def change(opened: h5py.File) -> None:
        del opened[DENSE]["0"]
        opened[DENSE]["0"] = link

    return change


def external(opened: h5py.File) -> None:
    del opened[DENSE]["0"]
    opened[DENSE].create_dataset("0", (5, 6), "f4", external=[("/etc/passwd", 0, 120)])


def endless(opened: h5py.File) -> None:
    opened["more"] = opened["/"]


def not_finite(opened: h5py.File) -> None:
    opened[DENSE]["0"][0, 0] = np.nan


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (replaced(data=Ellipsis), "as many weights as its settings ask for"),
        (replaced(data=np.zeros((5, 7), np.float32)), "as many weights as its settings ask for"),
        (replaced(data=np.array(["a", "b"], dtype=object)), "must be plain numbers"),
        (replaced(compression="gzip"), "must be plain numbers"),
        (linked(h5py.SoftLink("/encoder/layers/dense/vars/0")), "must be no link"),
        (linked(h5py.ExternalLink("/etc/passwd", "/x")), "must be no link"),
        (external, "must be plain numbers"),
        (endless, "must fit into the file's|at most"),
        (not_finite, "decoder/layers/dense/vars/0 must be finite numbers"),
    ],
    ids=["missing", "other shape", "text", "compressed", "soft link", "external link", "external", "endless", "NaN"],
)
def test_weights_that_are_not_plain_numbers_in_the_file_are_refused(
    changed: Callable[..., Path], change: Callable[[h5py.File], None], rule: str
) -> None:
    assert re.search(rule, refused(changed(with_weights(change))))


def test_weights_that_are_not_there_are_not_allocated(changed: Callable[..., Path]) -> None:
    def huge(opened: h5py.File) -> None:
        del opened[DENSE]["0"]
        space = h5py.h5s.create_simple((10**9, 10**3))  # nothing is written: the file stays small
        h5py.h5d.create(opened[DENSE].id, b"0", h5py.h5t.NATIVE_FLOAT, space)

    assert "must fit into the file's" in refused(changed(with_weights(huge)))


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "assets/vocabulary.txt", "extra.py"])
def test_an_archive_with_other_files_is_refused(changed: Callable[..., Path], name: str) -> None:
    path = changed(lambda parts: parts.update({name: b"x"}))
    assert f"it must hold {CONFIG}, {METADATA} and {WEIGHTS}" in refused(path)


def test_an_archive_that_unpacks_to_far_more_is_refused(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr(CONFIG, archive.read(CONFIG))
        bomb.writestr(METADATA, archive.read(METADATA))
        bomb.writestr(WEIGHTS, bytes(100 << 20))
    assert "says that it has 104,857,600 bytes" in refused(path)


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"\x89HDF\r\n\x1a\n" + bytes(99), b"x" * 999])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.keras").write_bytes(data)
    assert "is damaged, or no .keras file" in refused(tmp_path / "model.keras")


def test_a_model_of_keras_is_no_model_of_ours(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    assert "must be a model of audio-vae, not a Sequential" in refused(tmp_path / "model.keras")


@pytest.mark.parametrize("count", [60, pytest.param(3_000, marks=pytest.mark.slow)], ids=["a few", "thousands"])
@pytest.mark.parametrize("part", [CONFIG, WEIGHTS, "the archive"])
def test_a_changed_file_is_taken_or_refused_in_a_line(saved: Path, tmp_path: Path, part: str, count: int) -> None:
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    whole, path = saved.read_bytes(), tmp_path / "model.keras"

    @settings(_MUTANTS, max_examples=count)
    @given(changed_bytes(parts.get(part, whole)))
    def check(data: bytes) -> None:
        if part in parts:
            with zipfile.ZipFile(path, "w") as changed:
                for name, content in (parts | {part: data}).items():
                    changed.writestr(name, content)
        else:
            path.write_bytes(data)
        with suppress(AudioVaeError):
            check_model_file(path, "model.keras", {"audio_vae>VAEModel"}, {"Adam"}, compiled=True)

    check()

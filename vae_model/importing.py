"""A model that the course's `save` wrote, as a MODEL folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.dataset.plain_pickle import read_plain_pickle
from pipelines.dataset.ranges_table import read_ranges
from pipelines.errors import SettingError, WorkError, shortened
from pipelines.store.paths import Place
from vae_model.model_folder.array_bundle import bundle_of_arrays
from vae_model.model_folder.config import VARIATIONAL, ModelConfig, model_config
from vae_model.model_folder.folder import LAST_FILES, file_in, local_model
from vae_model.model_folder.outputs import make_folder, opened_output, require_empty
from vae_model.model_folder.value_range import ValueRange
from vae_model.runtime import prepare

PARAMETERS_FILE = "parameters.pkl"
WEIGHTS_FILE = "weights.h5"
_PARAMETERS = ("input_shape", "conv_filters", "conv_kernels", "conv_strides", "latent_space_dim")


@dataclass(frozen=True)
class ImportedModel:
    """A model that was imported. output: its MODEL folder. sample_rate, hop_length: of its sounds, as it takes them."""

    output: str
    model: ModelConfig
    sample_rate: int
    hop_length: int


def import_course(
    folder: Place,
    output: Place,
    *,
    sample_rate: int | None = None,
    hop_length: int | None = None,
    min_max: Place | None = None,
) -> ImportedModel:
    """Make a MODEL folder of one that the course's `save` wrote: `audio-vae import-course`.

    folder: with parameters.pkl, which is read as data, and weights.h5, of a VAE or an autoencoder. output: a new or
    empty folder. sample_rate, hop_length: what the files do not tell, 22,050 Hz and half a frame unless given. min_max:
    the table of its features' ranges, whose medians new sounds have. The weights are those of the file, and
    reconstructions decode a sample, as in the course. SettingError or WorkError names what does not fit.

    >>> import h5py, keras, numpy as np, pickle
    >>> with open(folder / "parameters.pkl", "wb") as file:
    ...     pickle.dump([(16, 8, 1), (4,), (3,), (2,), 3], file)
    >>> names = {"conv_layer_1": (3, 3, 1, 4), "output": (8 * 4 * 4, 3)}
    >>> shapes = {f"encoder/encoder_{name}/kernel:0": shape for name, shape in names.items()}
    >>> shapes |= {f"encoder/encoder_{name}/bias:0": shape[-1:] for name, shape in names.items()}
    >>> kept = "gamma", "beta", "moving_mean", "moving_variance"
    >>> shapes |= {f"encoder/encoder_bn_1/{name}:0": (4,) for name in kept}
    >>> shapes |= {"decoder/decoder_dense/kernel:0": (3, 128), "decoder/decoder_dense/bias:0": (128,)}
    >>> last = "decoder/decoder_conv_transpose_layer_1"
    >>> shapes |= {f"{last}/kernel:0": (3, 3, 1, 4), f"{last}/bias:0": (1,)}
    >>> with h5py.File(folder / "weights.h5", "w") as file:
    ...     file.attrs["layer_names"] = [b"encoder", b"decoder"]
    ...     for name, shape in shapes.items():
    ...         file[name] = np.ones(shape, np.float32)
    >>> done = import_course(folder, folder / "model")
    >>> done.model.kind, done.model.latent_space_dim, done.sample_rate, done.hop_length
    ('autoencoder', 3, 22050, 16)
    """
    folder, output = os.fspath(folder), os.fspath(output)
    parameters = _parameters(file_in(folder, PARAMETERS_FILE))
    ranges = read_ranges(os.fspath(min_max)).values() if min_max is not None else ()
    require_empty(output)
    prepare()
    with local_model(folder, [WEIGHTS_FILE]) as local:
        weights = local / WEIGHTS_FILE
        if not weights.is_file():
            raise SettingError(f"{folder} must be a model of the course's: it has no {WEIGHTS_FILE}")
        config = _config(parameters, weights, file_in(folder, PARAMETERS_FILE))
        typical = [ValueRange(bounds.min_db, bounds.max_db, per_record=True) for bounds in ranges]
        bundle = bundle_of_arrays(config, sample_rate, hop_length, typical)
        from vae_model.vae.variational import build

        autoencoder = build(config)
        autoencoder.load_weights(weights)
        autoencoder.bundle = bundle
        with opened_output(output, LAST_FILES, alone=True) as written:
            make_folder(written.path)
            autoencoder.save(written.path)
    return ImportedModel(output, config, bundle.audio.sample_rate, bundle.spectrogram.hop_length)


def _parameters(uri: str) -> dict[str, Any]:
    """The arguments that the course's class was made with. SettingError when it's not a list of these."""
    values = read_plain_pickle(uri)
    if not isinstance(values, (list, tuple)) or len(values) != len(_PARAMETERS):
        raise SettingError(f"{uri}: it is {shortened(values)}, and must be a list of {', '.join(_PARAMETERS)}")
    return dict(zip(_PARAMETERS, values, strict=True))


def _config(parameters: dict[str, Any], weights: Path, name: str) -> ModelConfig:
    """The settings of the model that the parameters and the layers in the file of weights tell.

    WorkError when the file is too small for them: before anything as large is made.
    """
    from vae_model.vae.course_weights import layers_in
    from vae_model.vae.sizes import count_weights

    is_vae = any(layer.startswith("log_variance") for layer in layers_in(weights))
    kind = {"kind": VARIATIONAL, "decode": "sampled"} if is_vae else {"kind": "autoencoder"}
    try:
        config = model_config(parameters | kind)
    except SettingError as error:
        raise SettingError(f"{name}: {error}") from error
    dim = config.latent_space_dim
    wanted, size = 4 * ((count_weights(config) or 0) - dim - dim**2 - 1), weights.stat().st_size
    if wanted > size:
        raise WorkError(f"{name}: a model of these settings has {shortened(wanted)} bytes of weights, not {size:,}")
    return config

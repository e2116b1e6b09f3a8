"""What a worker of `audio-vae encode` does with records. Only loading the model imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipelines import store
from pipelines.dataset.records import Record
from pipelines.signals import import_whole
from vae_model.model_folder.config import ModelConfig, latent_names
from vae_model.model_folder.folder import MODEL_FILE, MODEL_FILES, file_in, local_model
from vae_model.model_folder.own_code import allow_import

if TYPE_CHECKING:
    import pyarrow as pa


_ACTIVATION_BYTES = 64 * 2**20
_MOST_RECORDS = 256


def batch_size_of(config: ModelConfig) -> int:
    """Records whose largest layer's output takes up to 64 MB in float32, at least 1 and at most 256."""
    bins, frames, channels = config.input_shape
    largest = bins * frames * channels
    for filters, (bins_stride, frames_stride) in zip(config.conv_filters, config.stride_pairs, strict=True):
        bins, frames = -(-bins // bins_stride), -(-frames // frames_stride)
        largest = max(largest, bins * frames * filters)
    return max(1, min(_MOST_RECORDS, _ACTIVATION_BYTES // (4 * largest)))


def copy_model(model: str, folder: str) -> str:
    """Put what a worker needs of the MODEL folder at a path or URI into a folder that all workers can read.

    Returns what names the model.
    """
    from vae_model.runtime import prepare

    prepare()  # what is imported next imports TensorFlow, which would write its notes
    from vae_model.vae.model_file import weights_digest

    with local_model(model) as local:
        for name in MODEL_FILES:
            store.put_file(local / name, store.join(folder, name))
        return weights_digest(local / MODEL_FILE, file_in(model, MODEL_FILE))


def import_encoder() -> None:
    """Import what `load_encoder` needs, TensorFlow among it: seconds. Before threads do it at once."""
    from vae_model.runtime import prepare

    prepare()
    import_whole("vae_model.sound.generator", "vae_model.sound.latent_table")


def load_encoder(folder: str, schema: pa.Schema, imports: Sequence[str] = ()) -> Callable[[Sequence[Record]], pa.Table]:
    """The function from records to rows of `schema`, with the model that `copy_model` put into a folder.

    imports: the modules that the user has asked for.
    """
    for module in imports:
        allow_import(module)
    import_encoder()
    import numpy as np

    from vae_model.sound.generator import SoundGenerator
    from vae_model.sound.latent_table import to_table

    generator = SoundGenerator.load(folder)
    value_range = generator.bundle.value_range
    names = latent_names(generator.autoencoder.config)

    def encode(records: Sequence[Record]) -> pa.Table:
        batch = np.stack([np.clip(value_range.model_input(record), 0.0, 1.0) for record in records])
        outputs = generator.autoencoder.model.encoder(batch, training=False)
        return to_table(records, {name: np.array(outputs[name]) for name in names}, schema)

    return encode

"""A model written for programs without this package: a SavedModel that takes waveforms, and ONNX files."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import AudioVaeError, SettingError, WorkError
from pipelines.space import unwritten
from pipelines.store.paths import Place, local_path
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.outputs import require_empty, temporary_output
from vae_model.runtime import prepare

if TYPE_CHECKING:
    from vae_model.vae.waveform_model import WaveformModel

SIGNATURES = ("encode", "decode", "reconstruct")
GENERATE = "generate"
"""Of a model with a learned prior."""
ENCODER_FILE = "encoder.onnx"
DECODER_FILE = "decoder.onnx"
_OPSET = 17
_LAST = "saved_model.pb"
_CONVERTER = "tf2onnx"


@dataclass(frozen=True)
class Export:
    """A model that was exported. output: the folder. signatures: of its SavedModel. files: names of what is in it."""

    output: str
    signatures: tuple[str, ...]
    files: tuple[str, ...]


def export_model(model: Place, output: Place, *, onnx: bool = False) -> Export:
    """Write a TensorFlow SavedModel that needs nothing of this package, waveforms in: `audio-vae export`.

    model: the MODEL folder at a path or URI. output: a new or empty folder. onnx: also encoder.onnx and decoder.onnx,
    of spectrograms in [0, 1] and latents. docs/export.md shows how they are used. SettingError when `output` holds
    something, or the converter to ONNX is not installed.

    >>> export = export_model(model, folder / "served")
    >>> export.signatures, "saved_model.pb" in export.files
    (('encode', 'decode', 'reconstruct'), True)
    """
    if onnx and importlib.util.find_spec(_CONVERTER) is None:
        raise SettingError(f"--onnx needs {_CONVERTER}: pip install 'audio-vae[onnx]'")
    model, output = os.fspath(model), os.fspath(output)
    bundle = Bundle.load(model)  # mistakes show before TensorFlow's seconds of loading
    with _new_folder(output) as folder:
        _say(f"reading {model}")
        prepare()
        from vae_model.prior.exported import ExportedPrior
        from vae_model.prior.prior_file import load_flow
        from vae_model.vae.finished import load_finished
        from vae_model.vae.waveform_model import WaveformModel

        with_waveforms = WaveformModel(load_finished(model)[0], bundle)
        _say(f"writing the SavedModel into {output}")
        flow = load_flow(model, bundle)
        with_waveforms.save(str(folder), None if flow is None else ExportedPrior(flow))
        bundle.save(folder)
        if onnx:
            _say(f"writing {ENCODER_FILE} and {DECODER_FILE}")
            _write_onnx(with_waveforms, folder)
        files = tuple(sorted(path.name for path in folder.iterdir()))
    return Export(output, SIGNATURES if flow is None else (*SIGNATURES, GENERATE), files)


def _write_onnx(model: WaveformModel, folder: Path) -> None:
    """Write the encoder and the decoder of a WaveformModel as ONNX files: spectrograms in [0, 1] and latents.

    encoder.onnx: `spectrogram` (batch, n_bins, n_frames, n_channels) -> `mu` and `log_variance`, or `z`.
    decoder.onnx: `z` (batch, latent_space_dim) -> `spectrogram`.
    """
    import tensorflow as tf
    import tf2onnx

    shape = (None, *model.bundle.model.input_shape)
    spectrogram = tf.TensorSpec(shape, tf.float32, name="spectrogram")
    encode = tf.function(lambda spectrogram: model.encoder(spectrogram, training=False))
    decode = tf.function(lambda z: {"spectrogram": model.decoder(z, training=False)})
    for function, spec, name in ((encode, spectrogram, ENCODER_FILE), (decode, model.latent_spec, DECODER_FILE)):
        tf2onnx.convert.from_function(function, [spec], opset=_OPSET, output_path=str(folder / name))


@contextlib.contextmanager
def _new_folder(name: str) -> Iterator[Path]:
    """A temporary folder that becomes the folder `name`, made with those above it, when the block ends well.

    On a store it is uploaded instead, what makes it a SavedModel last.
    """
    require_empty(name)
    local = local_path(name)
    if local is None:
        with temporary_output(name, [_LAST]) as output:
            yield output.path
        return
    path = Path(local)
    partial = path.absolute().with_name(f".partial-{os.getpid()}-{path.absolute().name}")
    try:
        partial.mkdir(parents=True)
        yield partial
        os.replace(partial, path)
    except AudioVaeError:
        raise
    except Exception as error:  # TensorFlow's own kinds tell of a full disk as of all else
        if told := unwritten(partial if partial.is_dir() else partial.parent, f"--output {name}", error):
            raise told from error
        if isinstance(error, OSError):
            raise WorkError(f"--output {name} cannot be written: {error.strerror or error}") from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

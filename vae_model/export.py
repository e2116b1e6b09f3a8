"""The command `audio-vae export`: a model that takes waveforms, for programs without this package."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.errors import SettingError, WorkError
from pipelines.formats import local_path
from vae_model.bundle import Bundle
from vae_model.outputs import require_empty, temporary_output

ENCODER_FILE = "encoder.onnx"
DECODER_FILE = "decoder.onnx"
SIGNATURES = ("encode", "decode", "reconstruct")
_LAST = "saved_model.pb"
_OPSET = 17
_CONVERTER = "tf2onnx"


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae export",
        description="Write a TensorFlow SavedModel that needs nothing of this package: waveforms in, latents and "
        "spectrograms out. docs/export.md shows how it is used.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("--output", required=True, metavar="DIR", help="new or empty folder for the SavedModel")
    result.add_argument(
        "--onnx", action="store_true", help=f"also {ENCODER_FILE} and {DECODER_FILE} (needs the extra onnx)"
    )
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parser().parse_args(argv)
    if arguments.onnx and importlib.util.find_spec(_CONVERTER) is None:
        raise SettingError(f"--onnx needs {_CONVERTER}: pip install 'audio-vae[onnx]'")
    bundle = Bundle.load(arguments.model)  # mistakes show before TensorFlow's seconds of loading
    with _new_folder(arguments.output) as folder:
        print(f"reading {arguments.model}", file=sys.stderr, flush=True)
        from vae_model.runtime import prepare

        prepare()
        from vae_model.serving import WaveformModel
        from vae_model.sound import SoundGenerator

        model = WaveformModel(SoundGenerator.load(arguments.model).autoencoder, bundle)
        print(f"writing the SavedModel into {arguments.output}", file=sys.stderr, flush=True)
        model.save(str(folder))
        bundle.save(folder)
        if arguments.onnx:
            print(f"writing {ENCODER_FILE} and {DECODER_FILE}", file=sys.stderr, flush=True)
            export_onnx(model, folder)
        files = sorted(path.name for path in folder.iterdir())
    print(f"{arguments.output}: signatures {', '.join(SIGNATURES)}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"output": arguments.output, "signatures": list(SIGNATURES), "files": files}))
    return 0


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
    except OSError as error:
        raise WorkError(f"--output {name} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def export_onnx(model: Any, folder: Path) -> None:
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

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

from pipelines.errors import SettingError, WorkError
from pipelines.store.paths import local_path
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.outputs import require_empty, temporary_output
from vae_model.vae.waveform_model import DECODER_FILE, ENCODER_FILE, export_onnx

SIGNATURES = ("encode", "decode", "reconstruct")
_LAST = "saved_model.pb"
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
        from vae_model.sound.generator import SoundGenerator
        from vae_model.vae.waveform_model import WaveformModel

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

"""The command `audio-vae interpolate`: from one sound to another through a model's latents."""

from __future__ import annotations

import argparse
import json

import numpy as np

from pipelines.errors import require
from vae_model.commands.arguments import add_phase
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.outputs import output_folder
from vae_model.sound.wav import write_sounds


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae interpolate",
        description="Write sounds on the way from one to another: the latents of A's and B's first segments, and steps "
        "in between, decoded.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("a", metavar="A", help="audio file where the way begins")
    result.add_argument("b", metavar="B", help="audio file where it ends")
    result.add_argument("--steps", type=int, default=8, metavar="N", help="how many sounds, both ends included (8)")
    result.add_argument("--output", required=True, metavar="DIR", help="folder for interpolated-00001.wav, ...")
    result.add_argument(
        "--method",
        choices=("slerp", "lerp"),
        help="along an arc around 0 or a straight line (default: slerp for a VAE, lerp for an autoencoder)",
    )
    add_phase(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError, SourceError and WorkError are the caller's to print."""
    arguments = parser().parse_args(argv)
    require(arguments.steps > 1, "--steps", arguments.steps, "at least 2, the sounds at both ends")
    bundle = Bundle.load(arguments.model)  # mistakes show before TensorFlow's seconds of loading
    from vae_model.runtime import prepare

    prepare()
    from vae_model.sound import latents
    from vae_model.sound.generator import SoundGenerator

    method = arguments.method or latents.way_of(bundle.model)
    generator = SoundGenerator.load(arguments.model, phase=arguments.phase)
    (a, a_range), (b, b_range) = (latents.of_file(generator, uri) for uri in (arguments.a, arguments.b))
    parts = np.linspace(0.0, 1.0, arguments.steps)
    ranges = [latents.range_between(a_range, b_range, t) for t in parts.tolist()]
    waveforms = generator.decode(latents.between(a, b, parts, method), ranges)
    with output_folder(arguments.output) as output:
        written = write_sounds(output, "interpolated", waveforms, bundle.audio.sample_rate, arguments.steps)
    if arguments.json:
        entries = [entry | {"t": t} for entry, t in zip(written, parts.tolist(), strict=True)]
        values = {
            "sample_rate": bundle.audio.sample_rate,
            "method": method,
            "phase": arguments.phase,
            "written": entries,
        }
        print(json.dumps(values))
    return 0

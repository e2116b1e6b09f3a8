"""The command `audio-vae generate`: new sounds from a model."""

from __future__ import annotations

import argparse
import json
import secrets
import sys

from pipelines.config import require
from vae_model.files import output_folder
from vae_model.options import add_phase


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae generate",
        description="Write new sounds: latents drawn as those of the training sounds are distributed, decoded. "
        "Each lasts one segment of the model.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("--count", required=True, type=int, metavar="N", help="how many sounds")
    result.add_argument("--output", required=True, metavar="DIR", help="folder for generated-00001.wav, ...")
    result.add_argument(
        "--seed", type=int, metavar="S", help="the same seed gives the same sounds (default: a new one)"
    )
    add_phase(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parser().parse_args(argv)
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    require(arguments.count > 0, "--count", arguments.count, "a positive number of sounds")
    require(0 <= seed < 2**31, "--seed", seed, "at least 0 and below 2**31")
    from vae_model.runtime import prepare

    prepare()
    from vae_model.sound import SoundGenerator, write_wav

    generator = SoundGenerator.load(arguments.model, seed, arguments.phase)
    folder = output_folder(arguments.output)
    sample_rate = generator.bundle.audio.sample_rate
    written = []
    for number, waveform in enumerate(generator.generate(arguments.count, seed), start=1):
        path = folder / f"generated-{number:05}.wav"
        written.append({"path": str(path), "num_samples": write_wav(path, [waveform], sample_rate)})
    print(f"{len(written)} sounds in {folder}, seed {seed}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"sample_rate": sample_rate, "seed": seed, "phase": arguments.phase, "written": written}))
    return 0

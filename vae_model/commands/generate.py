"""The command `audio-vae generate`: new sounds from a model."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from pipelines.config import TRAIN
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import SettingError, require
from vae_model.commands.arguments import add_phase, add_seed, settled_seed
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.outputs import Output, output_folder
from vae_model.sound.wav import write_sounds

FITTED, PRIOR, DATASET = "fitted", "prior", "dataset"


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae generate",
        description="Write new sounds: latents drawn as --from says, decoded. Each lasts one segment of the model.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("--count", required=True, type=int, metavar="N", help="how many sounds")
    result.add_argument("--output", required=True, metavar="DIR", help="folder for generated-00001.wav, ...")
    result.add_argument(
        "--from",
        dest="origin",
        choices=(FITTED, PRIOR, DATASET),
        default=FITTED,
        help="where latents come from: the Gaussian that fits the training latents (default); the prior N(0, I) of a "
        "VAE; the posteriors of sounds of a dataset",
    )
    result.add_argument("--dataset", metavar="DATASET", help="of --from dataset; made with the model's settings")
    result.add_argument("--split", metavar="S", help=f"which of its splits (default: {TRAIN})")
    result.add_argument(
        "--label", action="append", type=_label, metavar="NAME=VALUE", help="only sounds of this label; repeatable"
    )
    add_seed(result)
    add_phase(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} must look like digit=3")
    return name, value


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parser().parse_args(argv)
    seed = settled_seed(arguments.seed)
    require(arguments.count > 0, "--count", arguments.count, "a positive number of sounds")
    bundle = Bundle.load(arguments.model)  # mistakes show before TensorFlow's seconds of loading
    dataset = _dataset(arguments, bundle)
    with output_folder(arguments.output) as output:
        written = _write(arguments, seed, dataset, output)
    print(f"seed {seed}", file=sys.stderr)
    if arguments.json:
        values = {"sample_rate": bundle.audio.sample_rate, "seed": seed}
        print(json.dumps(values | {"phase": arguments.phase, "from": arguments.origin, "written": written}))
    return 0


def _write(arguments: argparse.Namespace, seed: int, dataset: Dataset | None, output: Output) -> list[dict[str, Any]]:
    """Write the sounds; what there is to say of each."""
    from vae_model.runtime import prepare

    prepare()
    from vae_model.sound import latents
    from vae_model.sound.generator import SoundGenerator

    generator = SoundGenerator.load(arguments.model, seed, arguments.phase)
    origins: list[dict[str, Any]] = [{}] * arguments.count
    ranges = None
    if dataset is not None:
        split = arguments.split or TRAIN
        picked = latents.pick(dataset.records(split), dict(arguments.label or ()), arguments.count, seed)
        drawn, ranges = latents.from_records(generator, picked, seed)
        origins = [{"source": record.source, "segment": record.segment} for record in picked]
    elif arguments.origin == PRIOR:
        drawn = latents.from_prior(generator.autoencoder, arguments.count, seed)
    else:
        drawn = generator.autoencoder.sample_latents(arguments.count, seed)
    waveforms, sample_rate = generator.decode(drawn, ranges), generator.bundle.audio.sample_rate
    written = write_sounds(output, "generated", waveforms, sample_rate, arguments.count)
    return [entry | origin for entry, origin in zip(written, origins, strict=True)]


def _dataset(arguments: argparse.Namespace, bundle: Bundle) -> Dataset | None:
    """The dataset to draw from, None for another origin. SettingError where options don't go together."""
    if arguments.origin != DATASET:
        for name in ("dataset", "split", "label"):
            if getattr(arguments, name) is not None:
                raise SettingError(f"--{name} must come with --from {DATASET}, not --from {arguments.origin}")
        return None
    if arguments.dataset is None:
        raise SettingError(f"--from {DATASET} must come with --dataset DATASET")
    dataset = open_dataset(arguments.dataset)
    bundle.check_fits(dataset, arguments.model)
    split = arguments.split or TRAIN
    require(dataset.split(split).num_examples > 0, "--split", split, f"one that holds records in {dataset.uri}")
    return dataset

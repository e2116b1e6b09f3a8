"""The command `audio-vae decode`: latents in a Parquet file to sound."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipelines.errors import SettingError
from vae_model.commands.arguments import add_phase
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import latent_names
from vae_model.model_folder.outputs import Output, output_folder
from vae_model.model_folder.value_range import ValueRange
from vae_model.sound.wav import write_sounds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vae_model.sound.generator import SoundGenerator
    from vae_model.sound.latent_table import LatentFile


_RANGE = ("min_db", "max_db")
_ORIGIN = ("source", "segment")


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae decode",
        description="Write a sound of one segment for each row of a Parquet file, as `audio-vae encode` or any other "
        "program writes it: a column of lists with as many numbers as the model's latents have.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("parquet", metavar="PARQUET", help="file with a row a sound")
    result.add_argument("--output", required=True, metavar="DIR", help="folder for decoded-00001.wav, ...")
    result.add_argument("--column", metavar="NAME", help="the column to decode (default: mu, of an autoencoder z)")
    add_phase(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parser().parse_args(argv)
    bundle = Bundle.load(arguments.model)  # mistakes show before TensorFlow's seconds of loading
    from vae_model.sound.latent_table import LatentFile

    column = arguments.column or latent_names(bundle.model)[0]
    latents = LatentFile(arguments.parquet, column, bundle.model.latent_space_dim)
    with output_folder(arguments.output) as output:
        written = _write(arguments, latents, output)
    if arguments.json:
        values = {"sample_rate": bundle.audio.sample_rate, "phase": arguments.phase}
        print(json.dumps(values | {"written": written}))
    return 0


def _write(arguments: argparse.Namespace, latents: LatentFile, output: Output) -> list[dict[str, Any]]:
    """Write the sounds; what there is to say of each."""
    from vae_model.runtime import prepare

    prepare()
    from vae_model.sound.generator import SoundGenerator

    generator = SoundGenerator.load(arguments.model, phase=arguments.phase)
    origins: list[dict[str, Any]] = []
    waveforms, sample_rate = _waveforms(generator, latents, origins), generator.bundle.audio.sample_rate
    written = write_sounds(output, "decoded", waveforms, sample_rate, latents.num_rows)
    return [entry | origin for entry, origin in zip(written, origins, strict=True)]


def _waveforms(
    generator: SoundGenerator, latents: LatentFile, origins: list[dict[str, Any]]
) -> Iterator[NDArray[np.float32]]:
    """The sound of each row; what the row tells of its origin goes into `origins`."""
    value_range = generator.bundle.value_range
    for part in latents.batches((*_ORIGIN, *_RANGE)):
        origins += [{name: row[name] for name in _ORIGIN if name in row} for row in part.rows]
        ranges = [_range(row, value_range) for row in part.rows] if value_range.per_record else None
        yield from generator.decode(part.values, ranges)


def _range(row: dict[str, Any], typical: ValueRange) -> ValueRange:
    """What 0 and 1 stand for in a row: its own levels, the typical ones where it has none."""
    low, high = (row.get(name) for name in _RANGE)
    if low is None or high is None:
        return typical
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise SettingError(f"min_db={low} and max_db={high} of a row must be finite numbers of decibels, in this order")
    return ValueRange(low, high, per_record=True)

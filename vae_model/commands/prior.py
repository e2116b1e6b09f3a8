"""The command `audio-vae prior`: what new sounds of a model are drawn from, learned or learned again."""

from __future__ import annotations

import argparse
import dataclasses
import json

from pipelines.config import TRAIN
from pipelines.flags import parse
from vae_model.commands.arguments import add_code
from vae_model.model_folder.config import TrainConfig
from vae_model.relearning import PriorLearned, learn_prior


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    chosen = TrainConfig()
    result = argparse.ArgumentParser(
        prog="audio-vae prior",
        description="Learn what new sounds of a model are drawn from, and put it into MODEL in the place of what is "
        "there. `audio-vae train` ends with it; this is for models that have none, or another dataset or labels.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("dataset", metavar="DATASET", help="dataset folder made with the model's settings")
    result.add_argument("--split", default=TRAIN, metavar="S", help=f"which of its splits ({TRAIN})")
    result.add_argument(
        "--epochs", type=int, default=chosen.prior_epochs, metavar="N", help=f"passes ({chosen.prior_epochs})"
    )
    result.add_argument(
        "--width", type=int, default=chosen.prior_width, metavar="N", help=f"of the network ({chosen.prior_width})"
    )
    result.add_argument("--seed", type=int, default=0, metavar="N", help="makes it repeatable (0)")
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    add_code(result, feature=False)
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    done = learn_prior(
        arguments.model,
        arguments.dataset,
        split=arguments.split,
        epochs=arguments.epochs,
        width=arguments.width,
        seed=arguments.seed,
    )
    print(json.dumps(dataclasses.asdict(done)) if arguments.json else text(done))
    return 0


def text(done: PriorLearned) -> str:
    """What was learned, in a few lines."""
    known = ", ".join(f"{name} ({count} values)" for name, count in done.labels.items())
    if done.num_clusters:
        known = f"{done.num_clusters} kinds of sounds that it found"
    lines = [f"{done.folder}: {done.kind} of {done.num_latents:,} latents in {done.seconds:.0f} s"]
    if known:
        lines.append(f"it knows {known}{' and how sounds go on' if done.knows_before else ''}")
    if done.num_sounds:
        lines.append(f"sounds.parquet: {done.num_sounds} training sounds, for the map of audio-vae app")
    return "\n".join(lines)


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.prior")

"""The console command `audio-vae`: the commands on datasets and on models."""

from __future__ import annotations

import sys

from pipelines import cli

_DATA = cli.COMMANDS
COMMANDS = {
    "preprocess": _DATA["preprocess"],
    "info": _DATA["info"],
    "browse": ("vae_model.commands.browse", "write a page to see and hear what is in a dataset"),
    "verify": _DATA["verify"],
    "compact": _DATA["compact"],
    "prune": _DATA["prune"],
    "train": ("vae_model.commands.train", "learn a model from a dataset"),
    "prior": ("vae_model.commands.prior", "learn again what a model's new sounds are drawn from"),
    "evaluate": ("vae_model.commands.evaluate", "measure a model on held-out sounds, beside simple predictors"),
    "reconstruct": ("vae_model.commands.reconstruct", "pass audio through a model and write what comes out"),
    "generate": ("vae_model.commands.generate", "write new sounds from a model"),
    "continue": ("vae_model.commands.continuing", "write a recording that goes on after its end"),
    "vary": ("vae_model.commands.vary", "write sounds like a recording"),
    "interpolate": ("vae_model.commands.interpolate", "write sounds on the way from one to another"),
    "encode": ("vae_model.commands.encode", "write the latents of audio files into a Parquet file"),
    "decode": ("vae_model.commands.decode", "write the sounds of latents in a Parquet file"),
    "report": ("vae_model.commands.report", "write a page to see and hear what a model learned"),
    "export": ("vae_model.commands.export", "write a model that takes waveforms, for TensorFlow alone"),
    "app": ("vae_model.commands.app", "open a local web page to play with a model"),
    "rerun": ("vae_model.commands.rerun", "all of it again as far as audio is new: for schedules"),
    "watch": ("vae_model.commands.watch", "do preprocess or rerun whenever new audio has come"),
    "import-course": (
        "vae_model.commands.import_course",
        "make a model of one that the well-known course's save wrote",
    ),
    "import-npy": _DATA["import-npy"],
    "demo": ("vae_model.commands.demo", "all of it, on sounds that it makes itself"),
}
"""Of each command its module, and what it is for."""


def _allow_import(name: str) -> None:
    from vae_model.model_folder.own_code import allow_import

    allow_import(name)


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 the work failed, 2 wrong use, 3 too many failures."""
    words = sys.argv[1:] if argv is None else argv
    return cli.run(words, COMMANDS, argv is None, cli.CODE_FLAGS | {"--import": (_allow_import, ("train",))})


if __name__ == "__main__":
    sys.exit(main())

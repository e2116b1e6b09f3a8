"""The console command `audio-vae`. Each subcommand is imported only when it is asked for."""

from __future__ import annotations

import importlib
import sys

from pipelines.errors import AudioVaeError

COMMANDS = {
    "preprocess": ("pipelines.commands.preprocess", "turn folders of audio into a dataset, or bring one up to date"),
    "info": ("pipelines.commands.info", "show what is in a dataset"),
    "browse": ("vae_model.commands.browse", "write a page to see and hear what is in a dataset"),
    "verify": ("pipelines.commands.verify", "read every record of a dataset back and check it"),
    "prune": ("pipelines.commands.prune", "remove the folders of runs that a dataset no longer uses"),
    "train": ("vae_model.commands.train", "learn a model from a dataset"),
    "evaluate": ("vae_model.commands.evaluate", "measure a model on held-out sounds, beside simple predictors"),
    "reconstruct": ("vae_model.commands.reconstruct", "pass audio through a model and write what comes out"),
    "generate": ("vae_model.commands.generate", "write new sounds from a model"),
    "interpolate": ("vae_model.commands.interpolate", "write sounds on the way from one to another"),
    "encode": ("vae_model.commands.encode", "write the latents of audio files into a Parquet file"),
    "decode": ("vae_model.commands.decode", "write the sounds of latents in a Parquet file"),
    "report": ("vae_model.commands.report", "write a page to see and hear what a model learned"),
    "export": ("vae_model.commands.export", "write a model that takes waveforms, for TensorFlow alone"),
    "app": ("vae_model.commands.app", "open a local web page to play with a model"),
    "rerun": ("vae_model.commands.rerun", "all of it again as far as audio is new: for schedules"),
    "watch": ("vae_model.commands.watch", "do preprocess or rerun whenever new audio has come"),
    "demo": ("vae_model.commands.demo", "all of it, on sounds that it makes itself"),
}


def help_text() -> str:
    """The list of commands."""
    lines = [f"  {name:<12}{summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: audio-vae COMMAND …",
            "",
            "Turn a folder of audio into a dataset, learn a model of the sounds, and make sound from it.",
            "",
            *lines,
            "",
            "audio-vae COMMAND --help shows the options of a command.",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 the work failed, 2 wrong use, 3 too many failures."""
    is_own_process = argv is None
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(help_text())
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        print(f"audio-vae: COMMAND={argv[0]!r} must be one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    if is_own_process and argv[0] in ("preprocess", "rerun"):
        from pipelines.console import terminal

        terminal.settle()
    module, _ = COMMANDS[argv[0]]
    try:
        status: int = importlib.import_module(module).main(argv[1:])
    except AudioVaeError as error:
        print(f"audio-vae {argv[0]}: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print(f"audio-vae {argv[0]}: interrupted", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())

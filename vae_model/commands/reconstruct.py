"""The command `audio-vae reconstruct`: audio files through a model and back to sound."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.console.names import one_line, printable
from pipelines.errors import SourceError
from pipelines.flags import parse
from vae_model.commands.arguments import add_code, add_normalise, add_phase
from vae_model.model_folder.config import ORIGINAL_PHASE
from vae_model.sound.reconstruction import Reconstruction, reconstruct


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae reconstruct",
        description="Pass audio through a model and write what comes out: a WAV file for each input, of its length, at "
        "its place below the folder that is named. DIR/sources.json says what came of which file; what is of another "
        "one is never replaced.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("audio", metavar="AUDIO", nargs="+", help="audio files, or folders of them")
    result.add_argument("--output", required=True, metavar="DIR", help="folder for the WAV files")
    add_phase(result, ORIGINAL_PHASE)
    add_normalise(result)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    add_code(result)
    return result


def main(argv: list[str]) -> int:
    """Run the command: 0, or 1 when some of the files could not be used. Other errors are the caller's to print."""
    arguments = parse(parser(), argv)
    how = {"phase": arguments.phase, "normalise": arguments.normalise}
    done = reconstruct(arguments.model, arguments.audio, arguments.output, **how, tell=_tell)
    if arguments.json:
        print(json.dumps(done.to_dict()))
    return 1 if done.failed else 0


def _tell(outcome: Reconstruction | SourceError) -> None:
    """A line for each file."""
    if isinstance(outcome, SourceError):
        print(f"audio-vae reconstruct: {one_line(outcome)}", file=sys.stderr)
        return
    print(f"{printable(outcome.source)} -> {printable(outcome.path)}", file=sys.stderr)
    if outcome.warning:
        print(f"audio-vae reconstruct: warning: {printable(outcome.source)}: {outcome.warning}", file=sys.stderr)


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.reconstruct")

"""Flags that several commands share."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence

from vae_model.model_folder.config import PHASES


def add_seed(parser: argparse.ArgumentParser) -> None:
    """The flag `--seed`, None for a new one."""
    parser.add_argument(
        "--seed", type=int, metavar="S", help="the same seed gives the same sounds (default: a new one)"
    )


def add_phase(parser: argparse.ArgumentParser, *more: str) -> None:
    """The flag --phase: one of PHASES, or of `more`."""
    parser.add_argument(
        "--phase",
        choices=(*PHASES, *more),
        default=PHASES[0],
        help=f"how the phases are found, docs/sound.md (default: {PHASES[0]})",
    )


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; an unknown option ends the program with the nearest known one."""
    arguments, unknown = parser.parse_known_args(argv)
    for argument in unknown:
        flags = [flag for action in parser._actions for flag in action.option_strings]
        near = difflib.get_close_matches(argument.split("=")[0], flags, n=1)
        parser.error(f"{argument} must be an argument of this command" + (f": did you mean {near[0]}?" if near else ""))
    return arguments

"""Flags that several commands share."""

from __future__ import annotations

import argparse
import secrets

from pipelines.errors import require
from vae_model.model_folder.config import PHASES


def add_seed(parser: argparse.ArgumentParser) -> None:
    """The flag `--seed`, whose value `settled_seed` completes."""
    parser.add_argument(
        "--seed", type=int, metavar="S", help="the same seed gives the same sounds (default: a new one)"
    )


def settled_seed(given: int | None) -> int:
    """The seed that was given, or a new one. SettingError when it is out of range."""
    seed = secrets.randbelow(2**31) if given is None else given
    require(0 <= seed < 2**31, "--seed", seed, "at least 0 and below 2**31")
    return seed


def add_phase(parser: argparse.ArgumentParser, *more: str) -> None:
    """The flag --phase: one of PHASES, or of `more`."""
    parser.add_argument(
        "--phase",
        choices=(*PHASES, *more),
        default=PHASES[0],
        help=f"how the phases are found, docs/sound.md (default: {PHASES[0]})",
    )

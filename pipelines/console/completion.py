"""Completion of commands, options and files in a shell, as a script of that shell: a Tab starts no Python."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from pipelines.errors import require, require_package

SHELLS = ("bash", "zsh", "fish")
_PLACES = ("DATASET", "MODEL", "DIR", "PARQUET", "HTML", "CONFIG", "FOLDER", "FILE")
"""What the help calls the value of an option that is a file or a folder; all that is no option is one."""


def completion_script(shell: str, commands: Iterable[tuple[str, str, argparse.ArgumentParser]]) -> str:
    """The script for one of SHELLS. commands: of each its name, what it is for, and its parser."""
    require(shell in SHELLS, "SHELL", shell, f"one of {', '.join(SHELLS)}")
    require_package("shtab", "completion", "--print-completion")
    import shtab

    whole = argparse.ArgumentParser(prog="audio-vae", description="audio-vae")
    whole.add_argument("--version", action="store_true", help="show the versions that matter")
    choices = whole.add_subparsers()
    for name, summary, parser in commands:
        for action in parser._actions:
            if action.metavar in _PLACES or (not action.option_strings and not action.choices):
                vars(action)["complete"] = shtab.FILE
            if action.help is None:
                action.help = ""
        choices.add_parser(name, help=summary, description=summary, parents=[parser], add_help=False)
    return str(shtab.complete(whole, shell=shell))

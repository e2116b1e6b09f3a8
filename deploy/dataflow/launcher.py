"""The launcher of the Flex Template: its parameters become a call of `audio-vae preprocess` that does not wait."""

from __future__ import annotations

import sys

from pipelines.commands.preprocess import parser
from vae_model.cli import main


def command(flags: list[str]) -> list[str]:
    """The command line for a template's flags, each `--name=value`; `--input` has one or more URIs between commas."""
    actions = parser()._option_string_actions
    inputs: list[str] = []
    words: list[str] = []
    for flag in flags:
        name, _, value = flag.partition("=")
        action = actions.get(name)
        if name == "--input":
            inputs += [uri.strip() for uri in value.split(",") if uri.strip()]
        elif action is None:
            words.append(flag)  # what is Beam's
        elif action.nargs != 0 and value:
            words.append(flag)
        elif value.lower() == "true":
            words.append(name)
    return ["preprocess", *inputs, "--no-wait", "--json", *words]


if __name__ == "__main__":
    sys.exit(main(command(sys.argv[1:])))

"""`audio-vae verify`: read every record back and compare it with what the manifest and `dataset.json` say."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.beam.verify_on_beam import Verification, verify_dataset
from pipelines.errors import shown
from pipelines.flags import parse

_PROBLEMS_SHOWN = 20


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae verify", description="Read every record of a dataset back and check it against the manifest."
    )
    result.add_argument("dataset", metavar="DATASET")
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command: 0 when everything fits, 1 when something does not."""
    arguments = parse(parser(), argv)
    found = verify_dataset(arguments.dataset)
    if arguments.json:
        print(json.dumps(found.to_dict()))
    else:
        for problem in found.problems[:_PROBLEMS_SHOWN]:
            print(problem, file=sys.stderr)
        print(f"{shown(found.dataset.uri)}: {_result(found)}", file=sys.stderr)
    return 0 if found.ok else 1


def _result(found: Verification) -> str:
    """The whole of it in a few words."""
    if found.ok:
        return f"{found.dataset.num_examples:,} records are as they should be"
    count = len(found.problems)
    return f"{count} problems" + (f" (the first {_PROBLEMS_SHOWN} are shown)" if count > _PROBLEMS_SHOWN else "")


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("pipelines.commands.verify")

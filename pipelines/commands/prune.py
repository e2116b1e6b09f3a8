"""`audio-vae prune`: remove what no longer belongs to a dataset. Nothing else ever removes it."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.flags import parse
from pipelines.runs.pruning import prune_dataset


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae prune", description="Remove folders of runs and shards that the dataset no longer names."
    )
    result.add_argument("dataset", metavar="DATASET")
    result.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command."""
    arguments = parse(parser(), argv)
    pruning = prune_dataset(arguments.dataset, dry_run=arguments.dry_run)
    if arguments.json:
        print(json.dumps(pruning.to_dict()))
    else:
        verb = "removed" if pruning.removed else "would remove"
        for path in pruning.unused:
            print(f"{verb} {path}")
        print(f"{pruning.dataset}: {verb} {len(pruning.unused)} folders and shards", file=sys.stderr)
    return 0


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("pipelines.commands.prune")

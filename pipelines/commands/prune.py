"""`audio-vae prune`: remove what no longer belongs to a dataset. Nothing else ever removes it."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.dataset.folder import open_dataset
from pipelines.runs.pruning import _removed, unused
from pipelines.store.holding import lock


def main(argv: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="audio-vae prune", description="Remove folders of runs and shards that the dataset no longer names."
    )
    parser.add_argument("dataset", metavar="DATASET")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    arguments = parser.parse_args(argv)
    open_dataset(arguments.dataset)  # before the lock, which makes a folder that does not exist
    with lock(arguments.dataset):
        dataset = open_dataset(arguments.dataset)
        found = unused(dataset)
        if not arguments.dry_run:
            found = [path for path in found if _removed(dataset, path)]
    if arguments.json:
        print(json.dumps({"dataset": dataset.uri, "removed": [] if arguments.dry_run else found, "unused": found}))
    else:
        verb = "would remove" if arguments.dry_run else "removed"
        for path in found:
            print(f"{verb} {path}")
        print(f"{dataset.uri}: {verb} {len(found)} folders and shards", file=sys.stderr)
    return 0

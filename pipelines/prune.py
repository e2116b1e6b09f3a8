"""`audio-vae prune`: remove what no longer belongs to a dataset. Nothing else ever removes it."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines import store
from pipelines.dataset import MANIFEST_FILE, RUNS, Dataset, open_dataset, run_number
from pipelines.locking import clearing, lock


def unused(dataset: Dataset) -> list[str]:
    """Folders of runs that `dataset.json` does not name, and shards of the others that later runs replaced."""
    used = {shard.path for shard in dataset.shards}
    named = {run.name for run in dataset.runs}
    found = []
    for run in store.names(store.join(dataset.uri, RUNS)):
        if run not in named:
            found.append(f"{RUNS}/{run}")
            continue
        files = [name for name in store.names(dataset.run_uri(run)) if name != MANIFEST_FILE]
        found += [f"{RUNS}/{run}/{name}" for name in files if f"{RUNS}/{run}/{name}" not in used]
    return found


def _removed(dataset: Dataset, path: str) -> bool:
    """Remove a folder of a run or a shard. False when the run is about to be committed, where nothing locks."""
    uri = store.join(dataset.uri, path)
    name = path.split("/")[1]
    if run_number(name) <= dataset.runs[-1].number:
        store.remove_folder(uri)
        return True
    with clearing(uri) as may_clear:
        if may_clear and all(run.name != name for run in open_dataset(dataset.uri).runs):
            store.remove_folder(uri)
            return True
    return False


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

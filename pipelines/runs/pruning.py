"""Removes the folders of runs that a dataset no longer uses."""

from __future__ import annotations

from pipelines import store
from pipelines.dataset.folder import MANIFEST_FILE, RUNS, Dataset, open_dataset, run_number
from pipelines.runs.fate import clearing


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

"""Removes the folders of runs that a dataset no longer uses. Of what else lies there nothing is touched."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from pipelines import store
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.dataset.names import MANIFEST_FILE, RUNS, is_of_run, run_number
from pipelines.runs.fate import clearing
from pipelines.runs.folder import remove_run, require_own_folders
from pipelines.store.holding import lock
from pipelines.store.paths import Place


@dataclass(frozen=True)
class Pruning:
    """What a dataset does not name any more. unused: folders of runs, and shards, by their paths in the dataset.

    removed: whether they are gone; a run that is about to be committed is left alone, and not listed then.
    """

    dataset: str
    unused: tuple[str, ...]
    removed: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "dataset": self.dataset,
            "removed": [*self.unused] if self.removed else [],
            "unused": [*self.unused],
        }


def prune_dataset(dataset: Dataset | Place, *, dry_run: bool = False) -> Pruning:
    """Remove folders of runs and shards that a dataset no longer names: `audio-vae prune`. Nothing else removes them.

    dataset: an open one, or the path or URI of one. dry_run: only say what would be removed. The dataset is locked
    meanwhile: WorkError when a run is at work in it.

    >>> prune_dataset(dataset, dry_run=True).unused
    ()
    """
    uri = dataset.uri if isinstance(dataset, Dataset) else os.fspath(dataset)
    open_dataset(uri)  # before the lock, which makes a folder that does not exist
    with lock(uri):
        now = open_dataset(uri)
        found = find_unused(now)
        if not dry_run:
            found = [path for path in found if remove_unused(now, path)]
    return Pruning(store.shown(now.uri), tuple(found), removed=not dry_run)


def find_unused(dataset: Dataset) -> list[str]:
    """Folders of runs that `dataset.json` does not name, and shards of the others that later runs replaced.

    SettingError when a run's folder is a link to elsewhere.
    """
    require_own_folders(dataset.uri)
    used = {shard.path for shard in dataset.shards}
    named = {run.name for run in dataset.runs}
    found = []
    for run in store.names(store.join(dataset.uri, RUNS)):
        if run_number(run) < 0:
            continue
        if run not in named:
            found.append(f"{RUNS}/{run}")
            continue
        files = [name for name in store.names(dataset.run_uri(run)) if is_of_run(name) and name != MANIFEST_FILE]
        found += [f"{RUNS}/{run}/{name}" for name in files if f"{RUNS}/{run}/{name}" not in used]
    return found


def remove_unused(dataset: Dataset, path: str) -> bool:
    """Remove a folder of a run, or a shard. False when the run is about to be committed, where nothing locks."""
    uri = store.join(dataset.uri, path)
    _, name, *file = path.split("/")
    if file:
        store.remove_folder(uri)
        return True
    if run_number(name) <= dataset.runs[-1].number:
        remove_run(uri)
        return True
    with clearing(uri) as may_clear:
        if may_clear and all(run.name != name for run in open_dataset(dataset.uri).runs):
            remove_run(uri)
            return True
    return False

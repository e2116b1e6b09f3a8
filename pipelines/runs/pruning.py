"""Removes the folders of runs that a dataset no longer uses. Of what else lies there nothing is touched."""

from __future__ import annotations

from pipelines import store
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.dataset.names import MANIFEST_FILE, RUNS, is_of_run, run_number
from pipelines.runs.fate import clearing
from pipelines.runs.folder import remove_run, require_own_folders


def unused(dataset: Dataset) -> list[str]:
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


def _removed(dataset: Dataset, path: str) -> bool:
    """Remove a folder of a run or a shard. False when the run is about to be committed, where nothing locks."""
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

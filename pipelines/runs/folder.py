"""A run's folder: its name, what is in it while it is made, and clearing away what did not become one."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from pipelines import store
from pipelines.audio.limits import SourceLimits
from pipelines.config import DatasetConfig
from pipelines.dataset.folder import Dataset, is_dataset, open_dataset
from pipelines.dataset.names import (
    PLAN,
    RUNS,
    SCHEMA_FILE,
    is_of_plan,
    is_of_run,
    is_temporary,
    is_unfinished,
    run_number,
)
from pipelines.errors import AudioVaeError, SettingError
from pipelines.runs.fate import claim, clearing
from pipelines.store.paths import local_path

TASKS_FILE = "tasks.jsonl"
CARRIED_FILE = "carried.parquet"
FAILED_FILE = "failed.parquet"
"""Rows that move on from run to run: of sources that failed, and of duplicates."""


@dataclass(frozen=True)
class PlannedRun:
    """All that building and committing need besides the lines of the tasks file."""

    dataset_uri: str
    name: str
    config: DatasetConfig
    base_digest: str | None
    inputs: tuple[str, ...]
    num_tasks: int
    num_sources: int
    limits: SourceLimits = field(default_factory=SourceLimits)

    @property
    def uri(self) -> str:
        """The run's folder."""
        return store.join(self.dataset_uri, RUNS, self.name)

    @property
    def plan_uri(self) -> str:
        """The folder of the plan; gone when the run is committed."""
        return store.join(self.uri, PLAN)

    @property
    def tasks_uri(self) -> str:
        """The file with one line a shard."""
        return store.join(self.plan_uri, TASKS_FILE)


def open_base(dataset_uri: str) -> Dataset | None:
    """The committed dataset to build on, None for a new one. SettingError when the folder holds something else."""
    require_own_folders(dataset_uri)
    if is_dataset(dataset_uri):
        return open_dataset(dataset_uri)
    known = (RUNS, SCHEMA_FILE)
    foreign = [name for name in store.names(dataset_uri) if name not in known and not is_temporary(name)]
    foreign += [name for name in store.names(store.join(dataset_uri, RUNS)) if run_number(name) < 0]
    if foreign:
        raise SettingError(f"--output {dataset_uri}: must be a dataset or an empty folder, it holds {foreign[0]}")
    return None


def require_own_folders(dataset_uri: str) -> None:
    """SettingError when the runs of a local dataset lie elsewhere: what is written or removed there would be too.

    A link comes out of an archive or a repository like any other file, and leads wherever its maker wished.
    """
    path = local_path(dataset_uri)
    if path is None:
        return
    runs = os.path.join(path, RUNS)
    links = [runs] if os.path.realpath(runs) != os.path.join(os.path.realpath(path), RUNS) else []
    if os.path.isdir(runs):
        with os.scandir(runs) as entries:
            links += sorted(entry.path for entry in entries if run_number(entry.name) >= 0 and entry.is_symlink())
    if links:
        raise SettingError(f"DATASET {dataset_uri}: {links[0]} must be a folder of its own, not a link to elsewhere")


def remove_run(run_uri: str) -> None:
    """Remove what a run writes into its folder, and the folder when nothing else is in it."""
    plan = store.join(run_uri, PLAN)
    in_plan, names = store.names(plan), store.names(run_uri)
    if all(map(is_of_run, names)) and all(map(is_of_plan, in_plan)):
        store.remove_folder(run_uri)
        return
    if all(map(is_of_plan, in_plan)):
        in_plan = []
        store.remove_folder(plan)
    for folder, found, is_own in ((plan, in_plan, is_of_plan), (run_uri, names, is_of_run)):
        for name in found:
            if is_own(name) and name != PLAN:
                store.remove_folder(store.join(folder, name))


def clear_leftovers(
    dataset_uri: str, base: Dataset | None, own: str | None = None, keep: str | None = None
) -> list[str]:
    """Remove what killed runs left: folders numbered above the last committed run, plans, temporary files.

    own: the name of a run that has failed, which goes whatever its number. keep: of one that is being built and stays.
    """
    require_own_folders(dataset_uri)
    last = base.runs[-1].number if base else 0
    runs = store.join(dataset_uri, RUNS)
    cleared = []
    for name in store.names(runs):
        if run_number(name) >= 0 and (name == own or (run_number(name) > last and name != keep)):
            with clearing(store.join(runs, name)) as may_clear:
                if may_clear and name not in _committed(dataset_uri):
                    remove_run(store.join(runs, name))
                    cleared.append(store.join(runs, name))
    leftovers = [store.join(dataset_uri, name) for name in store.names(dataset_uri) if is_temporary(name)]
    if base is not None:
        latest = base.run_uri(base.runs[-1].name)
        leftovers += [store.join(latest, name) for name in store.names(latest) if is_unfinished(name)]
    for uri in leftovers:
        store.remove_folder(uri)
    return cleared + leftovers


@contextlib.contextmanager
def cleared_unless_done(dataset_uri: str, own: str | None = None) -> Iterator[None]:
    """Whatever goes wrong in the block, the run's folder is removed and the old dataset is as it was."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(AudioVaeError):  # what went wrong first is what to tell
            _remove_traces(dataset_uri, own)
        raise


def _remove_traces(dataset_uri: str, own: str | None) -> None:
    """Clear away a run that did not commit. It may have come so far after all: what is committed now stays."""
    from pipelines.building.supervision import end_children

    end_children()
    base = open_base(dataset_uri)
    clear_leftovers(dataset_uri, base, own)
    if local_path(dataset_uri) is not None and base is None and not is_dataset(dataset_uri):
        if not store.names(store.join(dataset_uri, RUNS)):
            store.remove_folder(store.join(dataset_uri, RUNS))
        store.remove_folder(store.join(dataset_uri, SCHEMA_FILE))


def _committed(dataset_uri: str) -> set[str]:
    """The names of the runs that exist now."""
    return {run.name for run in open_dataset(dataset_uri).runs} if is_dataset(dataset_uri) else set()


def make_run_folder(dataset_uri: str, number: int, taken: Collection[str]) -> str:
    """Make the folder of a new run, with its plan's in it, and return its name: nobody else's, even without a lock.

    taken: names of runs that were cleared away just now. One that is alive after all may still write there.
    """
    moment = datetime.datetime.now(datetime.timezone.utc)
    while True:
        name = f"{number:06d}-{moment:%Y%m%dT%H%M%SZ}"
        if name not in taken and claim(store.join(dataset_uri, RUNS, name)):
            return name
        moment += datetime.timedelta(seconds=1)

"""A run's folder: its name, what is in it while it is made, and clearing away what did not become one."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from dataclasses import dataclass

from pipelines import store
from pipelines.config import DatasetConfig
from pipelines.dataset.folder import RUNS, SCHEMA_FILE, Dataset, is_dataset, open_dataset, run_number
from pipelines.errors import SettingError
from pipelines.runs.fate import PLAN, claim, clearing

TASKS_FILE = "tasks.jsonl"
CARRIED_FILE = "carried.parquet"
FAILED_FILE = "failed.parquet"


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
    if is_dataset(dataset_uri):
        return open_dataset(dataset_uri)
    foreign = [name for name in store.names(dataset_uri) if name not in (RUNS, SCHEMA_FILE) and ".tmp-" not in name]
    foreign += [name for name in store.names(store.join(dataset_uri, RUNS)) if run_number(name) < 0]
    if foreign:
        raise SettingError(f"--output {dataset_uri}: must be a dataset or an empty folder, it holds {foreign[0]}")
    return None


def clear_leftovers(
    dataset_uri: str, base: Dataset | None, own: str | None = None, keep: str | None = None
) -> list[str]:
    """Remove what killed runs left: folders numbered above the last committed run, plans, temporary files.

    own: the name of a run that has failed, which goes whatever its number. keep: of one that is being built and stays.
    """
    last = base.runs[-1].number if base else 0
    runs = store.join(dataset_uri, RUNS)
    cleared = []
    for name in store.names(runs):
        if name == own or (run_number(name) > last and name != keep):
            with clearing(store.join(runs, name)) as may_clear:
                if may_clear and name not in _committed(dataset_uri):
                    store.remove_folder(store.join(runs, name))
                    cleared.append(store.join(runs, name))
    leftovers = [store.join(dataset_uri, name) for name in store.names(dataset_uri) if ".tmp-" in name]
    if base is not None:
        own = base.run_uri(base.runs[-1].name)
        leftovers += [store.join(own, name) for name in store.names(own) if name == PLAN or name.startswith(".")]
    for uri in leftovers:
        store.remove_folder(uri)
    return cleared + leftovers


def _committed(dataset_uri: str) -> set[str]:
    """The names of the runs that exist now."""
    return {run.name for run in open_dataset(dataset_uri).runs} if is_dataset(dataset_uri) else set()


def _new_folder(dataset_uri: str, number: int, taken: Collection[str]) -> str:
    """Make the folder of a new run, with its plan's in it, and return its name: nobody else's, even without a lock.

    taken: names of runs that were cleared away just now. One that is alive after all may still write there.
    """
    moment = datetime.datetime.now(datetime.timezone.utc)
    while True:
        name = f"{number:06d}-{moment:%Y%m%dT%H%M%SZ}"
        if name not in taken and claim(store.join(dataset_uri, RUNS, name)):
            return name
        moment += datetime.timedelta(seconds=1)

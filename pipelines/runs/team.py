"""The builders of this machine at work on a run: they begin when it is planned, whoever takes the shards from them.

Until Beam is imported and has a job on its way, a run of ten thousand files could be half done. So builders don't wait
for it: the job's step takes each shard from here, as it comes to it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from pipelines.building.shards import BuiltShard
from pipelines.building.supervision import SupervisedBuilder, end_children
from pipelines.dataset.names import FAILED
from pipelines.runs import plan_files
from pipelines.runs.folder import PlannedRun

_teams: dict[str, Team] = {}


@dataclasses.dataclass(frozen=True)
class Team:
    """Shards that are built, or will be, by where their lines are in the plan, in the order in which they are built."""

    shards: dict[tuple[int, int], Future[BuiltShard]]

    def take(self, place: tuple[int, int]) -> BuiltShard:
        """A shard, as soon as it is built, with the rows of failures alone: the others lie beside the plan. WorkError
        when it can't be built."""
        return self.shards[place].result()


@contextlib.contextmanager
def at_work(
    run: PlannedRun, workers: int | None, decode_timeout_seconds: float, progress_folder: str | None
) -> Iterator[Team]:
    """Build all shards of a run, from now on. The block takes them; when it fails, no more of them are built.

    workers: processes, all cores unless given.
    """
    places = list(plan_files.task_ranges(run.tasks_uri))
    of_thread = threading.local()
    builders: list[SupervisedBuilder] = []

    def build(place: tuple[int, int]) -> BuiltShard:
        if not hasattr(of_thread, "builder"):
            of_thread.builder = SupervisedBuilder(run.config, decode_timeout_seconds, progress_folder, run.limits)
            builders.append(of_thread.builder)
        built = plan_files.build_task(run, place, of_thread.builder)
        return dataclasses.replace(built, rows=[row for row in built.rows if row["status"] == FAILED])

    with ThreadPoolExecutor(max(1, min(workers or os.cpu_count() or 1, len(places)))) as pool:
        team = _teams[run.uri] = Team({place: pool.submit(build, place) for place in places})
        try:
            yield team
        except BaseException:
            end_children()  # else the pool waits for what nobody needs any more
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            del _teams[run.uri]
            for builder in builders:
                builder.close()


def team_of(run: PlannedRun) -> Team | None:
    """Those in this process that are at work on a run, if there are any."""
    return _teams.get(run.uri)

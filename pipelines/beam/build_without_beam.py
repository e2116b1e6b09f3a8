"""A run of a few shards on this machine, without Beam: starting Beam would take longer than the work.

The same plan, builders and commit as in `transforms.py`, and the same bytes.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from pipelines.building.shards import ShardSummary
from pipelines.building.supervision import SupervisedBuilder, end_children
from pipelines.dataset.records import merged_range
from pipelines.runs import committing, plan_files
from pipelines.runs.folder import PlannedRun

FEW_SHARDS = 4
"""Up to so many shards are built this way. They hold about 16 MB at most, or one long file that has no shares."""


def run_directly(
    run: PlannedRun, workers: int | None, decode_timeout_seconds: float, progress_folder: str | None
) -> None:
    """Build a planned run's shards, each in a supervised process, and commit it. Errors are those of the two."""
    places = list(plan_files.task_ranges(run.tasks_uri))
    threads = max(1, min(workers or os.cpu_count() or 1, len(places)))

    def build(share: list[tuple[int, int]]) -> list[ShardSummary]:
        builder = SupervisedBuilder(run.config, decode_timeout_seconds, progress_folder, run.limits)
        try:
            return [plan_files.build_task(run, place, builder).summary for place in share]
        finally:
            builder.close()

    with ThreadPoolExecutor(threads) as pool:
        try:
            shares = pool.map(build, [places[i::threads] for i in range(threads)])
            summaries = [summary for share in shares for summary in share]
        except BaseException:
            end_children()  # else the pool waits for what nobody needs any more
            raise
    ranges = [(summary.min_db, summary.max_db) for summary in summaries]
    committing.commit(run, summaries, merged_range(ranges))

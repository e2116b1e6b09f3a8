"""A run of a few shards on this machine, without Beam: starting Beam would take longer than the work.

The same plan, builders and commit as in `build_on_beam.py`, and the same bytes.
"""

from __future__ import annotations

from pipelines.dataset.records import merged_range
from pipelines.runs import committing
from pipelines.runs.folder import PlannedRun
from pipelines.runs.team import at_work

FEW_SHARDS = 4
"""Up to so many shards are built this way. They hold about 16 MB at most, or one long file that has no shares."""


def run_directly(
    run: PlannedRun, workers: int | None, decode_timeout_seconds: float, progress_folder: str | None
) -> None:
    """Build a planned run's shards, each in a supervised process, and commit it. Errors are those of the two."""
    with at_work(run, workers, decode_timeout_seconds, progress_folder) as team:
        summaries = [team.take(place).summary for place in team.shards]
    ranges = [(summary.min_db, summary.max_db) for summary in summaries]
    committing.commit(run, summaries, merged_range(ranges))

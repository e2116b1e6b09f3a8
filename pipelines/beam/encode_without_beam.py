"""`encode` on this machine where Beam is not installed.

The same plan, builders, parts and commit as in `encode_on_beam.py`, and the same bytes.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from pipelines.building.supervision import SupervisedBuilder, end_children
from pipelines.runs import encoding_run, plan_files
from pipelines.runs.encoding_run import EncodingRun, Part, RecordBatch


def encode_directly(run: EncodingRun, workers: int | None, progress_folder: str | None) -> None:
    """Do a planned run, each shard decoded in a supervised process, and commit it. Errors are those of the two."""
    places = list(plan_files.task_ranges(run.tasks_uri))
    threads = max(1, min(workers or os.cpu_count() or 1, len(places)))
    model = run.load()

    def encode(share: list[tuple[int, int]]) -> tuple[list[Part], list[Part]]:
        parts, rows = [], []
        builder = SupervisedBuilder(run.config, run.decode_timeout_seconds, progress_folder, run.limits)
        try:
            for place in share:
                for read in encoding_run.read_shard(run, place, builder):
                    if isinstance(read, RecordBatch):
                        parts.append(encoding_run.encode_batch(run, read, model))
                    else:
                        rows.append(read)
        finally:
            builder.close()
        return parts, rows

    with ThreadPoolExecutor(threads) as pool:
        try:
            done = list(pool.map(encode, [places[i::threads] for i in range(threads)]))
        except BaseException:
            end_children()  # else the pool waits for what nobody needs any more
            raise
    encoding_run.commit(run, [part for parts, _ in done for part in parts], [row for _, rows in done for row in rows])

"""The child process that builds shards.

A request on standard input is two lines: a JSON object with its places, and the task as it stands in the plan. The
reply on standard output is one JSON line.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

from pipelines.audio.child import open_answers, write_line
from pipelines.audio.limits import SourceLimits
from pipelines.building.counters import PROGRESS_FILE, Progress
from pipelines.building.shards import NOBODY, build_shard, copy_shard
from pipelines.building.task import ShardTask, task_from_line
from pipelines.config import DatasetConfig, allow_feature
from pipelines.errors import AudioVaeError


def _requests(folder: str) -> Iterator[tuple[dict[str, Any], ShardTask]]:
    """The requests on standard input. A thread reads them, so that the end of the parent ends this process at once."""
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            lines.put(line)
        _leave(folder, 0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(lines.get()), task_from_line(lines.get())


def _leave(folder: str, status: int) -> None:
    """End this process and remove its folder, and the one above when it is the last in there.

    At once, because an interpreter that shuts down while a thread reads standard input aborts.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(folder))
    os._exit(status)


def main() -> None:
    """The child: build one task after the other."""
    folder, config_json, limits_json = sys.argv[1:]
    replies = open_answers()
    requests = _requests(folder)
    progress = Progress(os.path.join(folder, PROGRESS_FILE))
    config = DatasetConfig.from_dict(json.loads(config_json))
    limits = SourceLimits(**json.loads(limits_json))
    allow_feature(config.spectrogram.feature)  # whoever planned the run had to
    write_line(replies, {})
    for request, task in requests:
        write_line(replies, _build(config, limits, progress, request, task))


def _build(
    config: DatasetConfig, limits: SourceLimits, progress: Progress, request: dict[str, Any], task: ShardTask
) -> dict[str, Any]:
    before = progress.read()
    ticks, at, last, earlier, reached = before["ticks"], NOBODY, 0.0, 0.0, 0

    def watch(index: int, seconds: float) -> None:
        nonlocal ticks, at, last, earlier, reached
        if index != at:
            at, earlier = index, earlier + last
        last = seconds
        ticks += 1
        reached = max(reached, index)
        progress.at_hand(ticks, index, reached, earlier + seconds)

    try:
        if task.copy_of is not None:
            built = copy_shard(task, request["dataset"], request["run"], config.dtype, config.label_pattern)
        else:
            failed = {int(index): tuple(reason) for index, reason in request["failed"].items()}
            built = build_shard(task, config, request["run"], failed, watch, limits)  # type: ignore[arg-type]
    except AudioVaeError as error:
        return {"error": str(error)}
    finally:
        progress.idle()
    seconds = before["seconds"] + built.summary.seconds
    progress.done(before["sources"] + len(task.sources), seconds, before["shards"] + 1)
    return {"summary": vars(built.summary), "rows": built.rows}


def _run() -> None:
    """Run `main`; an error in it is told on standard error, and ends the process."""
    try:
        main()
    except BaseException:  # noqa: BLE001 - told and ended below
        traceback.print_exc()
        sys.stderr.flush()
        _leave(sys.argv[1], 1)


if __name__ == "__main__":
    _run()

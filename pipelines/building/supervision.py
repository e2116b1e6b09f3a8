"""Shards are built in a process of their own, with a deadline: a decoder that hangs or crashes costs its file only.

A worker keeps one light process (no Beam, no TensorFlow) and sends it one task after the other. The process counts
what it has done in a small memory-mapped file; that is its sign of life, and what a progress display adds up.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import tempfile
import time
from typing import Any

from pipelines.audio.child import START_SECONDS, Child, Ended
from pipelines.audio.limits import SourceLimits
from pipelines.building.counters import PROGRESS_FILE, Progress
from pipelines.building.shards import BuiltShard, ShardSummary
from pipelines.building.task import DEADLINE, task_from_line
from pipelines.config import DatasetConfig
from pipelines.errors import WorkError
from pipelines.space import why_unwritten

_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
_POLL_SECONDS = 0.5
BUILDER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc keeps freed memory for the next file: giving it back and taking it again costs a fifth of the time
    "MALLOC_MMAP_THRESHOLD_": str(1 << 26),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 26),
}


class _Children:
    """The builders of this process. generation: how often all of them were ended."""

    def __init__(self) -> None:
        self.running: set[Child] = set()
        self.generation = 0


_children = _Children()


def end_children() -> None:
    """End all builder processes of this process for good: the run is over."""
    _children.generation += 1
    for child in list(_children.running):
        child.kill()


class SupervisedBuilder:
    """Builds shards in a child process.

    timeout_seconds: without a sign of life for so long, the source at hand fails. progress_folder: a local folder to
    count in, made if need be, None for a private one. limits: what a source is let be. Not safe for threads: one for
    each.
    """

    def __init__(
        self,
        config: DatasetConfig,
        timeout_seconds: float,
        progress_folder: str | None = None,
        limits: SourceLimits | None = None,
    ) -> None:
        self.config = config
        self.limits = limits or SourceLimits()
        self.timeout_seconds = timeout_seconds
        self._own_folder = None if progress_folder else tempfile.TemporaryDirectory(prefix="audio-vae-")
        self._folder = progress_folder or self._own_folder.name  # type: ignore[union-attr]
        self._child: Child | None = None
        self._generation = _children.generation

    def build(self, task: bytes, dataset_uri: str, run_uri: str) -> BuiltShard:
        """Build or copy a shard; a source that can't be decoded becomes a row. WorkError when it can't be written.

        task: its line of the plan, that the child opens.
        """
        failed: dict[int, tuple[str, str]] = {}
        killed_at: set[int] = set()
        while True:
            reply = self._ask({"dataset": dataset_uri, "run": run_uri, "failed": failed}, task)
            if reply is not None:
                if "error" in reply:
                    raise WorkError(reply["error"])
                return BuiltShard(ShardSummary(**reply["summary"]), reply["rows"])
            index, reason, is_killed = self._end_child()
            if is_killed and index not in killed_at:
                killed_at.add(index)  # memory may have been short for another's sake: the source gets a second chance
                continue
            if index < 0 or index in failed:
                raise WorkError(f"{run_uri}/{task_from_line(task).shard}: cannot be built: {reason}")
            failed[index] = ("decode", reason)

    def close(self) -> None:
        """End the child process, unless others still read what it has counted: then it ends with this process."""
        if self._own_folder is None:
            return
        if self._child is not None:
            self._child.end()
            _children.running.discard(self._child)
            self._child = None
        self._own_folder.cleanup()

    def _start(self) -> Child:
        if self._generation != _children.generation:
            raise WorkError("the run has ended")
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            folder = tempfile.mkdtemp(dir=self._folder)
            self._progress = Progress(os.path.join(folder, PROGRESS_FILE), create=True)
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        except OSError as error:
            raise WorkError(f"{self._folder}: cannot be written: {why_unwritten(error, self._folder)}") from error
        arguments = [folder, json.dumps(self.config.to_dict()), json.dumps(dataclasses.asdict(self.limits))]
        environment = BUILDER_ENVIRONMENT | {"TMPDIR": folder}
        child = Child("pipelines.building.builder", arguments, environment, self._errors)
        _children.running.add(child)
        self._wait_reply(child, starting=True)
        return child

    def _ask(self, request: dict[str, Any], task: bytes) -> dict[str, Any] | None:
        """Send a task and wait for its result; None when the child hung or ended."""
        if self._child is None:
            self._child = self._start()
        try:
            self._child.send(request, task)
        except Ended:
            return None
        return self._wait_reply(self._child)

    def _wait_reply(self, child: Child, starting: bool = False) -> dict[str, Any] | None:
        ticks, since = -1, time.monotonic()
        self._hung = False
        while not child.wait(_POLL_SECONDS):
            counters = self._progress.read()
            is_at_work = starting or counters["index"] >= 0
            if counters["ticks"] != ticks:
                ticks, since = counters["ticks"], time.monotonic()
            elif is_at_work and time.monotonic() - since > (START_SECONDS if starting else self.timeout_seconds):
                self._hung = True
                return None
        try:
            reply: dict[str, Any] = child.receive()
        except Ended:
            return None
        return reply

    def _end_child(self) -> tuple[int, str, bool]:
        """End a child that hung or ended by itself.

        Returns the source that it was at (-1: not the source's fault), the reason, and whether the system killed it.
        """
        assert self._child is not None
        child, self._child = self._child, None
        child.end(kill=self._hung)
        _children.running.discard(child)
        index = int(self._progress.read()["index"])
        self._progress.idle()
        if self._hung:
            return index, f"no progress for {self.timeout_seconds:g} s ({DEADLINE})", False
        if -child.status in _CRASHES:
            return index, f"the decoder crashed ({signal.Signals(-child.status).name})", False
        if -child.status == signal.SIGKILL:
            return index, "the decoder was killed twice (SIGKILL), as when memory is short", True
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        reason = f"its process ended with status {child.status}" + (f": {said[-1]}" if said else "")
        return -1, reason, False

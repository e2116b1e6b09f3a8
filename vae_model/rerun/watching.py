"""Waits for new audio and runs a command when it has settled."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from pipelines import store
from pipelines.audio.sources import list_sources
from pipelines.console.counts import failures_so_far
from pipelines.console.durations import in_words
from pipelines.errors import AudioVaeError, SettingError
from pipelines.signals import handling
from pipelines.store.paths import Place

_LONGEST_WAIT_SECONDS = 3600.0


@dataclass(frozen=True)
class Watched:
    """What came of watching. runs: of the command. exit_status: 0, or 2 when the first said that a setting is wrong."""

    runs: int
    exit_status: int


def watch(
    inputs: Place | Sequence[Place],
    command: Sequence[str],
    *,
    interval_seconds: float = 60.0,
    settle_seconds: float = 30.0,
    every_seconds: float | None = None,
    as_json: bool = False,
) -> Watched:
    """Run a command whenever audio came and no file has changed for a while: `audio-vae watch`. Ctrl-C ends it.

    inputs: folders, files or URIs to look at, which may still be empty. command: words after `audio-vae`, such as
    ["preprocess", "recordings/", "--output", "dataset/"] or ["rerun", "rerun.yaml"]. interval_seconds: between two
    looks. settle_seconds: without a change before a run begins. every_seconds: run it that often in any case. as_json:
    print what came of each run as a JSON object in a line. SettingError when the inputs can't be looked at.

    >>> watch(folder / "nowhere", ["preprocess", "nowhere", "--output", "dataset"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    pipelines.errors.SettingError: INPUT ...nowhere: ...
    """
    places = [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs
    looks = [os.fspath(place) for place in places]
    watcher = Watch(looks, list(command), interval_seconds, settle_seconds, every_seconds, as_json)
    with handling(watcher.stop):
        status = watcher.run()
    return Watched(watcher.runs, status)


@dataclass
class Watch:
    """Looks at inputs every interval_seconds, and runs a command of audio-vae when they have changed and settled.

    inputs: folders, files or URIs. command: words after `audio-vae`. every_seconds: run it that often in any case.
    Each run is a process of its own, so that nothing of it stays, however it ends.
    """

    inputs: Sequence[str]
    command: Sequence[str]
    interval_seconds: float
    settle_seconds: float
    every_seconds: float | None = None
    as_json: bool = False
    runs: int = 0
    _asked: threading.Event = field(default_factory=threading.Event)
    _child: subprocess.Popen[str] | None = None
    _taken: str | None = None  # what the inputs held when they were last taken in
    _succeeded: bool = False
    _failures: int = 0
    _ran: float = -float("inf")

    def run(self) -> int:
        """Watch until `stop` is called. Returns 0, or 2 when the first run says that a setting is wrong."""
        found = self._look(first=True)
        places = " ".join(map(store.shown, self.inputs))
        _say(f"watching {places}, every {in_words(self.interval_seconds)}; Ctrl-C ends it")
        while not self._asked.is_set():
            wait = self.interval_seconds
            if self._is_due(found) and (found := self._wait_until_settled(found)) is not None:
                status = self._take(found)
                if status == SettingError.exit_status and not self._succeeded:
                    return status
                wait = min(wait * 2**self._failures, max(wait, _LONGEST_WAIT_SECONDS))
            self._asked.wait(wait)
            found = None if self._asked.is_set() else self._look()
        _say("stopped")
        return 0

    def stop(self, number: int, frame: FrameType | None) -> None:
        """End after asking a run at work to end; asked again, end that at once. A handler of signals."""
        if self._child is not None:
            (self._child.kill if self._asked.is_set() else self._child.terminate)()
        self._asked.set()

    def _is_due(self, found: str | None) -> bool:
        late = self.every_seconds is not None and time.monotonic() - self._ran >= self.every_seconds
        return found is not None and (found != self._taken or late)

    def _look(self, first: bool = False) -> str | None:
        """What the inputs hold, None when that is nothing or cannot be told. SettingError at the first look alone."""
        try:
            listing = list_sources(self.inputs)
        except (AudioVaeError, OSError) as error:
            if first and isinstance(error, SettingError):
                raise
            _say(f"cannot look: {error}")
            return None
        return listing.digest if len(listing.table) else None

    def _wait_until_settled(self, found: str | None) -> str | None:
        """What the inputs hold once they have not changed for a while; None when asked to end, or nothing is there."""
        while found is not None and not self._asked.wait(self.settle_seconds):
            again = self._look()
            if again == found:
                return found
            found = again
        return None

    def _take(self, found: str) -> int:
        """Run the command on what the inputs hold, and say in a line what came of it. Returns its exit status."""
        self._ran = time.monotonic()
        self.runs += 1
        command = [sys.executable, "-m", "vae_model.cli", *self.command, "--json", f"--expected-listing={found}"]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # In a session of its own, Ctrl-C reaches it through us alone: it must be asked to end only once.
        self._child = subprocess.Popen(command, start_new_session=True, **pipes)
        if self._asked.is_set():
            self._child.terminate()
        out, err = self._child.communicate()
        status, self._child = self._child.returncode, None
        if status == 0:
            values = json.loads(out)
            # A rerun that goes on with an interrupted training leaves the audio for the next one.
            self._taken = found if "dataset" in values.get("stages", {}).get("preprocess", values) else None
            self._succeeded, self._failures = True, 0
            _say(_result(values))
        elif not self._asked.is_set() and self._look() == found:
            self._failures += 1
            lines = err.strip().splitlines() or [f"ended with status {status}"]
            _say(f"failed with status {status}: {lines[-1]}")
        if self.as_json and out.strip():
            print(out.strip(), flush=True)
        return status


def _result(values: dict[str, Any]) -> str:
    """What came of a run, from its JSON object."""
    if "stages" in values:
        stages = ", ".join(f"{name} {stage['status']}" for name, stage in values["stages"].items())
        return f"{values['status']}: {stages}; in use is {values['promoted']}"
    so_far = failures_so_far(values["sources"]["failed"])
    if values["status"] == "unchanged":
        return f"unchanged: {values['sources']['found']:,} sources{so_far}"
    own = values["this_run"]
    counts = f"{own['written']:,} sources written, {own['failed']:,} failed, {own['removed']:,} removed"
    return f"committed {values['run']}: {counts}; {values['num_examples']:,} records{so_far}"


def _say(line: str) -> None:
    print(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {line}", file=sys.stderr, flush=True)

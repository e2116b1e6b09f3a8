"""A Flink cluster over its REST interface: asked before a job, and told when a job is interrupted."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

from apache_beam.options.pipeline_options import FlinkRunnerOptions, GoogleCloudOptions, PipelineOptions

ANSWER_SECONDS = 10.0
LOCAL_FLINK = ("[local]", "[auto]")


@contextlib.contextmanager
def same_interrupt_after() -> Iterator[None]:
    """Ctrl-C does after the block what it did before: Beam has it end its job server, and then no job can be ended."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def flink_job_ended_when_interrupted(job: PipelineOptions) -> Iterator[None]:
    """Ask the cluster itself to end the job: Ctrl-C on a terminal ends a job server as well."""
    master, name = job.view_as(FlinkRunnerOptions).flink_master, job.view_as(GoogleCloudOptions).job_name
    try:
        yield
    except KeyboardInterrupt:
        if master not in LOCAL_FLINK and name:
            with contextlib.suppress(OSError, ValueError, KeyError):
                for found in ask_flink(master, "/jobs/overview")["jobs"]:
                    if found["name"] == name:
                        ask_flink(master, f"/jobs/{found['jid']}", method="PATCH")
        raise


def ask_flink(master: str, path: str, method: str = "GET") -> Any:
    """What a Flink cluster's REST interface answers. ValueError when it is not JSON, OSError when nothing answers."""
    address = (master if "://" in master else f"http://{master}").rstrip("/")
    request = urllib.request.Request(address + path, method=method)
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        return json.load(answer)

"""Beam's own servers, each in a process of its own, for tests of the portable protocols."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.places import ROOT
from tests.helpers.servers import free_port, program


@contextlib.contextmanager
def server(module: str, port: int, *arguments: str) -> Iterator[None]:
    """A server of Beam's in a process of its own, once it answers; ended with the block."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with program([sys.executable, "-m", module, *arguments], port, PYTHONPATH=str(ROOT), PATH=programs):
        yield


@contextlib.contextmanager
def job_service() -> Iterator[list[str]]:
    """A job service and a pool of workers; yields the flags that send a job there."""
    jobs, pool = free_port(), free_port()
    runner = "apache_beam.runners"
    with (
        server(f"{runner}.portability.local_job_service_main", jobs, "--job_port", str(jobs)),
        server(f"{runner}.worker.worker_pool_main", pool, "--service_port", str(pool)),
    ):
        options = ["--runner", "PortableRunner", "--job_endpoint", f"localhost:{jobs}"]
        yield [*options, "--environment_type", "EXTERNAL", "--environment_config", f"localhost:{pool}"]

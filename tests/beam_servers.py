"""Beam's own servers, each in a process of its own, for tests of the portable protocols."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from conftest import ROOT


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(module: str, port: int, *arguments: str) -> Iterator[None]:
    """A server of Beam's in a process of its own, once it answers; ended with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=dict(
            os.environ, PYTHONPATH=str(ROOT), PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                assert process.poll() is None, f"{module} ended with status {process.returncode}"
                assert time.monotonic() < deadline, f"{module} does not listen on port {port}"
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


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

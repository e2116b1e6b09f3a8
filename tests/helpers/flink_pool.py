"""Beam's worker pool on one address alone: `python tests/helpers/flink_pool.py HOST PORT`.

Beam's own `worker_pool_main` listens on all of a machine's addresses, as it should in a TaskManager's pod. Two
TaskManagers on one machine need two pools at the same port: a pool knows its workers by numbers that each TaskManager
counts from 1.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer, kill_process_gracefully
from apache_beam.utils import thread_pool_executor


def main(host: str, port: str) -> None:
    """Serve until SIGTERM, then end the workers."""
    pool = BeamFnExternalWorkerPoolServicer(use_process=True)
    server = grpc.server(thread_pool_executor.shared_unbounded_instance())
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    if server.add_insecure_port(f"{host}:{port}") != int(port):
        sys.exit(f"{host}:{port} can't be listened on")
    server.start()

    def stop(signum: int, frame: Any) -> None:
        for worker in list(pool._worker_processes.values()):
            kill_process_gracefully(worker)
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])

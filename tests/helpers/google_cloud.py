"""Google Cloud on loopback for the tests: an emulator of Cloud Storage, and a service that takes Dataflow's jobs.

Dataflow's answers are those that its REST reference describes: creating a job whose name an active job has returns that
job. Nothing runs; a test reads what was handed over.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage


@dataclass
class Dataflow:
    """The jobs that were handed over, in their order.

    refusal: status and text of all answers, for a while. outcome: of a job that is looked at. messages: what it said.
    """

    port: int = 0
    outcome: str = "JOB_STATE_RUNNING"
    messages: list[str] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    refusal: tuple[int, str] | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        for other in self.jobs:
            if other["name"] == job["name"] and other["currentState"] == "JOB_STATE_RUNNING":
                return other
        number = len(self.jobs) + 1
        self.jobs.append({**job, "id": f"job-{number}", "currentState": "JOB_STATE_RUNNING"})
        return self.jobs[-1]


def _handler(dataflow: Dataflow) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self, values: dict[str, Any]) -> None:
            status = 200
            if dataflow.refusal:
                status, text = dataflow.refusal
                values = {"error": {"code": status, "message": text}}
            data = json.dumps(values).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _body(self) -> dict[str, Any]:
            body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            return body

        def _job(self) -> dict[str, Any]:
            name = re.search(r"/jobs/([^/?]+)", self.path)
            assert name is not None
            return next(job for job in dataflow.jobs if job["id"] == name[1])

        def do_POST(self) -> None:
            job = self._body()
            self._answer({} if dataflow.refusal else dataflow.create(job))

        def do_GET(self) -> None:
            said = [
                {
                    "id": str(i),
                    "time": "2026-01-01T00:00:00Z",
                    "messageText": text,
                    "messageImportance": "JOB_MESSAGE_ERROR",
                }
                for i, text in enumerate(dataflow.messages)
            ]
            job = self._job()
            job["currentState"] = dataflow.outcome
            self._answer({"jobMessages": said} if "/messages" in self.path else job)

        def do_PUT(self) -> None:
            job = self._job()
            job["currentState"] = self._body()["requestedState"]
            self._answer(job)

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    return Handler


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up on what they no longer want to read."""


@contextlib.contextmanager
def _serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[int]:
    server = _Server(("localhost", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def dataflow_service() -> Iterator[Dataflow]:
    """A Dataflow without jobs."""
    dataflow = Dataflow()
    with _serving(_handler(dataflow)) as dataflow.port:
        yield dataflow


@contextlib.contextmanager
def storage_service(bucket: str, handler: type[RequestHandler] = RequestHandler) -> Iterator[str]:
    """Cloud Storage in memory with a bucket; yields its URL. handler: what answers requests."""
    storage = Storage(use_memory_fs=True)
    create_bucket(bucket, storage)
    with _serving(functools.partial(handler, storage)) as port:
        yield f"http://localhost:{port}"

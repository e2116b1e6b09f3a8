"""A real HTTP proxy in front of an object store's server: it counts what it passes on and fails when it is told to."""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

_OWN_HEADERS = {"connection", "transfer-encoding", "keep-alive"}
_NOT_PASSED_ON = {*_OWN_HEADERS, "content-length", "date", "server"}
_WRITES = {"PUT", "POST", "DELETE", "PATCH"}


@dataclass
class Fault:
    """What goes wrong with requests whose `METHOD path` holds a match of the pattern, so many times.

    status: answered instead of the store. cut_after: bytes of the answer's body after which the connection is closed.
    lost: the store does what it is asked, and the connection is closed before its answer. delay_seconds: before
    anything happens. before: called first.
    """

    pattern: str
    times: int = 1
    status: int | None = None
    message: str = "made by the test"
    cut_after: int | None = None
    lost: bool = False
    delay_seconds: float = 0.0
    before: Callable[[], object] | None = None
    seen: int = 0


@dataclass
class Request:
    """One that was made: the bytes of its answer's body as they were passed on."""

    line: str
    status: int
    num_bytes: int
    range: str | None


@dataclass
class FaultyStore:
    """The proxy. faults are tried in their order, the first that matches happens."""

    upstream_port: int
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    one_write: threading.Lock = field(default_factory=threading.Lock)  # moto compares, then writes, in many threads

    def fails(self, pattern: str, **options: object) -> Fault:
        """Let something go wrong."""
        fault = Fault(pattern, **options)  # type: ignore[arg-type]
        self.faults.append(fault)
        return fault

    def matching(self, pattern: str) -> list[Request]:
        """The requests so far whose line holds a match."""
        return [request for request in self.requests if re.search(pattern, request.line)]

    def forget(self) -> None:
        """No faults, and no requests."""
        self.faults.clear()
        self.requests.clear()

    def take(self, line: str) -> Fault | None:
        for fault in self.faults:
            if fault.seen < fault.times and re.search(fault.pattern, line):
                fault.seen += 1
                return fault
        return None


@contextlib.contextmanager
def running(upstream_port: int) -> Iterator[FaultyStore]:
    """A proxy on a free port of the loopback."""
    store = FaultyStore(upstream_port)
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    store: FaultyStore
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        body = self._body()
        line = f"{self.command} {unquote(self.path)}"
        fault = self.store.take(line) or Fault("")
        if fault.before is not None:
            fault.before()
        time.sleep(fault.delay_seconds)
        if fault.status is not None:
            code = _CODES.get(fault.status, "Fault")
            told = f"<Error><Code>{code}</Code><Message>{fault.message}</Message></Error>"
            self._answer(line, fault.status, [("Content-Type", "application/xml")], told.encode())
            return
        with self.store.one_write if self.command in _WRITES else contextlib.nullcontext():
            connection = http.client.HTTPConnection("127.0.0.1", self.store.upstream_port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN_HEADERS}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
        if fault.lost:
            self.close_connection = True
            return
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _NOT_PASSED_ON]
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self._answer(line, answer.status, kept, data, fault.cut_after, length)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _pass_on

    def _body(self) -> bytes | None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length) if length else None

    def _answer(
        self,
        line: str,
        status: int,
        headers: list[tuple[str, str]],
        data: bytes,
        cut_after: int | None = None,
        length: str | None = None,
    ) -> None:
        sent = data if cut_after is None else data[:cut_after]
        self.store.requests.append(Request(line, status, len(sent), self.headers.get("Range")))
        with contextlib.suppress(ConnectionError):  # whoever asked may be gone
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(sent)
                self.wfile.flush()
        if cut_after is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test that fails shows `requests`."""


_CODES = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "ServiceUnavailable"}

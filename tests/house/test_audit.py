"""`.ci/audit.py` against a database of holes on this machine; needs pip-audit, which `make audit` installs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.places import ROOT
from tests.helpers.servers import free_port

PIP_AUDIT = Path(os.environ.get("PIP_AUDIT", ROOT / ".cache" / "audit" / "bin" / "pip-audit"))
pytestmark = pytest.mark.skipif(not PIP_AUDIT.exists(), reason="pip-audit is not there: make audit")


class _Database(BaseHTTPRequestHandler):
    """Answers as OSV does: `holed` has a hole up to 2.0, `open` one without a mend."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["package"]["name"]
        events: list[dict[str, str]] = [{"introduced": "0"}]
        events += [{"fixed": "2.0"}] if name == "holed" else []
        affected = {"package": {"name": name, "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
        hole = {"id": f"PYSEC-{name}", "summary": "a hole", "published": "2024-01-01T00:00:00Z", "affected": [affected]}
        answer: dict[str, Any] = {"vulns": [hole]} if name in ("holed", "open") else {}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Database)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()


def audit(url: str, folder: Path, requirements: str) -> subprocess.CompletedProcess[str]:
    (folder / "requirements.txt").write_text(requirements)
    command = [sys.executable, ROOT / ".ci" / "audit.py", PIP_AUDIT, folder / "requirements.txt"]
    environment = dict(os.environ, AUDIT_OSV_URL=url, XDG_CACHE_HOME=str(folder))
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_a_hole_that_a_newer_version_mends_fails(database: str, tmp_path: Path) -> None:
    done = audit(database, tmp_path, "holed==1.0\nopen==1.0\nsound==3.1\n")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "holed 1.0: PYSEC-holed, mended in 2.0",
        "open 1.0: PYSEC-open, no mend yet",
        "3 packages looked up; known holes that a newer version mends: 1",
    ]


def test_others_do_not(database: str, tmp_path: Path) -> None:
    assert audit(database, tmp_path, "open==1.0\nsound==3.1\n").returncode == 0


def test_no_database_is_told(tmp_path: Path) -> None:
    done = audit(f"http://127.0.0.1:{free_port()}/v1/query", tmp_path, "holed==1.0\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the audit is left out: the database of holes does not answer: ")


def test_a_list_that_cannot_be_read_fails(database: str, tmp_path: Path) -> None:
    assert audit(database, tmp_path, "holed>=\n").returncode == 1

"""The app's server: what it lets out and in, and to whom."""

from __future__ import annotations

import http.client
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from pipelines.errors import SettingError
from tests.helpers.places import ROOT
from vae_model.commands import app
from vae_model.playing.app import MAX_UPLOAD_MB
from vae_model.playing.guard import Guard


def test_refusals(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=f"--host 127.0.0.1 --port {port} must be free"):
            app.main([model, "--port", str(port)])
    with pytest.raises(SettingError, match="--port=0 must be from 1 to 65535"):
        app.main([model, "--port", "0"])
    with pytest.raises(SettingError, match="must be the folder of a trained model"):
        app.main([str(tmp_path)])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"needs Gradio: pip install 'audio-vae\[app\]'"):
        app.main([model])


def answer_to(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> int:
    """The status of a request, with headers as another site's page would send them."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, sent)
    status = connection.getresponse().status
    connection.close()
    return status


UPLOAD = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\nsound\r\n--x--\r\n'
FORM = "multipart/form-data; boundary=x"
EVIL = "evil.example"


def test_only_its_own_names_are_answered(server: tuple[str, subprocess.Popen[str]]) -> None:
    url, port = server[0], server[0].rsplit(":", 1)[1]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}", "localhost:8888"):
        assert answer_to(url, "GET", "/config", Host=host) == 200, host
    for host in (EVIL, f"{EVIL}:{port}", f"192.0.2.7:{port}", f"127.0.0.1.{EVIL}:{port}", "", "[:"):
        assert answer_to(url, "GET", "/config", Host=host) in (400, 403), host
        assert answer_to(url, "GET", "/", Host=host) in (400, 403), host


def test_pages_of_other_sites_can_t_upload(server: tuple[str, subprocess.Popen[str]], temporary: Path) -> None:
    url, port = server[0], server[0].rsplit(":", 1)[1]

    def upload(**headers: str) -> int:
        return answer_to(url, "POST", "/gradio_api/upload", UPLOAD, Content_Type=FORM, **headers)

    (folder,) = temporary.glob("audio-vae-app-*")
    before = sorted(folder.rglob("*"))
    for origin in (f"http://{EVIL}", "null", "http://localhost:3000", f"http://localhost:{port}", "http://127.0.0.1"):
        assert upload(Origin=origin) == 403, origin
        assert answer_to(url, "POST", "/gradio_api/queue/join", b"{}", Origin=origin) == 403, origin
    assert sorted(folder.rglob("*")) == before
    assert upload(Origin=url) == 200
    assert upload() == 200, "a program that is no browser"
    assert any(path.name == "a.wav" for path in folder.rglob("*"))
    assert folder.stat().st_mode & 0o077 == 0


def test_what_a_killed_app_left_is_removed_by_the_next(server: tuple[str, subprocess.Popen[str]], left: Path) -> None:
    assert not left.exists()


@pytest.mark.parametrize(
    ("listening", "host", "allowed"),
    [
        ("0.0.0.0", "192.0.2.7:7860", True),
        ("0.0.0.0", "evil.example:7860", False),
        ("studio.example", "studio.example:7860", True),
        ("::1", "[::1]:7860", True),
        ("127.0.0.1", "192.0.2.7", False),
    ],
)
def test_other_addresses_are_those_that_are_listened_on(listening: str, host: str, allowed: bool) -> None:
    guard = Guard(None, listening)  # type: ignore[arg-type]
    assert guard._allows({"type": "http", "method": "GET", "headers": [(b"host", host.encode())]}) == allowed


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/etc/passwd", "setup.py", "../../../../etc/passwd", f"{ROOT}/setup.py"])
def test_no_file_of_the_machine_is_served(server: tuple[str, subprocess.Popen[str]], path: str) -> None:
    url, _ = server
    assert status(f"{url}/config") == 200
    assert status(f"{url}/gradio_api/file={path}") == 403


@pytest.mark.slow
def test_too_large_an_upload_is_refused(server: tuple[str, subprocess.Popen[str]]) -> None:
    content = b"0" * (MAX_UPLOAD_MB * 2**20 + 1)
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n' + content + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"{server[0]}/gradio_api/upload", part, headers)
    with pytest.raises(urllib.error.HTTPError, match="413"):
        urllib.request.urlopen(request, timeout=30)

"""A runner that can't take the job is told in a line, before anything is planned or written."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipelines.beam import preflight
from pipelines.beam.preflight import ask_runner
from pipelines.errors import SettingError, WorkError
from tests.helpers.console import run_in_process
from tests.helpers.servers import free_port


@contextmanager
def answering(body: object) -> Iterator[str]:
    """An HTTP server that answers everything with one JSON body, as a Flink cluster answers /config."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    """A file in the place of Beam's job server."""
    path = tmp_path / "beam-runners-flink-1.20-job-server-2.77.0.jar"
    path.write_bytes(b"")
    return path


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program `java` of JAVA_HOME; says that it is Java 17."""
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))
    return write_java(tmp_path / "java", "17.0.15")


def write_java(home: Path, version: str) -> Path:
    path = home / "bin" / "java"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    path.chmod(0o755)
    return path


def flink(master: str, jar: Path) -> list[str]:
    return ["--runner", "FlinkRunner", "--flink_master", master, "--flink_job_server_jar", str(jar)]


@pytest.mark.parametrize("command", ["preprocess", "encode"])
def test_nothing_is_left_when_the_runner_can_t_be_reached(command: str, tone_folder: Path, tmp_path: Path) -> None:
    from tests.helpers.small_models import write_model

    given = [tone_folder] if command == "preprocess" else [write_model(tmp_path / "model"), tone_folder]
    out = tmp_path / "out"
    out.mkdir()
    port = free_port()
    for status, flags, named in [
        (2, ["--runner", "NoSuchRunner"], "--runner NoSuchRunner: must be one of "),
        (
            1,
            ["--runner", "PortableRunner", "--job_endpoint", f"localhost:{port}"],
            f"--job_endpoint localhost:{port}: ",
        ),
    ]:
        done = run_in_process(command, *given, "--output", out / "new.parquet", *flags)
        assert done.returncode == status, done.stderr
        assert done.stderr.startswith(f"audio-vae {command}: {named}")
        assert done.stderr.count("\n") == 1
        assert os.listdir(out) == []


@pytest.mark.parametrize(
    ("flags", "kind", "said"),
    [
        (["--runner", "NoSuchRunner"], SettingError, "must be one of .*FlinkRunner"),
        (["--runner", "apache_beam.NoSuchRunner"], SettingError, "must be one of"),
        (["--runner", "no_such_module.Runner"], SettingError, "not installed .*no_such_module"),
        (["--runner", "PortableRunner"], SettingError, "needs --job_endpoint HOST:PORT"),
        (["--runner", "PortableRunner", "--job_endpoint", "nowhere"], SettingError, "must look like HOST:PORT"),
        (["--runner", "FlinkRunner", "--flink_version", "1.17"], SettingError, "--flink_version.*1.17"),
        (["--runner", "FlinkRunner", "--flink_version", "2.0"], SettingError, "2.0: must be 1.19 or 1.20"),
        (["--runner", "FlinkRunner", "--flink_master", "localhost:PORT"], WorkError, "no Flink cluster .* refused"),
        (["--runner", "FlinkRunner", "--flink_master", "localhost"], SettingError, "must look like HOST:PORT"),
        (["--runner", "FlinkRunner", "--flink_job_server_jar", "/none.jar"], SettingError, "/none.jar: must be a file"),
        (["--runner", "SparkRunner", "--spark_master_url", "spark://localhost:PORT"], WorkError, "no Spark cluster"),
    ],
)
def test_the_flag_that_is_wrong_is_named(flags: list[str], kind: type[Exception], said: str, java: Path) -> None:
    given = [flag.replace("PORT", str(free_port())) for flag in flags]
    with pytest.raises(kind, match=said):
        ask_runner(given)


def test_the_cluster_s_version_is_asked_for(jar: Path, java: Path, tmp_path: Path) -> None:
    with answering({"flink-version": "1.20.3"}) as master:
        flags = ask_runner(flink(master, jar))
        assert "--flink_version=1.20" in flags
        assert f"--job_server_java_launcher={java}" in flags
        with pytest.raises(SettingError, match=r"runs Flink 1\.20\.3, the job server is for 1\.19"):
            ask_runner(["--runner", "FlinkRunner", "--flink_master", master, "--flink_version", "1.19"])
        with pytest.raises(SettingError, match=r"--flink_version 1\.19: .*job-server-2\.77\.0\.jar is for 1\.20"):
            ask_runner([*flink(master, jar), "--flink_version", "1.19"])
    with (
        answering({"flink-version": "1.17.2"}) as master,
        pytest.raises(SettingError, match=r"runs Flink 1\.17\.2, must"),
    ):
        ask_runner(flink(master, jar))
    with answering(["something else"]) as master, pytest.raises(WorkError, match="is no Flink cluster"):
        ask_runner(flink(master, jar))


@pytest.mark.parametrize("version", ["1.8.0_412", "21.0.2", None])
def test_flink_needs_a_java_that_fits(
    version: str | None, jar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "other"
    if version is not None:
        write_java(home, version)
    monkeypatch.setenv("JAVA_HOME", str(home))
    said = {"1.8.0_412": "is 8", "21.0.2": "is 21", None: "none was found"}[version]
    with pytest.raises(SettingError, match=f"Flink 1.20 needs Java 11 or 17.*{said}"):
        ask_runner(flink("[local]", jar))


def test_paths_that_a_distant_cluster_may_not_see_are_told(
    jar: Path, java: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering({"flink-version": "1.20.3"}) as master:
        ask_runner(flink(master, jar), ["/here/sounds", "s3://bucket/dataset"])
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(preflight, "_LOOPBACK", ())  # as if the cluster were on another machine
        ask_runner(flink(master, jar), ["/here/sounds", "s3://bucket/dataset"])
    assert capsys.readouterr().err == (
        "--flink_master localhost: every machine there must see /here/sounds under this name\n"
    )


def test_a_local_run_asks_nobody() -> None:
    flags = ["--direct_num_workers", "2"]
    assert ask_runner(flags) == flags


def test_the_flags_pass_through_in_their_order(jar: Path, java: Path) -> None:
    given = [*flink("[local]", jar), "--parallelism", "3", "--job_name", "mine"]
    flags = ask_runner(given)
    assert flags[: len(given)] == given
    assert not any(flag.startswith("--job_name=") for flag in flags)

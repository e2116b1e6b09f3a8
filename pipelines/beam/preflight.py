"""Whether the runner that Beam's flags name can take a job: asked before anything is planned or written.

A flag that is missing and can be known is added: the cluster says its Flink version, JAVA_HOME names the Java.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from urllib.parse import urlsplit

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    GoogleCloudOptions,
    JobServerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
    StandardOptions,
)
from apache_beam.runners.runner import create_runner
from apache_beam.utils.subprocess_server import JavaJarServer

from pipelines.beam.flink import ANSWER_SECONDS, LOCAL_FLINK, ask_flink
from pipelines.errors import SettingError, WorkError
from pipelines.store.paths import local_path

FLINK_VERSIONS = ("1.19", "1.20")
"""Beam's batch jobs with side inputs do not run on Flink 2."""
JAVA_VERSIONS = (11, 17)
FLINK_JVM_FLAGS = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "util", "nio")]
"""Flink and Beam's job server for it reach into these packages, which Java 17 keeps closed."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def ask_runner(beam_flags: list[str], uris: Iterable[str] = ()) -> list[str]:
    """Ask the runner that the flags name whether it can take a job; returns the flags, with what can be known added.

    uris: of the inputs and the output. SettingError when a flag can't be right, WorkError when what it names can't be
    reached.
    """
    options = _parsed(beam_flags)
    name = options.view_as(StandardOptions).runner
    if name is None:
        return beam_flags
    runner = _class_of(name)
    endpoint = options.view_as(PortableOptions).job_endpoint
    if endpoint not in (None, "embed"):
        _warn_of_local_paths("--job_endpoint", _address(endpoint, "--job_endpoint")[0], uris)
        _check_listens("--job_endpoint", endpoint, "no job service")
        return beam_flags
    if runner == "FlinkRunner":
        return beam_flags + _flink_flags(options, beam_flags, uris)
    if runner == "SparkRunner":
        return beam_flags + _spark_flags(options, uris)
    if runner == "PortableRunner" and endpoint is None:
        raise SettingError("--runner PortableRunner: needs --job_endpoint HOST:PORT of a job service")
    return beam_flags


def _parsed(beam_flags: list[str]) -> PipelineOptions:
    """Beam's options; SettingError with what Beam says of a value that it does not take."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = PipelineOptions(beam_flags)
            options.get_all_options()
    except SystemExit:
        raise SettingError(said.getvalue().strip().splitlines()[-1].split("error: ")[-1]) from None
    return options


def _class_of(name: str) -> str:
    """The name of the runner's class. SettingError when there is none, or what it needs is not installed."""
    try:
        found = type(create_runner(name)).__name__
    except ImportError as error:
        needed = "needs pip install 'audio-vae[dataflow]'" if "dataflow" in name.lower() else "is not installed"
        raise SettingError(f"--runner {name}: {needed} ({error})") from error
    except (ValueError, AttributeError) as error:
        known = [known for known in StandardOptions.KNOWN_RUNNER_NAMES if "Test" not in known]
        raise SettingError(f"--runner {name}: must be one of {', '.join(known)}") from error
    if found == "DaskRunner":
        raise SettingError("--runner DaskRunner: loses records without an error; use FlinkRunner or SparkRunner")
    return str(found)


def java_launcher(engine: str) -> str:
    """The Java of JAVA_HOME, else of PATH. SettingError when there is none that the engine runs on."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(os.path.join(home, "bin", "java") if home else "java")
    place = f"JAVA_HOME={home}" if home else "PATH"
    needed = f"{engine} needs Java {' or '.join(map(str, JAVA_VERSIONS))}"
    if java is None:
        raise SettingError(f"{needed} on PATH or in JAVA_HOME, none was found ({place})")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if version is None or int(version[1]) not in JAVA_VERSIONS:
        raise SettingError(f"{needed}, {java} ({place}) is {version[1] if version else 'of an unknown version'}")
    return java


def _java_flags(options: PipelineOptions, engine: str) -> list[str]:
    given = options.view_as(JobServerOptions).job_server_java_launcher
    if given != "java":
        if shutil.which(given) is None:
            raise SettingError(f"--job_server_java_launcher {given}: must be a program")
        return []
    return [f"--job_server_java_launcher={java_launcher(engine)}"]


def _flink_flags(options: PipelineOptions, beam_flags: list[str], uris: Iterable[str]) -> list[str]:
    """What a Flink job needs beside the flags given."""
    flink = options.view_as(FlinkRunnerOptions)
    jar = flink.flink_job_server_jar
    wanted = flink.flink_version if any(flag.startswith("--flink_version") for flag in beam_flags) else None
    if jar is not None and (named := re.search(r"flink-(\d+\.\d+)-job-server", os.path.basename(jar))):
        if wanted not in (None, named[1]):
            raise SettingError(f"--flink_version {wanted}: --flink_job_server_jar {jar} is for {named[1]}")
        wanted = named[1]
    if flink.flink_master not in LOCAL_FLINK:
        wanted = _fitting_version(flink.flink_master, wanted)
        _warn_of_local_paths("--flink_master", _address(flink.flink_master, "--flink_master")[0], uris)
    version = wanted or FLINK_VERSIONS[-1]
    if version not in FLINK_VERSIONS:
        raise SettingError(f"--flink_version {version}: must be {' or '.join(FLINK_VERSIONS)}")
    flags = []
    if not flink.flink_submit_uber_jar:  # the cluster's own Java runs it
        flags += _java_flags(options, f"Flink {version}")
        flags += [f"--job_server_jvm_properties={flag}" for flag in FLINK_JVM_FLAGS]
    if options.view_as(GoogleCloudOptions).job_name is None:
        flags.append(f"--job_name=audio-vae-{secrets.token_hex(8)}")  # else only the job server knows it
    target = f":runners:flink:{version}:job-server:shadowJar"
    return [*flags, f"--flink_version={version}", _jar_flag("--flink_job_server_jar", jar, target, options)]


def _fitting_version(master: str, wanted: str | None) -> str:
    """The cluster's version like 1.20. SettingError when it is not one that Beam runs on, or not the one wanted."""
    _address(master, "--flink_master")
    try:
        version = str(ask_flink(master, "/config")["flink-version"])
    except (ValueError, KeyError, TypeError, urllib.error.HTTPError) as error:
        raise WorkError(f"--flink_master {master}: what answers there is no Flink cluster") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise WorkError(f"--flink_master {master}: no Flink cluster can be reached there: {_said(reason)}") from error
    short = ".".join(version.split(".")[:2])
    if short not in FLINK_VERSIONS:
        fitting = " or ".join(FLINK_VERSIONS)
        raise SettingError(f"--flink_master {master}: runs Flink {version}, must be {fitting}")
    if wanted not in (None, short):
        raise SettingError(f"--flink_master {master}: runs Flink {version}, the job server is for {wanted}")
    return short


def _spark_flags(options: PipelineOptions, uris: Iterable[str]) -> list[str]:
    """What a Spark job needs beside the flags given."""
    spark = options.view_as(SparkRunnerOptions)
    master = spark.spark_master_url
    if not re.match(r"local(\[.+\])?$", master):
        _check_listens("--spark_master_url", master, "no Spark cluster")
        _warn_of_local_paths("--spark_master_url", _address(master, "--spark_master_url")[0], uris)
    target = ":runners:spark:3:job-server:shadowJar"
    jar = _jar_flag("--spark_job_server_jar", spark.spark_job_server_jar, target, options)
    return [*_java_flags(options, "Spark 3"), jar]


def _jar_flag(flag: str, given: str | None, target: str, options: PipelineOptions) -> str:
    """The flag with the path of Beam's job server, which Beam fetches once. WorkError when it can't be had."""
    if given is not None:
        if "://" not in given and not os.path.isfile(given):
            raise SettingError(f"{flag} {given}: must be a file")
        return f"{flag}={given}"
    address = JavaJarServer.path_to_beam_jar(target)
    name = address.rsplit("/", 1)[-1]
    try:
        path = JavaJarServer.local_jar(address, options.view_as(JobServerOptions).jar_cache_dir)
    except (OSError, RuntimeError) as error:
        raise WorkError(f"{name}: Beam's job server can't be fetched; name a copy of it with {flag}") from error
    return f"{flag}={path}"


def _address(text: str, flag: str) -> tuple[str, int]:
    """Host and port of `host:port`, with or without a scheme before it."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        host = port = None
    if not host or not port:
        raise SettingError(f"{flag} {text}: must look like HOST:PORT")
    return host, port


def _check_listens(flag: str, text: str, what: str) -> None:
    """WorkError when nothing listens at an address."""
    try:
        socket.create_connection(_address(text, flag), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise WorkError(f"{flag} {text}: {what} can be reached there: {_said(error)}") from error


def _said(error: object) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def _warn_of_local_paths(flag: str, host: str, uris: Iterable[str]) -> None:
    """Say which paths the machines of a cluster must all see under the same name."""
    paths = [uri for uri in uris if local_path(uri) is not None]
    if paths and host not in _LOOPBACK:
        print(f"{flag} {host}: every machine there must see {', '.join(paths)} under this name", file=sys.stderr)

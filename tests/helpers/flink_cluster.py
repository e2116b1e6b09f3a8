"""A Flink session cluster of one JobManager and two TaskManagers, and a pool of Beam's Python workers, on loopback.

What `tests/helpers/flink_fetch.py` fetched is run as it is. Every process is ended by its own id when the block ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.beam.preflight import FLINK_JVM_FLAGS
from tests.helpers.flink_fetch import Engine
from tests.helpers.places import ROOT
from tests.helpers.servers import free_port

START_SECONDS = 90
POOL = "worker-pool"
_RUNTIME = "org.apache.flink.runtime"
_CONFIG = {
    "jobmanager.rpc.address": "localhost",
    "jobmanager.bind-host": "127.0.0.1",
    "jobmanager.memory.heap.size": "256m",
    "rest.address": "localhost",
    "rest.bind-address": "127.0.0.1",
    "taskmanager.host": "localhost",
    "taskmanager.bind-host": "127.0.0.1",
    "taskmanager.numberOfTaskSlots": 2,
    # both TaskManagers have work when one of them is killed, and the other has room for all of it
    "cluster.evenly-spread-out-slots": True,
    "taskmanager.cpu.cores": 1.0,
    # all parts of the memory: Flink's own start script would reckon them
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.heap.size": "256m",
    "taskmanager.memory.task.off-heap.size": "0m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "128m",
    "taskmanager.memory.jvm-overhead.max": "128m",
    "taskmanager.memory.network.min": "160m",
    "taskmanager.memory.network.max": "160m",
    "taskmanager.memory.managed.size": "64m",
    # without a strategy Flink gives a batch job up at its first lost TaskManager
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 2,
    "restart-strategy.fixed-delay.delay": "1 s",
    "heartbeat.interval": 1000,
    "heartbeat.timeout": 10000,
}


@dataclass(frozen=True)
class Cluster:
    """What a test needs to know of it."""

    engine: Engine
    rest_port: int
    pool_port: int
    task_managers: list[subprocess.Popen[bytes]]
    logs: Path

    @property
    def flags(self) -> list[str]:
        """The flags of a user who has this cluster."""
        return [
            *("--runner", "FlinkRunner", "--flink_master", f"localhost:{self.rest_port}", "--parallelism", "2"),
            *("--flink_version", self.engine.flink_version, "--flink_job_server_jar", str(self.engine.job_server)),
            *("--environment_type", "EXTERNAL", "--environment_config", f"{POOL}:{self.pool_port}"),
            # a worker outlives the step that it was started for, so that the next one need not start its own
            *("--environment_cache_millis", "20000"),
        ]

    def get(self, path: str) -> Any:
        """What the cluster's REST interface answers."""
        with urllib.request.urlopen(f"http://localhost:{self.rest_port}{path}", timeout=5) as answer:
            return json.load(answer)

    def num_task_managers(self) -> int:
        """How many have registered and are alive."""
        return int(self.get("/overview")["taskmanagers"])

    def jobs(self) -> list[dict[str, Any]]:
        """Every job so far, the newest first, with its `jid`, `name` and `state`."""
        return sorted(self.get("/jobs/overview")["jobs"], key=lambda job: -job["start-time"])

    def failures(self, job: str) -> list[str]:
        """What a job had to be restarted for, newest first."""
        entries = self.get(f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
        return [str(entry["stacktrace"]) for entry in entries]


def pool_host(number: int) -> str:
    """The loopback address of a TaskManager's pool."""
    return f"127.0.0.{1 + number}"


@contextlib.contextmanager
def running(engine: Engine, folder: Path) -> Iterator[Cluster]:
    """Start everything and wait until it answers; RuntimeError with the log when it does not."""
    rest, rpc, pool = free_port(), free_port(), free_port()
    config = _CONFIG | {"rest.port": rest, "jobmanager.rpc.port": rpc, "io.tmp.dirs": str(folder / "tmp")}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "log4j.properties").write_text(
        "rootLogger.level = INFO\nrootLogger.appenderRef.out.ref = Out\nappender.out.name = Out\n"
        "appender.out.type = CONSOLE\nappender.out.layout.type = PatternLayout\n"
        "appender.out.layout.pattern = %d %-5p %c{1} %m%n\n"
    )

    def java(main: str, *flags: str) -> list[str]:
        logging = f"-Dlog4j.configurationFile=file:{folder / 'log4j.properties'}"
        return [engine.java, *flags, *FLINK_JVM_FLAGS, logging, "-cp", engine.classpath, main, "-c", str(folder)]

    def task_manager(number: int) -> list[str]:
        """Each sees a pool of its own under the one name, as in a pod."""
        hosts = folder / f"hosts-{number}"
        hosts.write_text(f"127.0.0.1 localhost {socket.gethostname()}\n{pool_host(number)} {POOL}\n")
        return java(f"{_RUNTIME}.taskexecutor.TaskManagerRunner", "-Xmx512m", f"-Djdk.net.hosts.file={hosts}")

    def pool_command(number: int) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("flink_pool.py")), pool_host(number), str(pool)]

    with contextlib.ExitStack() as stack:

        def start(name: str, command: list[str], **variables: str) -> subprocess.Popen[bytes]:
            return stack.enter_context(_process(folder / f"{name}.log", command, variables))

        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        for number in (1, 2):
            start(f"pool-{number}", pool_command(number), PYTHONPATH=str(ROOT), PATH=programs)
        job_manager = start(
            "job-manager", java(f"{_RUNTIME}.entrypoint.StandaloneSessionClusterEntrypoint", "-Xmx256m")
        )
        task_managers = [start(f"task-manager-{number}", task_manager(number)) for number in (1, 2)]
        cluster = Cluster(engine, rest, pool, task_managers, folder)
        wait_for(lambda: cluster.num_task_managers() == 2, [job_manager, *task_managers], folder)
        yield cluster


@contextlib.contextmanager
def _process(log: Path, command: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=os.environ | variables, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(is_so: Callable[[], bool], processes: list[subprocess.Popen[bytes]], logs: Path) -> None:
    """Wait until something is so; RuntimeError with the ends of the logs when a process ends before or time is up."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError):
            if is_so():
                return
        ended = [process for process in processes if process.poll() is not None]
        if ended or time.monotonic() > deadline:
            tails = "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in sorted(logs.glob("*.log")))
            raise RuntimeError(f"the cluster does not {'stay up' if ended else 'answer'}:\n{tails}")
        time.sleep(0.2)

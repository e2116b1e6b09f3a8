"""The files in deploy/flink fit each other, the versions in requirements.txt, and what the command takes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from pipelines.beam.preflight import FLINK_VERSIONS
from pipelines.commands.preprocess import parse_options
from tests.helpers.places import ROOT

FOLDER = ROOT / "deploy" / "flink"


def documents(name: str) -> dict[tuple[str, str], Any]:
    """Every object of a manifest by kind and name."""
    found = list(yaml.safe_load_all((FOLDER / name).read_text()))
    return {(d["kind"], d["metadata"].get("name", d["metadata"].get("generateName"))): d for d in found}


@pytest.fixture
def cluster() -> dict[tuple[str, str], Any]:
    return documents("cluster.yaml")


def containers(document: Any) -> dict[str, Any]:
    return {container["name"]: container for container in document["spec"]["template"]["spec"]["containers"]}


def command() -> list[str]:
    (job,) = documents("job.yaml").values()
    words: list[str] = containers(job)["audio-vae"]["command"]
    assert words[:2] == ["audio-vae", "preprocess"]
    return words[2:]


def beam_version() -> str:
    """What the image's Python gets."""
    pins = (ROOT / "requirements.txt").read_text()
    found = re.search(r"^apache-beam==(\S+) ; python_full_version >= '3\.11'", pins, re.MULTILINE)
    assert found
    return found[1]


def test_the_job_names_the_pool_beside_each_task_manager(cluster: dict[tuple[str, str], Any]) -> None:
    pods = containers(cluster["Deployment", "audio-vae-taskmanager"])
    pool = pods["worker-pool"]
    assert pool["args"] == ["--worker_pool"]
    (port,) = pool["ports"]
    assert f"--environment_config=localhost:{port['containerPort']}" in command()
    assert pool["readinessProbe"]["tcpSocket"]["port"] == port["containerPort"] == 50000  # Beam's boot takes no other
    (job,) = documents("job.yaml").values()
    assert pool["image"] == containers(job)["audio-vae"]["image"]


def test_every_part_finds_the_job_manager(cluster: dict[tuple[str, str], Any]) -> None:
    service = cluster["Service", "audio-vae-jobmanager"]
    deployment = cluster["Deployment", "audio-vae-jobmanager"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels == deployment["spec"]["selector"]["matchLabels"]
    open_ports = {port["name"]: port["containerPort"] for port in containers(deployment)["jobmanager"]["ports"]}
    assert {port["name"]: port["port"] for port in service["spec"]["ports"]} == open_ports
    name = service["metadata"]["name"]
    assert f"--flink_master=http://{name}:{open_ports['rest']}" in command()
    settings = yaml.safe_load(cluster["ConfigMap", "audio-vae-flink"]["data"]["FLINK_PROPERTIES"])
    assert settings["jobmanager.rpc.address"] == name
    assert settings["blob.server.port"] == open_ports["blob"]
    assert settings["restart-strategy.type"] == "fixed-delay"
    managers = containers(cluster["Deployment", "audio-vae-taskmanager"])["taskmanager"]
    for container in (managers, containers(deployment)["jobmanager"]):
        assert container["envFrom"] == [{"configMapRef": {"name": "audio-vae-flink"}}]
    slots = (
        settings["taskmanager.numberOfTaskSlots"] * cluster["Deployment", "audio-vae-taskmanager"]["spec"]["replicas"]
    )
    assert f"--parallelism={slots}" in command()


def test_the_versions_are_those_of_the_lock_file(cluster: dict[tuple[str, str], Any]) -> None:
    version, flink = beam_version(), FLINK_VERSIONS[-1]
    jar = f"beam-runners-flink-{flink}-job-server-{version}.jar"
    dockerfile = (FOLDER / "Dockerfile").read_text()
    assert f"FROM apache/beam_python3.11_sdk:{version}\n" in dockerfile
    assert f"-Dartifact=org.apache.beam:beam-runners-flink-{flink}-job-server:{version} " in dockerfile
    assert f"--flink_job_server_jar=/opt/audio-vae/{jar}" in command()
    assert "/jars/ /opt/audio-vae/" in dockerfile
    for part in ("jobmanager", "taskmanager"):
        image = containers(cluster["Deployment", f"audio-vae-{part}"])[part]["image"]
        assert image == f"flink:{flink}-java17"
    assert all(
        (ROOT / path).exists() for path in re.findall(r"^COPY (pipelines|vae_model|setup\.py)", dockerfile, re.M)
    )


def test_the_command_takes_the_job_s_flags() -> None:
    options, beam_flags = parse_options(command())
    assert options.output == "s3://BUCKET/dataset"
    assert len(beam_flags) == len(command()) - 2

"""Runs as jobs on Dataflow, as far as they can be had without Google: what is handed over, and what is left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from pipelines.dataset.names import ENTRY
from tests.helpers.console import audio_vae, audio_vae_json
from tests.helpers.google_cloud import Dataflow, dataflow_service, storage_service
from tests.helpers.places import ROOT

BUCKET = "sounds-of-ours"

RUN_THE_GRAPH = """
import sys
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import EmbeddedPythonEnvironment
pipeline = beam_runner_api_pb2.Pipeline.FromString(sys.stdin.buffer.read())
for environment in pipeline.components.environments.values():
    environment.CopyFrom(EmbeddedPythonEnvironment.default().to_runner_api(None))
FnApiRunner().run_via_runner_api(pipeline, PipelineOptions(["--pickle_library=cloudpickle"])).wait_until_finish()
"""


@dataclass
class Cloud:
    """A bucket with three sounds below `in/`, and a Dataflow that takes jobs."""

    bucket: storage.Bucket
    dataflow: Dataflow
    environment: dict[str, str]

    def preprocess(self, output: str, *flags: str) -> subprocess.CompletedProcess[str]:
        """The command with what it needs to reach this cloud."""
        flags = ("--project=my-project", "--region=europe-west4", f"--temp_location=gs://{BUCKET}/tmp", *flags)
        flags = ("--runner=DataflowRunner", f"--dataflow_endpoint={self.dataflow.url}", "--no_auth", *flags)
        inputs = (f"gs://{BUCKET}/in", "--output", f"gs://{BUCKET}/{output}", "--preset=tiny", "--json")
        return audio_vae("preprocess", *inputs, *flags, environment=self.environment)

    def run_folders(self, dataset: str) -> set[str]:
        """The names of all runs' folders, committed or not."""
        return {blob.name.split("/")[2] for blob in self.bucket.list_blobs(prefix=f"{dataset}/runs/")}

    def read(self, name: str) -> bytes:
        """The content of an object."""
        content: bytes = self.bucket.blob(name).download_as_bytes()
        return content

    def graph(self, job: dict[str, Any]) -> bytes:
        """The serialized graph that a job points at."""
        url = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
        return self.read(url.removeprefix(f"gs://{BUCKET}/"))

    def run_graph(self, graph: bytes) -> None:
        """Run a graph as it was handed over, by another runner than Dataflow and with nobody else about."""
        subprocess.run(
            [sys.executable, "-c", RUN_THE_GRAPH],
            input=graph,
            env=self.environment,
            check=True,
            timeout=120,
            capture_output=True,
        )


@pytest.fixture(scope="module")
def cloud(tone_folder: Path) -> Iterator[Cloud]:
    with storage_service(BUCKET) as storage_url, dataflow_service() as dataflow:
        environment = dict(os.environ, PYTHONPATH=str(ROOT), STORAGE_EMULATOR_HOST=storage_url, NO_GCE_CHECK="true")
        environment |= dict.fromkeys(("FSSPEC_GS_TOKEN", "FSSPEC_GCS_TOKEN"), "anon")
        environment |= {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}  # it asks Google what kind a bucket is
        client = storage.Client("p", AnonymousCredentials(), client_options={"api_endpoint": storage_url})
        bucket = client.bucket(BUCKET)
        for path in sorted(tone_folder.iterdir())[:3]:
            bucket.blob(f"in/{path.name}").upload_from_filename(path)
        yield Cloud(bucket, dataflow, environment)


def launch_template(cloud: Cloud, job_object: str) -> dict[str, Any]:
    """What a Flex Template's launcher leaves for the service, started as the service starts it."""
    flags = {
        "input": f"gs://{BUCKET}/in",
        "output": f"gs://{BUCKET}/templated",
        "preset": "tiny",
        "job_name": "nightly",
        "labels": '{\n  "goog-dataflow-provided-template-type": "flex"\n}\n',
        "project": "my-project",
        "region": "europe-west4",
        "runner": "DataflowRunner",
        "sdk_container_image": "europe-west4-docker.pkg.dev/my-project/audio/audio-vae:1",
        "staging_location": f"gs://{BUCKET}/staging",
        "temp_location": f"gs://{BUCKET}/tmp",
        "template_location": f"gs://{BUCKET}/{job_object}",
        "dataflow_endpoint": cloud.dataflow.url,
    }
    command = [sys.executable, ROOT / "deploy/dataflow/launcher.py", *(f"--{k}={v}" for k, v in flags.items())]
    done = subprocess.run(
        [*command, "--no_auth"], env=cloud.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    job: dict[str, Any] = json.loads(cloud.read(job_object))
    return job


@pytest.mark.slow
def test_a_template_leaves_its_job_to_the_service_also_on_a_night_without_new_audio(cloud: Cloud) -> None:
    before = len(cloud.dataflow.jobs)
    first = launch_template(cloud, "staging/first/job_object")
    assert (first["name"], first["labels"]) == ("nightly", {"goog-dataflow-provided-template-type": "flex"})
    cloud.run_graph(cloud.graph(first))
    entry = cloud.read(f"templated/{ENTRY}")
    assert json.loads(entry)["sources"]["written"] == 3
    second = launch_template(cloud, "staging/second/job_object")
    cloud.run_graph(cloud.graph(second))
    assert cloud.read(f"templated/{ENTRY}") == entry
    assert len(cloud.run_folders("templated")) == 1
    assert len(cloud.dataflow.jobs) == before


def submitted(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    assert values["status"] == "submitted"
    return values


@pytest.mark.slow
def test_a_job_that_nobody_waits_for_commits_what_a_local_run_does(
    cloud: Cloud, tone_folder: Path, tmp_path: Path
) -> None:
    values = submitted(cloud.preprocess("set", "--no-wait"))
    job = cloud.dataflow.jobs[-1]
    assert values["job"]["id"] == job["id"]
    assert job["id"] in values["job"]["url"]
    assert not cloud.bucket.blob(f"set/{ENTRY}").exists()
    cloud.run_graph(cloud.graph(job))
    three = sorted(tone_folder.iterdir())[:3]
    audio_vae_json("preprocess", *three, "--output", tmp_path / "local", "--preset", "tiny")
    entry = json.loads(cloud.read(f"set/{ENTRY}"))
    local = json.loads((tmp_path / "local" / ENTRY).read_bytes())
    assert [run["name"] for run in entry["runs"]] == [values["run"]]
    for name in ("fingerprint", "global_range", "record", "sources"):
        assert entry[name] == local[name]
    for split, here in local["splits"].items():
        there = entry["splits"][split]
        assert [shard["crc32c"] for shard in there["shards"]] == [shard["crc32c"] for shard in here["shards"]]
    assert cloud.run_folders("set") == {values["run"]}


@pytest.mark.slow
def test_the_options_reach_the_job(cloud: Cloud) -> None:
    options = (
        *("--machine_type=n2-standard-4", "--disk_size_gb=30", "--num_workers=3", "--max_num_workers=40"),
        *("--service_account_email=nightly@my-project.iam.gserviceaccount.com", "--no_use_public_ips"),
        *("--subnetwork=regions/europe-west4/subnetworks/inner", "--labels=team=sound", "--labels=night=yes"),
        *("--sdk_container_image=europe-west4-docker.pkg.dev/my-project/audio/audio-vae:1", "--sdk_location=container"),
        *("--split-pattern=test=_0[0-3]", "--job_name=by-hand"),
    )
    submitted(cloud.preprocess("optioned", "--no-wait", *options))
    job = cloud.dataflow.jobs[-1]
    assert job["name"] == "by-hand"
    assert job["labels"] == {"team": "sound", "night": "yes"}
    environment = job["environment"]
    assert environment["serviceAccountEmail"] == "nightly@my-project.iam.gserviceaccount.com"
    assert environment["tempStoragePrefix"].startswith(f"storage.googleapis.com/{BUCKET}/tmp/by-hand.")
    (pool,) = environment["workerPools"]
    image = "europe-west4-docker.pkg.dev/my-project/audio/audio-vae:1"
    assert pool["workerHarnessContainerImage"] == image
    assert [harness["containerImage"] for harness in pool["sdkHarnessContainerImages"]] == [image]
    assert (pool["machineType"], pool["diskSizeGb"], pool["numWorkers"]) == ("n2-standard-4", 30, 3)
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 40
    assert pool["numThreadsPerWorker"] == 1
    assert pool["subnetwork"] == "regions/europe-west4/subnetworks/inner"
    assert pool["ipConfiguration"] == 2  # private
    options_seen = environment["sdkPipelineOptions"]["options"]
    assert options_seen["split_pattern"] == [["test", "_0[0-3]"]]


@pytest.mark.slow
def test_a_second_run_is_refused_while_one_is_active_and_clears_up_after_one_that_failed(cloud: Cloud) -> None:
    first = submitted(cloud.preprocess("twice", "--no-wait"))
    refused = cloud.preprocess("twice", "--no-wait")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.splitlines()[-1] == (
        f"audio-vae preprocess: job {first['job']['name']} ({first['job']['id']}) is active: it is writing to this "
        "dataset already; run again when it has ended"
    )
    assert cloud.run_folders("twice") == {first["run"]}
    cloud.dataflow.jobs[-1]["currentState"] = "JOB_STATE_FAILED"
    second = submitted(cloud.preprocess("twice", "--no-wait"))
    assert second["job"]["name"] == first["job"]["name"]
    assert cloud.run_folders("twice") == {second["run"]}


@pytest.mark.slow
def test_a_refusal_by_the_service_is_one_line_and_leaves_nothing(cloud: Cloud) -> None:
    cloud.dataflow.refusal = (403, "(1a2b): Permission 'dataflow.jobs.create' denied on project 'my-project'")
    try:
        done = cloud.preprocess("refused", "--no-wait")
    finally:
        cloud.dataflow.refusal = None
    assert done.returncode == 1
    assert done.stderr.count("audio-vae preprocess:") == 1
    assert "Traceback" not in done.stderr
    assert "Permission 'dataflow.jobs.create' denied" in done.stderr
    assert cloud.run_folders("refused") == set()


WORKER_ERROR = """Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1500, in process
  File "pipelines/runs/committing.py", line 90, in _check_failures
    raise TooManyFailures(
pipelines.errors.TooManyFailures: 3 of 3 sources failed, --max-failures=1 allows fewer [while running 'Commit']
"""


@pytest.mark.slow
def test_a_job_that_was_waited_for_and_failed_tells_its_error_and_leaves_nothing(cloud: Cloud) -> None:
    cloud.dataflow.outcome, cloud.dataflow.messages = "JOB_STATE_FAILED", [WORKER_ERROR]
    try:
        done = cloud.preprocess("failed")
    finally:
        cloud.dataflow.outcome, cloud.dataflow.messages = "JOB_STATE_RUNNING", []
    assert done.returncode == 3
    told = "audio-vae preprocess: 3 of 3 sources failed, --max-failures=1 allows fewer"
    assert done.stderr.splitlines()[-1] == told
    assert cloud.run_folders("failed") == set()

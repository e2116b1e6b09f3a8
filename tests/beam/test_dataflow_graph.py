"""The real job graph of Dataflow, built offline by Beam's own runner as a dry run."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from pipelines.audio.sources import LISTING, Listing
from pipelines.beam import dataflow, launch
from pipelines.beam.build_on_beam import BuildOptions, build_pipeline
from pipelines.building.task import ShardTask, Source
from pipelines.commands.preprocess import parse_options, request_of
from pipelines.config import DatasetConfig
from pipelines.errors import SettingError
from pipelines.plan.changes import KEPT, Changes, empty_manifest
from pipelines.plan.policy import MaxFailures
from pipelines.runs import plan_files
from pipelines.runs.folder import PlannedRun
from tests.helpers.console import run_in_process
from tests.helpers.places import ROOT

STEPS = ["Plan", "ReadTasks", "BuildShards", "GlobalRange", "Once", "Commit"]
REQUIRED = {
    "--project": "my-project",
    "--region": "europe-west4",
    "--temp_location": "gs://my-bucket/tmp",
}
SMALL = PlannedRun("gs://my-bucket/set", "000001-20260101T000000Z", DatasetConfig(), None, ("gs://my-bucket/in",), 3, 9)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def build(run: PlannedRun, *flags: str) -> Any:
    """The job that Beam would hand over: what `DataflowRunner` returns for a dry run."""
    required = [f"{name}={value}" for name, value in REQUIRED.items()]
    words = ["gs://my-bucket/in", "--output=gs://my-bucket/set", "--runner=DataflowRunner", *required, *flags]
    request = request_of(*parse_options([*words, "--dry_run=True", "--no_auth", "--no_save_main_session"]))
    job = launch.preprocess_options(request, list(request.beam_flags))
    dataflow.prepare(job, request.inputs, request.output)
    return launch.submit(job, lambda pipeline: build_pipeline(pipeline, run, BuildOptions(60.0, None))).job


def steps(graph: beam_runner_api_pb2.Pipeline) -> list[str]:
    """The names of the graph's outermost steps, in its order."""
    (root,) = graph.root_transform_ids
    transforms = graph.components.transforms
    return [transforms[name].unique_name for name in transforms[root].subtransforms]


def environment(graph: beam_runner_api_pb2.Pipeline) -> tuple[str, dict[str, Path]]:
    """The image of the graph's only environment, and its artifacts by the name that a worker sees."""
    (only,) = graph.components.environments.values()
    assert only.urn == "beam:env:docker:v1"
    artifacts = {}
    for artifact in only.dependencies:
        role = beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(artifact.role_payload)
        file = beam_runner_api_pb2.ArtifactFilePayload.FromString(artifact.type_payload)
        artifacts[role.staged_name] = Path(file.path)
    return beam_runner_api_pb2.DockerPayload.FromString(only.payload).container_image, artifacts


def test_the_graph_is_the_pipelines_and_its_job_is_named_after_the_dataset() -> None:
    job = build(SMALL)
    assert sorted(steps(job.proto_pipeline)) == sorted(STEPS)
    assert job.proto.name == dataflow.job_name_of("gs://my-bucket/set/")
    inner = {transform.unique_name for transform in job.proto_pipeline.components.transforms.values()}
    shards = ["Reshuffle", "LoadSegmentExtractNormaliseWrite", "LogFailures"]
    assert {f"BuildShards/{name}" for name in shards} <= inner
    image, artifacts = environment(job.proto_pipeline)
    assert "/beam_python" in image
    assert "workflow.tar.gz" not in artifacts


def test_an_image_that_holds_the_package_is_taken_as_it_is() -> None:
    job = build(SMALL, "--sdk_container_image=europe-west4-docker.pkg.dev/my-project/a/b:1", "--sdk_location=container")
    image, artifacts = environment(job.proto_pipeline)
    assert image == "europe-west4-docker.pkg.dev/my-project/a/b:1"
    assert set(artifacts) <= {"submission_environment_dependencies.txt"}


@pytest.mark.slow
def test_the_stager_packs_a_source_distribution_that_installs_offline(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("pipelines", "vae_model"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    _, artifacts = environment(build(SMALL, f"--setup_file={source}/setup.py").proto_pipeline)
    with tarfile.open(artifacts["workflow.tar.gz"]) as archive:
        packed = {name.split("/", 1)[-1] for name in archive.getnames()}
    ours = {
        path.relative_to(ROOT).as_posix() for name in ("pipelines", "vae_model") for path in (ROOT / name).rglob("*.*")
    }
    assert {name for name in ours if "__pycache__" not in name} <= packed
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run(
        [*install, f"--target={target}", artifacts["workflow.tar.gz"]], check=True, cwd=tmp_path, timeout=120
    )
    installed = {path.relative_to(target).as_posix() for path in target.rglob("*.*")}
    assert {name for name in ours if "__pycache__" not in name} <= installed


def shard_tasks(sources: int, a_shard: int = 2000) -> Iterator[ShardTask]:
    """Shards of sources with names of 27 characters."""
    folder, size = "gs://my-bucket/in", 64_044
    names = (Source(f"{n // 1000:06d}/recording_{n:09d}.wav", folder, size, "1") for n in range(sources))
    for number in range(sources // a_shard):
        yield ShardTask(f"train-{number:05d}.tfrecord", "train", list(itertools.islice(names, a_shard)))


def plan(folder: Path, sources: int) -> PlannedRun:
    """The plan of a first run over so many sources."""
    empty = empty_manifest()
    build_rows = pa.table({field.name: pa.nulls(sources, field.type) for field in LISTING})
    none = {"carried": empty, "failed": empty, "kept": empty.select(KEPT), "lost_shards": ()}
    counts = {"unchanged": 0, "new": sources, "changed": 0, "removed": 0, "failed_before": 0, "elsewhere": 0}
    changes = Changes(build=build_rows, **none, **counts)
    listing = Listing(build_rows, {}, ("gs://my-bucket/in",))
    return plan_files.plan_run(
        str(folder), None, DatasetConfig(), listing, changes, shard_tasks(sources), MaxFailures()
    )


@pytest.mark.slow
def test_the_graph_of_a_million_sources_is_as_small_as_that_of_a_few(tmp_path: Path) -> None:
    run = plan(tmp_path / "set", 1_000_000)
    assert (run.num_tasks, run.num_sources) == (500, 1_000_000)
    assert Path(run.tasks_uri).stat().st_size > 60e6
    job = build(run)
    size = job.proto_pipeline.ByteSize()
    assert size < 1_000_000
    assert size < build(SMALL).proto_pipeline.ByteSize() + 1000
    assert len(job.json()) < 10_000


def prepare(inputs: str, output: str, required: dict[str, str]) -> None:
    flags = [f"{name}={value}" for name, value in required.items()]
    request = request_of(*parse_options([inputs, "--output", output, "--runner=DataflowRunner", *flags]))
    job = launch.preprocess_options(request, list(request.beam_flags))
    dataflow.prepare(job, request.inputs, request.output)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_option_is_named(name: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} must be given with --runner DataflowRunner"):
        prepare("gs://a/in", "gs://a/out", {k: v for k, v in REQUIRED.items() if k != name})


@pytest.mark.parametrize(
    ("inputs", "output", "named"),
    [
        ("/home/me/audio", "gs://a/out", "INPUT /home/me/audio: must be a URI"),
        ("gs://a/in", "out", "--output out: must"),
    ],
)
def test_local_files_are_refused(inputs: str, output: str, named: str) -> None:
    with pytest.raises(SettingError, match=named):
        prepare(inputs, output, REQUIRED)


def test_without_credentials_the_command_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    required = [f"{name}={value}" for name, value in REQUIRED.items()]
    done = run_in_process("preprocess", "gs://a/in", "--output", "gs://a/out", "--runner=DataflowRunner", *required)
    assert done.returncode == 2
    assert "no Google Cloud credentials were found" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_not_waiting_needs_a_runner_that_goes_on(tone_folder: Path, tmp_path: Path) -> None:
    done = run_in_process("preprocess", tone_folder, "--output", tmp_path / "set", "--no-wait")
    assert done.returncode == 2
    assert done.stderr.startswith("audio-vae preprocess: --no-wait must come with --runner DataflowRunner")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("uri", "pattern"),
    [("gs://b/My Set.v2/", "audio-vae-my-set-v2-[0-9a-f]{8}"), ("gs://b/" + "x" * 90, "audio-vae-x{40}-[0-9a-f]{8}")],
)
def test_job_names_are_valid_and_differ_by_bucket(uri: str, pattern: str) -> None:
    name = dataflow.job_name_of(uri)
    assert re.fullmatch(pattern, name)
    assert name != dataflow.job_name_of(uri.replace("gs://b", "gs://c"))
    assert len(name) <= 63

"""A run as a job on Google Cloud Dataflow: what it needs besides Beam's options, and handing it over without waiting.

Dataflow has one active job of a name in a project's region. A run is named after its dataset, so Dataflow refuses a
second run over a dataset while one is active. Therefore a run leaves alone what others wrote until its own job has been
accepted: from then on no other of its name is active, and what others left can go.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DebugOptions, GoogleCloudOptions, PipelineOptions
from apache_beam.runners.runner import PipelineState

from pipelines.audio.sources import canonical
from pipelines.beam import launch
from pipelines.beam.build_on_beam import BuildOptions, build_pipeline
from pipelines.errors import SettingError, WorkError
from pipelines.runs import folder
from pipelines.runs.fate import clearing
from pipelines.runs.folder import PlannedRun
from pipelines.store.paths import local_path


@dataclass(frozen=True)
class Job:
    """A job that Dataflow has taken. job_id: None when a Flex Template's launcher hands the job over by itself."""

    result: Any
    job_id: str | None
    job_name: str
    project: str
    region: str

    @property
    def url(self) -> str | None:
        """The job's page."""
        if self.job_id is None:
            return None
        return f"https://console.cloud.google.com/dataflow/jobs/{self.region}/{self.job_id}?project={self.project}"

    def to_dict(self) -> dict[str, str | None]:
        """What a scheduler wants to know, as JSON values."""
        return {
            "id": self.job_id,
            "name": self.job_name,
            "project": self.project,
            "region": self.region,
            "url": self.url,
        }


class JobGoesOn(WorkError):
    """The job could not be watched to its end. It may still commit its run."""


def job_name_of(dataset_uri: str) -> str:
    """The name of every run's job over a dataset: `audio-vae-`, the folder's name, and a digest of the URI."""
    uri = canonical(dataset_uri)
    folder = re.sub("[^a-z0-9]+", "-", uri.rsplit("/", 1)[-1].lower()).strip("-")[:40]
    return "-".join(filter(None, ["audio-vae", folder.strip("-"), hashlib.sha256(uri.encode()).hexdigest()[:8]]))


def prepare(job: PipelineOptions, inputs: Sequence[str], output: str, *, waits: bool = True) -> None:
    """Check what a run's job needs before any work is done, and fill in its name and threads.

    waits: whether this process waits for the job's end. SettingError names the option or the path that does not do.
    """
    try:
        from apache_beam.runners.dataflow.internal import apiclient as _  # noqa: F401
    except ImportError as error:
        raise SettingError(f"--runner DataflowRunner: needs pip install 'audio-vae[dataflow]' ({error})") from error
    google = job.view_as(GoogleCloudOptions)
    for name in ("project", "region"):
        if not getattr(google, name):
            raise SettingError(f"--{name} must be given with --runner DataflowRunner")
    if not (google.temp_location or google.staging_location):
        raise SettingError("--temp_location must be given with --runner DataflowRunner: a gs:// folder for its files")
    for name, uri in [*(("INPUT", uri) for uri in inputs), ("--output", output)]:
        if local_path(uri) is not None:
            raise SettingError(f"{name} {uri}: must be a URI such as gs://BUCKET/…: Dataflow does not see local files")
    if not google.job_name:
        google.job_name = job_name_of(output)
    debug = job.view_as(DebugOptions)
    if debug.number_of_worker_harness_threads is None:
        debug.number_of_worker_harness_threads = 1  # Dataflow starts a Python process for each core already
    if google.template_location and waits:
        raise SettingError("--template_location must come with --no-wait: the job begins when this process has ended")
    if not google.no_auth:
        _require_credentials()


def _require_credentials() -> None:
    """Beam would try four times, and then go on anonymously."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        google.auth.default()
    except GoogleAuthError as error:
        raise SettingError(
            "--runner DataflowRunner: no Google Cloud credentials were found; run `gcloud auth application-default "
            "login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file"
        ) from error


def submit(run: PlannedRun, job: PipelineOptions, decode_timeout_seconds: float) -> Job:
    """Hand a planned run over to Dataflow. When it is refused, the run's folder is removed and no other is touched."""
    options = BuildOptions(decode_timeout_seconds, None)
    try:
        submitted = _submit(job, lambda pipeline: build_pipeline(pipeline, run, options))
    except BaseException:
        _clear(run)
        raise
    folder.clear_leftovers(run.dataset_uri, folder.open_base(run.dataset_uri), keep=run.name)
    return submitted


def submit_nothing(job: PipelineOptions) -> None:
    """A job that does nothing, for a Flex Template's launch with nothing to do: one that leaves no job has failed."""
    if job.view_as(GoogleCloudOptions).template_location:
        _submit(job, lambda pipeline: pipeline | "NothingNew" >> beam.Create(["nothing new"]))


def _submit(job: PipelineOptions, build: Callable[[beam.Pipeline], object]) -> Job:
    google = job.view_as(GoogleCloudOptions)
    try:
        result = launch.submit(job, build)
    except WorkError as error:
        raise _refusal(error, google) from error
    job_id = result.job_id() if getattr(result, "has_job", False) else None
    if job_id is None and not google.template_location:
        raise WorkError("the job was built and not handed over, as --dry_run asks; nothing was written")
    submitted = Job(result, job_id, google.job_name, google.project, google.region)
    if submitted.url:
        print(f"job {submitted.job_name}: {submitted.url}", file=sys.stderr)
    return submitted


def _refusal(error: WorkError, google: GoogleCloudOptions) -> WorkError:
    """Why there is no job, in the words of the service."""
    from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError
    from google.api_core.exceptions import GoogleAPICallError

    cause = error.__cause__
    if isinstance(cause, DataflowJobAlreadyExistsError):
        active = re.search(r"with id: (\S+?)\.?(\s|$)", str(cause))
        name = f"job {google.job_name} ({active[1]})" if active else f"job {google.job_name}"
        return WorkError(f"{name} is active: it is writing to this dataset already; run again when it has ended")
    if isinstance(cause, GoogleAPICallError):
        return WorkError(f"Dataflow refused job {google.job_name} in project {google.project}: {cause.message}")
    return error


def wait(run: PlannedRun, submitted: Job) -> None:
    """Wait for the end of a run's job; Ctrl-C cancels it. The error that it ended with, or JobGoesOn if unknown."""
    try:
        launch.wait(submitted.result)
    except BaseException as error:
        if isinstance(error, Exception) and not _has_ended(submitted):
            name = f"job {submitted.job_name} ({submitted.job_id})"
            raise JobGoesOn(f"{name} cannot be watched any more and may go on: {error}") from error
        _clear(run)
        raise


def _has_ended(submitted: Job) -> bool:
    try:
        return bool(PipelineState.is_terminal(submitted.result.state))
    except Exception:  # whatever hides the state, the job may be active
        return False


def _clear(run: PlannedRun) -> None:
    """Remove the folder of a run that will not commit. One that has committed after all stays."""
    base = folder.open_base(run.dataset_uri)
    if base is None or all(committed.name != run.name for committed in base.runs):
        with clearing(run.uri) as may_clear:
            if may_clear:
                folder.remove_run(run.uri)

"""Audio files to latents in a Parquet file: where a model and Beam meet. Both are imported when a job begins."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.audio.limits import SourceLimits
from pipelines.config import DatasetConfig
from pipelines.dataset.tables import read_parquet
from pipelines.errors import is_installed, require, require_package
from pipelines.plan.policy import MaxFailures
from pipelines.runs.encoding_run import EncodingRun, plan, work_folder
from pipelines.store.paths import Place, local_path
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import latent_names
from vae_model.model_folder.own_code import allowed_imports, check_import_allowed
from vae_model.sound.encoder import batch_size_of, copy_model, import_encoder, load_encoder
from vae_model.sound.latent_table import schema

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

SUFFIX = ".parquet"
"""Of the output: nothing else is written."""


@dataclass(frozen=True)
class EncodedSources:
    """Counts of sources: found = written + failed."""

    found: int
    written: int
    failed: int


@dataclass(frozen=True)
class Encoding:
    """What `encode` wrote: `output` with a row a segment, `sources_table` with a row a source.

    failures: a line for each source that failed, its path, where, and why.
    """

    output: str
    sources_table: str
    num_segments: int
    sources: EncodedSources
    failures: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; the failures are in the table."""
        return {name: value for name, value in asdict(self).items() if name != "failures"}


def encode(
    model: Place,
    inputs: Place | Sequence[Place],
    output: Place,
    *,
    label_pattern: str | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    shard_mb: float = 64.0,
    decode_timeout_seconds: float = 60.0,
    limits: SourceLimits | None = None,
    max_failures: MaxFailures | str | None = None,
    beam_flags: Sequence[str] = (),
    verbose: bool = False,
) -> Encoding:
    """Write the latents of audio files into a Parquet file, a row for each segment: `audio-vae encode`.

    A job on Beam; where Beam is not installed, the same on this machine without it.

    model: the MODEL folder at a path or URI. inputs: folders, files or URIs. output: the file, made or replaced at the
    end. label_pattern: named groups in the relative path are labels, as in the model's dataset unless given.
    batch_size: segments at once, by the model's size unless given. workers: local ones, all cores unless given.
    shard_mb: spectrograms a task. limits: what a source is let be, as `preprocess` has it. max_failures: write nothing
    past so many failed files, such as 10 or "2%".
    beam_flags: Beam's own options, such as "--runner=FlinkRunner". verbose: show Beam's log. A file that can't be used
    is a row in the table of sources. SettingError for what can't be right, TooManyFailures, WorkError when the job
    failed.

    >>> latents = encode(model, sounds, folder / "latents.parquet", workers=1)
    >>> latents.num_segments, latents.sources.found, latents.failures
    (12, 12, ())
    """
    positive = {"batch_size": batch_size, "workers": workers, "shard_mb": shard_mb}
    positive["decode_timeout_seconds"] = decode_timeout_seconds
    for name, value in positive.items():
        require(value is None or value > 0, f"--{name.replace('_', '-')}", value, "a positive number")
    model, output = os.fspath(model), os.fspath(output)
    uris = [os.fspath(place) for place in ([inputs] if isinstance(inputs, (str, os.PathLike)) else inputs)]
    require(
        output.endswith(SUFFIX), "--output", output, f"a file whose name ends in {SUFFIX}: Parquet is what is written"
    )
    path = local_path(output)
    is_file = path is None or (not Path(path).is_dir() and Path(path).absolute().parent.is_dir())
    require(is_file, "--output", output, "a file in a folder that exists")
    bundle = Bundle.load(model)  # mistakes show before Beam's seconds of loading
    if bundle.model.code:
        check_import_allowed(bundle.model.code)
    _set_up_logging(verbose)
    if beam_flags:
        require_package("apache_beam", "pipeline", "a runner of Beam's")
    if not isinstance(max_failures, MaxFailures):
        max_failures = MaxFailures() if max_failures is None else MaxFailures.parse(max_failures)
    config = _config(bundle, label_pattern)
    job = _job(beam_flags, workers, uris, output) if is_installed("apache_beam") else None
    with work_folder(output, here=job is None or _is_local(job)) as work:
        named = copy_model(model, work)
        columns = schema(latent_names(bundle.model), bundle.model.latent_space_dim, config.label_names, named)
        run = EncodingRun(
            output=output,
            work=work,
            config=config,
            schema=columns,
            load=functools.partial(load_encoder, work, columns, allowed_imports()),
            batch_size=batch_size or batch_size_of(bundle.model),
            decode_timeout_seconds=decode_timeout_seconds,
            limits=limits or SourceLimits(),
            max_failures=max_failures,
        )
        run = plan(run, uris, shard_mb)
        if job is None:
            _encode_here(run, workers)
        else:
            _run_job(job, run, verbose)
    return _outcome(run)


def _is_local(job: PipelineOptions) -> bool:
    from pipelines.beam import launch

    return launch.is_local(job)


def _encode_here(run: EncodingRun, workers: int | None) -> None:
    from pipelines.beam.encode_without_beam import encode_directly
    from pipelines.beam.progress import show_progress

    with show_progress(run.num_sources, run.num_tasks) as progress_folder:
        encode_directly(run, workers, progress_folder)


def _run_job(job: PipelineOptions, run: EncodingRun, verbose: bool) -> None:
    from pipelines.beam import encode_on_beam, launch
    from pipelines.beam.progress import show_progress

    with contextlib.ExitStack() as stack:
        stack.enter_context(encode_on_beam.calls_ended(run.work))
        progress_folder = None
        if launch.is_local(job):
            import_encoder()
            progress_folder = stack.enter_context(show_progress(run.num_sources, run.num_tasks))
        if not verbose:
            launch.quieten()
        launch.run_job(job, lambda pipeline: encode_on_beam.build_pipeline(pipeline, run, progress_folder))


def _set_up_logging(verbose: bool) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, stream=sys.stderr)
    if not verbose:
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL + 1)


def _config(bundle: Bundle, label_pattern: str | None) -> DatasetConfig:
    """How sound becomes the model's input."""
    pattern = label_pattern or bundle.dataset.get("label_pattern")
    return DatasetConfig(bundle.audio, bundle.spectrogram, dtype="float32", split=(), label_pattern=pattern)


def _job(beam_flags: Sequence[str], workers: int | None, inputs: list[str], output: str) -> PipelineOptions:
    """Beam's options. SettingError when they don't fit the places."""
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.beam import launch, preflight

    flags = preflight.ask_runner(list(beam_flags), [*inputs, output]) if beam_flags else []
    job = launch.job_options(PipelineOptions(flags), flags, workers)
    if launch.is_dataflow(job):
        from pipelines.beam import dataflow

        dataflow.prepare(job, inputs, output)
    return job


def _outcome(run: EncodingRun) -> Encoding:
    """What became of the sources, from their table."""
    rows = read_parquet(run.sources_uri, ["source", "status", "num_segments", "error_stage", "error"]).to_pylist()
    failed = [row for row in rows if row["status"] == "failed"]
    return Encoding(
        output=run.output,
        sources_table=run.sources_uri,
        num_segments=sum(row["num_segments"] for row in rows),
        sources=EncodedSources(len(rows), len(rows) - len(failed), len(failed)),
        failures=tuple(f"{row['source']}: {row['error_stage']}: {row['error']}" for row in failed),
    )

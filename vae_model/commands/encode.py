"""The command `audio-vae encode`: audio files to latents in a Parquet file. A job on Beam, as `preprocess` is."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.config import DatasetConfig
from pipelines.console.terminal import terminable
from pipelines.errors import require
from pipelines.store.paths import local_path
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import latent_names

if TYPE_CHECKING:
    from pipelines.beam.encode_on_beam import EncodingRun


_FAILURES_SHOWN = 10


def parser() -> argparse.ArgumentParser:
    """The command's arguments but Beam's."""
    result = argparse.ArgumentParser(
        prog="audio-vae encode",
        description="Write the latents of audio files into a Parquet file, a row for each segment.",
        epilog="Beam's own options (--runner, --flink_master, …) pass through unchanged.",
        allow_abbrev=False,
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("inputs", nargs="+", metavar="INPUT", help="folder, file, or URI of a bucket")
    result.add_argument("--output", required=True, metavar="PARQUET", help="the file, made or replaced at the end")
    result.add_argument(
        "--label-pattern",
        metavar="REGEX",
        help="named groups in the relative path are labels (default: that of the model's dataset)",
    )
    result.add_argument("--batch-size", type=int, metavar="N", help="segments at once (default: by the model's size)")
    result.add_argument("--workers", type=int, metavar="N", help="local workers (default: all cores)")
    result.add_argument("--shard-mb", type=float, default=64.0, metavar="MB", help="spectrograms a task (64)")
    result.add_argument("--decode-timeout-seconds", type=float, default=60.0, metavar="S")
    result.add_argument("--max-failures", metavar="N|P%%", help="write nothing past so many failed files")
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    result.add_argument("--verbose", action="store_true", help="show Beam's log too")
    return result


def main(argv: list[str]) -> int:
    """Run the command: 0 also when some files could not be used. Errors are the caller's to print."""
    own = parser()
    ours, beam_flags = argv, list[str]()
    if any(word.startswith("--") and word.split("=")[0] not in own._option_string_actions for word in argv):
        from pipelines.beam.launch import split_beam_flags

        ours, beam_flags = split_beam_flags(argv, own._option_string_actions)
    arguments = own.parse_args(ours)
    for name in ("batch_size", "workers", "shard_mb", "decode_timeout_seconds"):
        value = getattr(arguments, name)
        require(value is None or value > 0, f"--{name.replace('_', '-')}", value, "a positive number")
    path = local_path(arguments.output)
    is_file = path is None or (not Path(path).is_dir() and Path(path).absolute().parent.is_dir())
    require(is_file, "--output", arguments.output, "a file in a folder that exists")
    bundle = Bundle.load(arguments.model)  # mistakes show before Beam's seconds of loading
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.ERROR, stream=sys.stderr)
    if not arguments.verbose:
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL + 1)
    if beam_flags:
        from pipelines.beam.preflight import settled

        beam_flags = settled(beam_flags, [*arguments.inputs, arguments.output])
    with terminable():
        run = _run(arguments, bundle, beam_flags)
    _report(run, arguments.json)
    return 0


def _run(arguments: argparse.Namespace, bundle: Bundle, beam_flags: list[str]) -> EncodingRun:
    """Plan and run the job."""
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.beam import encode_on_beam, launch
    from pipelines.beam.progress import show_progress
    from pipelines.plan.policy import MaxFailures
    from vae_model.sound.encoder import batch_size_of, copy_model, load_encoder
    from vae_model.sound.latent_table import schema

    pattern = arguments.label_pattern or bundle.dataset.get("label_pattern")
    config = DatasetConfig(bundle.audio, bundle.spectrogram, dtype="float32", split=(), label_pattern=pattern)
    columns = schema(latent_names(bundle.model), bundle.model.latent_space_dim, config.label_names)
    limit = MaxFailures() if arguments.max_failures is None else MaxFailures.parse(arguments.max_failures)
    job = launch.job_options(PipelineOptions(beam_flags), beam_flags, arguments.workers)
    if launch.is_dataflow(job):
        from pipelines.beam import dataflow

        dataflow.prepare(job, arguments.inputs, arguments.output)
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(encode_on_beam.work_folder(arguments.output))
        run = encode_on_beam.EncodingRun(
            output=arguments.output,
            work=work,
            config=config,
            schema=columns,
            load=functools.partial(load_encoder, work, columns),
            batch_size=arguments.batch_size or batch_size_of(bundle.model),
            decode_timeout_seconds=arguments.decode_timeout_seconds,
            max_failures=limit,
        )
        run = encode_on_beam.plan(run, arguments.inputs, arguments.shard_mb)
        copy_model(arguments.model, work)
        progress_folder = None
        if launch.is_local(job):
            progress_folder = stack.enter_context(show_progress(run.num_sources, run.num_tasks))
        if not arguments.verbose:
            launch.quieten()
        launch.run_job(job, lambda pipeline: encode_on_beam.build_pipeline(pipeline, run, progress_folder))
    return run


def _report(run: EncodingRun, as_json: bool) -> None:
    """What was written, and each source that failed with its reason (the first few)."""
    from pipelines.dataset.tables import read_parquet

    rows = read_parquet(run.sources_uri, ["source", "status", "num_segments", "error_stage", "error"]).to_pylist()
    failed = [row for row in rows if row["status"] == "failed"]
    segments = sum(row["num_segments"] for row in rows)
    for row in failed[:_FAILURES_SHOWN]:
        print(f"failed: {row['source']}: {row['error_stage']}: {row['error']}", file=sys.stderr)
    if len(failed) > _FAILURES_SHOWN:
        print(f"… and {len(failed) - _FAILURES_SHOWN:,} more; all are in {run.sources_uri}", file=sys.stderr)
    sources = {"found": len(rows), "written": len(rows) - len(failed), "failed": len(failed)}
    text = f"{segments:,} segments of {sources['written']:,} sources, {len(failed):,} sources failed"
    print(f"{run.output}: {text}", file=sys.stderr)
    if as_json:
        values: dict[str, Any] = {"output": run.output, "sources_table": run.sources_uri, "num_segments": segments}
        print(json.dumps(values | {"sources": sources}))

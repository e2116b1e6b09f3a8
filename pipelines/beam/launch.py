"""Hands a planned run to Beam: options, the choice of the runner, and the error that a job ends with."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult
from apache_beam.runners.worker import sdk_worker

from pipelines import errors
from pipelines.beam.flink import flink_job_ended_when_interrupted, same_interrupt_after
from pipelines.errors import AudioVaeError, SettingError, TooManyFailures, WorkError
from pipelines.flags import add_settings
from pipelines.request import PRESET_KEY, SETTINGS, Request

LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
"""Named, because Beam's DirectRunner chooses between three runners by graph and network."""


class PreprocessOptions(PipelineOptions):
    """What is asked of `preprocess` among Beam's options, so that a job's page shows it."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(f"--{PRESET_KEY}")
        add_settings(parser, SETTINGS, {})


def split_beam_flags(argv: Sequence[str], own: Collection[str] = ()) -> tuple[list[str], list[str]]:
    """Separate Beam's flags and their values from our arguments, so that no value is taken for an INPUT.

    own: the flags that are ours, whatever Beam has.
    """
    known = _beams_parser()
    ours: list[str] = []
    beams: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name = word.split("=", 1)[0]
        action = known._option_string_actions.get(name)
        if action is None or name in own:
            ours.append(word)
            continue
        beams.append(word)
        if "=" not in word and action.nargs != 0 and rest:
            beams.append(rest.pop(0))
    return ours, beams


def beam_flag_names() -> list[str]:
    """All flags that Beam knows."""
    return list(_beams_parser()._option_string_actions)


def _beams_parser() -> argparse.ArgumentParser:
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        if options is not PreprocessOptions:
            options._add_argparse_args(known)
    return known


def preprocess_options(request: Request, beam_flags: list[str]) -> PipelineOptions:
    """`job_options` with what is asked of `preprocess` among them."""
    return job_options(PreprocessOptions(beam_flags, **request.given), beam_flags, request.run.workers)


def job_options(job: PipelineOptions, beam_flags: list[str], workers: int | None) -> PipelineOptions:
    """Beam's options; without --runner the local runner is named, with a thread for each worker.

    Each thread leads a builder process, so threads are enough to use all cores.
    """
    standard, direct = job.view_as(StandardOptions), job.view_as(DirectOptions)
    if standard.runner is None:
        standard.runner = LOCAL_RUNNER
        if not any(flag.startswith("--direct_num_workers") for flag in beam_flags):
            direct.direct_num_workers = workers or os.cpu_count() or 1
        if not any(flag.startswith("--direct_running_mode") for flag in beam_flags):
            direct.direct_running_mode = "multi_threading" if direct.direct_num_workers > 1 else "in_memory"
    return job


def quieten() -> None:
    """Keep Beam from printing the traceback of an error that the command tells in a line.

    Its workers in this process print even after the job has ended, so standard error cannot be held back for the time
    of the job alone. What a cluster says it logs as if this program had said it, and threads that listen to a cluster
    end with a traceback when the cluster goes.
    """
    vars(sdk_worker)["print"] = lambda *words, **options: None
    logging.getLogger().addFilter(_is_not_beams)
    threading.excepthook = _tell_of_threads


def _is_not_beams(record: logging.LogRecord) -> bool:
    return "apache_beam" not in record.pathname


_LISTENERS = ("wait_until_finish", "run_worker", "read_grpc_client_inputs")


def _tell_of_threads(failure: threading.ExceptHookArgs) -> None:
    if failure.thread is None or not failure.thread.name.startswith(_LISTENERS):
        threading.__excepthook__(failure)


def is_local(job: PipelineOptions) -> bool:
    """Whether the job runs on this machine under the local runner."""
    return str(job.view_as(StandardOptions).runner).rsplit(".", 1)[-1] == "FnApiRunner"


def is_dataflow(job: PipelineOptions) -> bool:
    """Whether the job runs on Google Cloud Dataflow."""
    return str(job.view_as(StandardOptions).runner).rsplit(".", 1)[-1] == "DataflowRunner"


def run_job(job: PipelineOptions, build: Callable[[beam.Pipeline], object]) -> None:
    """Run the job that `build` puts into a pipeline to its end.

    Raises the error that a worker raised, or a WorkError with what the runner said.
    """
    with flink_job_ended_when_interrupted(job):
        wait(submit(job, build))


def submit(job: PipelineOptions, build: Callable[[beam.Pipeline], object]) -> PipelineResult:
    """Hand the job that `build` puts into a pipeline to its runner. A local runner returns when it has ended."""
    with _plain_errors(), same_interrupt_after():
        pipeline = beam.Pipeline(options=job)
        build(pipeline)
        return pipeline.run()


def wait(result: PipelineResult) -> None:
    """Wait for a job's end; Ctrl-C cancels it. Errors as of `run_job`."""
    with _plain_errors():
        try:
            result.wait_until_finish()
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                result.cancel()
            raise


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except AudioVaeError:
        raise
    except Exception as error:  # a runner may raise anything; its text is all that it tells
        raise _plain_error(error) from error


_OURS = re.compile(r"pipelines\.errors\.(\w+): (.*?)(?: \[while running|\\n|$)", re.MULTILINE)


def _plain_error(error: Exception) -> AudioVaeError:
    """The error that a worker raised, out of the traceback that a runner puts around it."""
    text = str(error)
    if found := _OURS.findall(text):
        name, message = found[-1]
        kind = getattr(errors, name)
        return kind(message) if kind in (SettingError, WorkError, TooManyFailures) else WorkError(message)
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return WorkError(f"the Beam job failed: {lines[-1] if lines else type(error).__name__}")

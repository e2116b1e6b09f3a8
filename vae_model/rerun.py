"""The command `audio-vae rerun`: preprocess, train from the last model, evaluate, promote, report, as far as is new."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from pipelines import store
from pipelines.dataset import is_dataset, open_dataset
from pipelines.errors import AudioVaeError, WorkError
from pipelines.terminal import terminable
from vae_model import rerun_state
from vae_model.drift import lines
from vae_model.lease import lock
from vae_model.rerun_config import RerunConfig, read_config
from vae_model.rerun_stages import DONE, SKIPPED, STAGES, Job, Outcome
from vae_model.rerun_state import StageEntry

FAILED, INTERRUPTED, UNCHANGED, PENDING = "failed", "interrupted", "unchanged", "pending"


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae rerun",
        description="Bring a dataset up to date with new audio, train from the last model if there is enough of it, "
        "compare both on held-out records, promote the new one unless it is worse, and write the report. What did not "
        "change is skipped, what was interrupted goes on. docs/scheduling.md describes the file and the schedules.",
    )
    result.add_argument("config", metavar="CONFIG", help="YAML file of what to do, such as examples/rerun.yaml")
    one = result.add_mutually_exclusive_group()
    one.add_argument("--stage", choices=list(STAGES), help="only this one, for a scheduler with a task for each")
    one.add_argument("--pending", action="store_true", help="only count the audio that is new, and do nothing")
    result.add_argument("--expected-listing", help=argparse.SUPPRESS)  # set by `audio-vae watch`
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command. Errors are the caller's to print; with --json they are in the object too."""
    arguments = parser().parse_args(argv)
    config = read_config(arguments.config)
    config.options.expected_listing = arguments.expected_listing
    if arguments.pending:
        _say_what_is_new(config, as_json=arguments.json)
        return 0
    wanted = [arguments.stage] if arguments.stage else list(STAGES)
    values: dict[str, Any] = {}
    with terminable(), lock(config.workspace):
        version = rerun_state.version(config.workspace)
        job = Job(config, rerun_state.load(config.workspace), version, _say)
        _check_state_is_there(job)
        try:
            for name in wanted:
                _run(job, name, values, check=arguments.stage is not None)
        finally:
            if arguments.json:
                print(json.dumps(summary(job, values)), flush=True)
    return 0


def _say_what_is_new(config: RerunConfig, *, as_json: bool) -> None:
    from pipelines.preprocess import what_is_new

    found = what_is_new(config.options)
    counts = {name: found[name] for name in ("new", "changed", "removed")}
    if as_json:
        print(json.dumps({"status": PENDING if any(counts.values()) else UNCHANGED, **found}), flush=True)
    else:
        _say(f"{config.dataset}: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()) + " sources")


def _run(job: Job, name: str, values: dict[str, Any], *, check: bool) -> None:
    """Do a stage, and put what came of it into `values` by its name; also when it fails, and then the error goes on."""
    started = time.monotonic()
    outcome = Outcome(FAILED, "")
    try:
        if check:
            _check_order(job, name)
        outcome = STAGES[name](job)
        _enter(job, name, outcome)
    except rerun_state.Interrupted as error:
        outcome = Outcome(INTERRUPTED, str(error))
        raise
    except AudioVaeError as error:
        outcome = Outcome(FAILED, " ".join(str(error).split()))
        raise
    except KeyboardInterrupt:
        outcome = Outcome(INTERRUPTED, "asked to stop")
        raise
    finally:
        seconds = round(time.monotonic() - started, 3)
        values[name] = {"status": outcome.status, "reason": outcome.reason, "seconds": seconds, **outcome.result}
        if outcome.status in (DONE, SKIPPED):
            _say(f"{name:<10} {outcome.status:<8} {outcome.reason}")
            for line in lines(outcome.result.get("drift") or {}):
                _say(f"{'':<20}{line}")


def _check_order(job: Job, name: str) -> None:
    """WorkError when the stage before this one has not been done on the dataset as it is now."""
    names = list(STAGES)
    before = names[names.index(name) - 1] if name != names[0] else None
    if before is None:
        return
    entry = job.state.stages.get(before)
    digest = _digest(job.config)
    if entry is None or entry.dataset != digest:
        when = "has not been done" if entry is None else "has not seen the dataset as it is now"
        way = f"audio-vae rerun {job.config.path} --stage {before}"
        raise WorkError(f"--stage {name} comes after {before}, which {when}: {way}")


def _enter(job: Job, name: str, outcome: Outcome) -> None:
    """Record the stage in the state; nothing is written when nothing is new."""
    last = job.state.stages.get(name)
    digest = _digest(job.config)
    if last is not None and outcome.status == SKIPPED and last.dataset == digest:
        return
    result = outcome.result or (last.result if last is not None and outcome.status == SKIPPED else {})
    entry = StageEntry(outcome.status, outcome.reason, digest, rerun_state.now(), result)
    job.save(job.state.with_stage(name, entry))


def _digest(config: RerunConfig) -> str:
    return open_dataset(config.dataset).digest if is_dataset(config.dataset) else ""


def _check_state_is_there(job: Job) -> None:
    """Models without a state would be taken for leftovers."""
    if not job.state.models and any(name[:1].isdigit() for name in store.names(job.config.models)):
        uri = store.join(job.config.workspace, rerun_state.STATE_FILE)
        raise WorkError(f"{uri} must be there, as {job.config.models} holds models: restore it, or move them away")


def summary(job: Job, stages: dict[str, Any]) -> dict[str, Any]:
    """The object of --json: an overall status, where things are, and each stage that was come to."""
    statuses = [stage["status"] for stage in stages.values()]
    status = next((bad for bad in (FAILED, INTERRUPTED) if bad in statuses), None)
    promoted = job.state.promoted
    return {
        "at": rerun_state.now(),
        "status": status or (DONE if DONE in statuses else UNCHANGED),
        "error": next((stage["reason"] for stage in stages.values() if stage["status"] == status), None),
        "workspace": job.config.workspace,
        "dataset": job.config.dataset,
        "promoted": promoted,
        "model": None if promoted is None else job.folder(promoted),
        "stages": stages,
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

"""The stages of a rerun, one after the other, each entered into the state."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines import store
from pipelines.dataset.folder import is_dataset, open_dataset
from pipelines.errors import AudioVaeError, Interrupted, WorkError
from pipelines.store.holding import hold_workspace
from pipelines.store.paths import Place
from vae_model.rerun import ownership, state
from vae_model.rerun.config import RerunConfig, read_config
from vae_model.rerun.drift import lines
from vae_model.rerun.stages import DONE, SKIPPED, STAGES, Job, Outcome
from vae_model.rerun.state import StageEntry

if TYPE_CHECKING:
    from pipelines.update import News

FAILED, INTERRUPTED, UNCHANGED, PENDING = "failed", "interrupted", "unchanged", "pending"


@dataclass(frozen=True)
class RerunResult:
    """What came of a rerun. status: done, unchanged, failed or interrupted. error: why it failed. at: UTC.

    promoted: name of the model in use, model: its folder; None when there is none. stages: of each that was come to its
    status, reason and seconds, and its own figures.
    """

    at: str
    status: str
    error: str | None
    workspace: str
    dataset: str
    promoted: str | None
    model: str | None
    stages: dict[str, dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: the object of `--json`."""
        return dataclasses.asdict(self)


def say(line: str) -> None:
    """A line on standard error."""
    print(line, file=sys.stderr, flush=True)


def run(
    config: RerunConfig,
    stages: Sequence[str] | None = None,
    *,
    expected_listing: str | None = None,
    ended: Callable[[RerunResult], object] = lambda result: None,
) -> RerunResult:
    """Do all that is left to do, or the stages named, each of which needs the one before it done on the same dataset.

    config: of `read_config`. expected_listing: digest that the listing of the audio must have. ended: called with the
    result also when a stage fails or is interrupted, whose error then goes on. What happens is said on standard error.
    """
    if expected_listing is not None:
        config = dataclasses.replace(
            config, request=dataclasses.replace(config.request, expected_listing=expected_listing)
        )
    done: dict[str, dict[str, Any]] = {}
    with hold_workspace(config.workspace):
        version = state.version(config.workspace)
        job = Job(config, state.load(config.workspace), version, say)
        _check_state_is_there(job)
        try:
            for name in STAGES if stages is None else stages:
                _do_stage(job, name, done, check=stages is not None)
        finally:
            result = _result(job, done)
            ended(result)
    return result


def run_again(config: Place, *, stages: Sequence[str] | None = None) -> RerunResult:
    """Do all of it again as far as audio is new: preprocess, train, evaluate, promote, report: `audio-vae rerun`.

    config: the YAML file of what to do, such as examples/rerun.yaml; docs/scheduling.md describes it. stages: only
    these, each of which needs the one before it done. What happens is said on standard error.

    >>> lines = f"inputs: [{sounds}]", f"workspace: {folder / 'work'}", "preprocess: {preset: tiny}"
    >>> _ = (folder / "rerun.yaml").write_text("\\n".join(lines))
    >>> result = run_again(folder / "rerun.yaml", stages=["preprocess"])
    >>> result.status, result.stages["preprocess"]["status"], result.promoted
    ('done', 'done', None)
    """
    return run(read_config(os.fspath(config)), stages)


def pending(config: RerunConfig) -> News:
    """How much audio is new; nothing is done."""
    from pipelines.update import what_is_new

    return what_is_new(config.request)


def _do_stage(job: Job, name: str, values: dict[str, dict[str, Any]], *, check: bool) -> None:
    """Do a stage, and put what came of it into `values` by its name; also when it fails, and then the error goes on."""
    started = time.monotonic()
    outcome = Outcome(FAILED, "")
    try:
        if check:
            _check_order(job, name)
        outcome = STAGES[name](job)
        _enter(job, name, outcome)
    except Interrupted as error:
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
            say(f"{name:<10} {outcome.status:<8} {outcome.reason}")
            for line in lines(outcome.result.get("drift") or {}):
                say(f"{'':<20}{line}")


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
    entry = StageEntry(outcome.status, outcome.reason, digest, state.now(), result)
    job.save(job.state.with_stage(name, entry))


def _digest(config: RerunConfig) -> str:
    return open_dataset(config.dataset).digest if is_dataset(config.dataset) else ""


def _check_state_is_there(job: Job) -> None:
    """WorkError when there are models without a state, unless they are another workspace's and say so."""
    models = job.config.models
    if not job.state.models and any(
        name[:1].isdigit()
        and not ownership.is_bare(models, name)
        and not ownership.is_of_another(models, name, job.config.workspace)
        for name in store.names(models)
    ):
        uri = store.join(job.config.workspace, state.STATE_FILE)
        raise WorkError(f"{uri} must be there, as {job.config.models} holds models: restore it, or move them away")


def _result(job: Job, stages: dict[str, dict[str, Any]]) -> RerunResult:
    """An overall status, where things are, and each stage that was come to."""
    statuses = [stage["status"] for stage in stages.values()]
    status = next((bad for bad in (FAILED, INTERRUPTED) if bad in statuses), None)
    promoted = job.state.promoted
    return RerunResult(
        at=state.now(),
        status=status or (DONE if DONE in statuses else UNCHANGED),
        error=next((stage["reason"] for stage in stages.values() if stage["status"] == status), None),
        workspace=job.config.workspace,
        dataset=job.config.dataset,
        promoted=promoted,
        model=None if promoted is None else job.folder(promoted),
        stages=stages,
    )

"""The stages of `audio-vae rerun`: each looks at the state, does what is left to do, and says what came of it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipelines import store
from pipelines.console.counts import failures_so_far, moved_and_duplicates
from pipelines.dataset.folder import Dataset, is_dataset, open_dataset
from pipelines.errors import AudioVaeError, Interrupted, SettingError, WorkError, require_package
from pipelines.store.paths import local_path
from vae_model.evaluation.batches import HELD_OUT, find_held_out
from vae_model.model_folder.bundle import Bundle
from vae_model.rerun import known_sources, ownership, promotion, retraining
from vae_model.rerun.config import RerunConfig
from vae_model.rerun.drift import Drift, drift_of_sources
from vae_model.rerun.state import (
    FAILED,
    PROMOTED,
    REJECTED,
    TRAINED,
    TRAINING,
    ModelEntry,
    State,
    now,
    save,
)

DONE, SKIPPED = "done", "skipped"
CURRENT = "current"


@dataclass(frozen=True)
class Outcome:
    """What came of a stage. status: done, or skipped as there was nothing to do. result: figures, JSON values."""

    status: str
    reason: str
    result: dict[str, Any] = field(default_factory=dict)


@dataclass
class Job:
    """A rerun at work: its settings, the state and the version of its file, and where to say what happens."""

    config: RerunConfig
    state: State
    version: str | None
    say: Callable[[str], None]

    def save(self, state: State) -> None:
        """Replace the state, here and in the workspace. Conflict when somebody else has.

        The models that leave it are noted, so that their folders go, and no others.
        """
        stay = {model.name for model in state.models}
        gone = [model.name for model in self.state.models if model.name not in stay]
        state = dataclasses.replace(state, leaving=tuple(dict.fromkeys([*state.leaving, *gone])))
        self.version = save(self.config.workspace, state, self.version)
        self.state = state

    def update(self, name: str, **changes: Any) -> None:
        """Change a model's entry, and save."""
        self.save(self.state.with_model(dataclasses.replace(self.state.model(name), **changes)))

    def folder(self, model: str) -> str:
        """The MODEL folder of a model."""
        return store.join(self.config.models, model)

    @property
    def newest_is_there(self) -> bool:
        """Whether the newest model's folder exists."""
        return self.state.newest is not None and store.exists(self.folder(self.state.newest.name))

    def split(self, dataset: Dataset) -> str:
        """The held-out split that models are compared on. SettingError when it has no records."""
        named = self.config.promote.split
        found = find_held_out(dataset) if named is None else named
        if found is not None and dataset.count(found):
            return found
        names = HELD_OUT if named is None else (named,)
        raise SettingError(
            f"{self.config.path}: promote: split must be one with records, to compare models on: "
            f"DATASET {dataset.uri} has none in {' or '.join(names)}"
        )


def preprocess(job: Job) -> Outcome:
    """Take in what is new. An interrupted training comes first: until it has ended, the dataset stays as it is."""
    if is_dataset(job.config.dataset):
        digest = open_dataset(job.config.dataset).digest
        if going_on := retraining.unfinished(job.state, job.config, digest, is_there=job.newest_is_there):
            return Outcome(SKIPPED, f"model {going_on.name} is to be trained to its end on the dataset as it is")
    from pipelines.runs.compacting import compact_if_many
    from pipelines.update import bring_up_to_date

    update = bring_up_to_date(dataclasses.replace(job.config.request, beam_flags=_beam_flags(job.config)))
    dataset, changes = update.dataset, update.changes
    compaction = compact_if_many(dataset, job.config.compact.small_shards, job.config.request.run.shard_mb)
    result: dict[str, Any] = {"dataset": store.shown(dataset.uri), "num_examples": dataset.num_examples}
    result |= {"sources": dataclasses.asdict(dataset.sources)}
    so_far = failures_so_far(dataset.sources.failed)
    if compaction is not None:
        result["compaction"] = compaction.to_dict()
        so_far += f"; {compaction.shards:,} small shards became {compaction.into:,}"
    if not update.committed:
        status = SKIPPED if compaction is None else DONE
        return Outcome(status, f"nothing new among {changes.unchanged:,} sources{so_far}", result)
    run = dataset.runs[-1]
    result |= {"run": run.name, "this_run": dataclasses.asdict(run.sources)}
    result |= {"moved": changes.moved, "duplicates": update.duplicates}
    counts = f"{changes.new:,} new, {changes.changed:,} changed and {changes.removed:,} removed sources"
    counts += moved_and_duplicates(changes.moved, update.duplicates)
    return Outcome(DONE, f"{counts}, {run.sources.failed:,} failed{so_far}", result)


def _beam_flags(config: RerunConfig) -> tuple[str, ...]:
    """Beam's options of the file. SettingError for one that Beam does not know."""
    if not config.places.beam:
        return ()
    require_package("apache_beam", "pipeline", f"{config.path}: beam:")
    from pipelines.beam.launch import split_beam_flags

    others, flags = split_beam_flags(config.places.beam)
    if others:
        raise SettingError(f"{config.path}: beam: {others[0]} must be an option of Beam's")
    return tuple(flags)


def train(job: Job) -> Outcome:
    """Train a model if the dataset changed enough, or go on with one that was interrupted."""
    config, dataset = job.config, open_dataset(job.config.dataset)
    job.split(dataset)  # without one, hours of training would be for nothing
    promoted = None if job.state.promoted is None else Bundle.load(job.folder(job.state.promoted))
    moment = datetime.datetime.now(datetime.timezone.utc)
    decision = retraining.decide(job.state, config, dataset, promoted, moment, is_there=job.newest_is_there)
    if decision.action == retraining.SKIP:
        return Outcome(SKIPPED, decision.reason)
    entry = job.state.newest if decision.action == retraining.RESUME else _begin(job, dataset, decision.start)
    assert entry is not None
    job.say(f"training model {entry.name}: {decision.reason}")
    from vae_model.runtime import prepare

    prepare()
    from vae_model.rerun.models import fit

    folder = job.folder(entry.name)
    try:
        training = fit(config, folder, None if entry.start is None else job.folder(entry.start))
    except Interrupted:
        raise
    except AudioVaeError as error:
        # A full disk, a store that is away: the next rerun goes on. Keras takes __cause__ from what it passes on.
        if not isinstance(error.__context__, OSError):
            job.update(entry.name, status=FAILED, reason=str(error))
        raise
    job.update(entry.name, status=TRAINED, metrics=Bundle.load(folder).metrics)
    result = {"model": entry.name, "folder": folder, "from": entry.start, "epochs": training.epochs}
    return Outcome(DONE, decision.reason, result | {"best_epoch": training.best_epoch, "losses": training.metrics})


def _begin(job: Job, dataset: Dataset, start: str | None) -> ModelEntry:
    """Enter a new model into the state; one whose training did not come to its end leaves it."""
    state = job.state
    stays = tuple(model for model in state.models if model.status not in (TRAINING, FAILED))
    number = 1 + max((int(model.name.split("-")[0]) for model in state.models), default=0)
    moment = datetime.datetime.now(datetime.timezone.utc)
    while not ownership.claim(job.config.models, name := f"{number:06d}-{moment:%Y%m%dT%H%M%SZ}", job.config.workspace):
        moment += datetime.timedelta(seconds=1)
    entry = ModelEntry(name, start, dataset.digest, job.config.settings_digest, now())
    known_sources.write(known_sources.uri_of(job.config.workspace, name), known_sources.sources_of(dataset))
    job.save(dataclasses.replace(state, models=(*stays, entry)))
    _tidy(job)
    return entry


def evaluate(job: Job) -> Outcome:
    """Measure the promoted model and a new one on the same held-out records, and say how new audio differs from old."""
    dataset = open_dataset(job.config.dataset)
    split = job.split(dataset)
    in_use, candidate = job.state.in_use, job.state.candidate
    models = [model for model in (in_use, candidate) if model is not None]
    if not models:
        return Outcome(SKIPPED, "there is no model")
    missing = [model for model in models if not model.evaluated_on(dataset.digest, split)]
    if not missing:
        return Outcome(SKIPPED, "models and dataset are the same as before", _evaluations(models))
    drifts, is_new = _drift_of_sources(job, dataset, in_use)
    from vae_model.runtime import prepare

    prepare()
    from vae_model.rerun.models import drift_of_errors, measured

    for model in missing:
        job.say(f"measuring model {model.name} on split {split}")
        evaluation, found = measured(job.folder(model.name), dataset, split)
        if model == in_use and is_new is not None:
            drifts["error_db"] = drift_of_errors(found, is_new)
        job.state = job.state.with_model(dataclasses.replace(model, evaluation=evaluation))  # saved with the stage
    shown = {name: None if value is None else value.to_dict() for name, value in drifts.items()}
    models = [job.state.model(model.name) for model in models]
    reason = f"{' and '.join(model.name for model in models)} on {dataset.split(split).num_examples:,} records"
    return Outcome(DONE, f"{reason} of split {split}", _evaluations(models) | {"drift": shown or None})


def _evaluations(models: list[ModelEntry]) -> dict[str, Any]:
    values: dict[str, Any] = {"promoted": None, "candidate": None}
    for model in models:
        figures = {name: value for name, value in model.evaluation.items() if name not in ("dataset", "scale")}
        values["candidate" if model.status == TRAINED else "promoted"] = {"model": model.name, **figures}
    return values


def _drift_of_sources(job: Job, dataset: Dataset, in_use: ModelEntry | None) -> tuple[dict[str, Drift | None], Any]:
    """Drift of level and length of the sources that the promoted model does not know, and the names of those."""
    if in_use is None:
        return {}, None
    sources = known_sources.sources_of(dataset)
    is_new = known_sources.unseen(sources, known_sources.read(known_sources.uri_of(job.config.workspace, in_use.name)))
    return drift_of_sources(sources, is_new, dataset.config), sources.filter(is_new)["source"]


def promote(job: Job) -> Outcome:
    """Let a new model take the promoted one's place if it is not worse, and tidy the models' folder up."""
    state, candidate = job.state, job.state.candidate
    if candidate is None:
        _tidy(job)
        in_use = f"; {state.promoted} stays" if state.promoted else ""
        return Outcome(SKIPPED, f"there is no new model{in_use}", {"promoted": False, "model": state.promoted})
    dataset = open_dataset(job.config.dataset)
    split = job.split(dataset)
    both = [model for model in (candidate, state.in_use) if model is not None]
    for model in both:
        if not model.evaluated_on(dataset.digest, split):
            way = f"audio-vae rerun {job.config.path} --stage evaluate"
            raise WorkError(f"model {model.name} must be evaluated on the dataset as it is now, first: {way}")
    new, *old = [promotion.Figures.of(model.name, model.evaluation, model.metrics) for model in both]
    verdict = promotion.judge(new, old[0] if old else None, job.config.promote)
    entry = dataclasses.replace(candidate, status=PROMOTED if verdict.promoted else REJECTED, reason=verdict.reason)
    state = state.with_model(entry)
    if verdict.promoted:
        state = dataclasses.replace(state, promoted=entry.name)
    job.save(_within_limit(state, job.config.promote.keep_models))
    _tidy(job)
    result = {"promoted": verdict.promoted, "candidate": candidate.name, "model": state.promoted}
    return Outcome(DONE, verdict.reason, result)


def _within_limit(state: State, keep: int) -> State:
    """Without the oldest models beyond the limit; the promoted one stays."""
    newest = [model.name for model in state.models][-keep:]
    models = tuple(model for model in state.models if model.name in newest or model.name == state.promoted)
    return dataclasses.replace(state, models=models)


def _tidy(job: Job) -> None:
    """Make the folders what the state says: models that left it go, and `current` leads to the promoted one."""
    names, models, workspace = {model.name for model in job.state.models}, job.config.models, job.config.workspace
    for name in job.state.leaving:
        ownership.remove(models, name, workspace)
    if job.state.leaving:
        job.save(dataclasses.replace(job.state, leaving=()))
    for name in store.names(models):
        if ownership.is_model(name) and name not in names and ownership.is_bare(models, name):
            ownership.remove_bare(models, name, workspace)
    sources = store.join(workspace, known_sources.FOLDER)
    for file in store.names(sources):
        name = file.removesuffix(".parquet")
        if ownership.is_model(name) and name not in names:
            store.remove_folder(store.join(sources, file))
    _lead_to(job, local_path(models))


def _lead_to(job: Job, models: str | None) -> None:
    """Make the link `current` in a local folder of models lead to the promoted one, if no other workspace made it."""
    if models is None or job.state.promoted is None:
        return
    link = os.path.join(models, CURRENT)
    if os.path.islink(link):
        now_at = os.readlink(link)
        if now_at == job.state.promoted:
            return
        if ownership.is_model(now_at) and ownership.is_of_another(models, now_at, job.config.workspace):
            job.say(f"{link} stays, as it leads to model {now_at} of another workspace")
            return
    partial = f"{link}.tmp-{os.getpid()}"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        os.symlink(job.state.promoted, partial)
        os.replace(partial, link)
    except OSError as error:
        raise WorkError(f"{link} cannot be made a link: {error.strerror or error}") from error


def report(job: Job) -> Outcome:
    """The page on the promoted model."""
    if not job.config.places.report:
        return Outcome(SKIPPED, "report is false")
    if job.state.promoted is None:
        return Outcome(SKIPPED, "no model is promoted")
    dataset = open_dataset(job.config.dataset)
    split = job.split(dataset)
    made_of = {"model": job.state.promoted, "dataset": dataset.digest, "split": split}
    page = job.config.report
    last = job.state.stages.get("report")
    if last is not None and last.result.get("made_of") == made_of and store.exists(page):
        return Outcome(SKIPPED, "model and dataset are the same as before", last.result)
    from vae_model.pages.report import write_report

    inputs = job.config.places.inputs
    written = write_report(job.folder(job.state.promoted), dataset, page, split=split, recordings=inputs)
    result = {"page": page, "num_bytes": written.num_bytes, "made_of": made_of}
    return Outcome(DONE, f"on model {job.state.promoted}", result)


STAGES: dict[str, Callable[[Job], Outcome]] = {
    "preprocess": preprocess,
    "train": train,
    "evaluate": evaluate,
    "promote": promote,
    "report": report,
}
"""The stages by name, in their order."""

"""`WORKSPACE/state.json`: what a series of reruns has come to. Replaced atomically at each step of one.

docs/scheduling.md describes it for those who read it; this module alone writes it.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from dataclasses import dataclass, field
from typing import Any

from pipelines import store
from pipelines.errors import SettingError, shortened
from pipelines.store.files import read_json
from pipelines.store.json_values import Value
from vae_model.rerun.ownership import is_model

FORMAT_VERSION = 1
STATE_FILE = "state.json"
TRAINING, TRAINED, PROMOTED, REJECTED, FAILED = "training", "trained", "promoted", "rejected", "failed"
_STATUSES = (TRAINING, TRAINED, PROMOTED, REJECTED, FAILED)


def now() -> str:
    """This moment in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class ModelEntry:
    """A model that a rerun began to train; `name` is its folder's.

    start: the model whose weights it began at, or None. dataset: digest of the dataset.json that it learned from.
    settings: digest of the settings that made it. began: UTC. status: training, trained, then promoted or rejected
    (a model stays `promoted` when another takes its place), or failed. reason: why it came to that. metrics: what
    `train` says of it. evaluation: its last one, with the `dataset` digest and the `split` that it was on.
    """

    name: str
    start: str | None
    dataset: str
    settings: str
    began: str
    status: str = TRAINING
    reason: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)

    def evaluated_on(self, dataset: str, split: str) -> bool:
        """Whether its evaluation is of this state of the dataset."""
        return (self.evaluation.get("dataset"), self.evaluation.get("split")) == (dataset, split)


@dataclass(frozen=True)
class StageEntry:
    """The last time that a stage came to its end. dataset: digest of the dataset that it found. at: UTC."""

    status: str
    reason: str
    dataset: str
    at: str
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """promoted: name of the model in use, or None. models: those that are kept, the oldest first. leaving: names of
    those that are no more, and whose folders are still to be removed."""

    promoted: str | None = None
    models: tuple[ModelEntry, ...] = ()
    stages: dict[str, StageEntry] = field(default_factory=dict)
    leaving: tuple[str, ...] = ()

    def model(self, name: str) -> ModelEntry:
        """The model of a name."""
        return next(model for model in self.models if model.name == name)

    @property
    def in_use(self) -> ModelEntry | None:
        """The promoted model."""
        return None if self.promoted is None else self.model(self.promoted)

    @property
    def newest(self) -> ModelEntry | None:
        """The model that was begun last."""
        return self.models[-1] if self.models else None

    @property
    def candidate(self) -> ModelEntry | None:
        """A trained model that is still to be promoted or rejected."""
        return self.newest if self.newest and self.newest.status == TRAINED else None

    @property
    def last_trained(self) -> ModelEntry | None:
        """The newest model whose training came to its end, whatever became of it."""
        done = [model for model in self.models if model.status not in (TRAINING, FAILED)]
        return done[-1] if done else None

    def with_model(self, model: ModelEntry) -> State:
        """With an entry replaced, or added."""
        if model.name not in [each.name for each in self.models]:
            return dataclasses.replace(self, models=(*self.models, model))
        models = tuple(model if each.name == model.name else each for each in self.models)
        return dataclasses.replace(self, models=models)

    def with_stage(self, name: str, entry: StageEntry) -> State:
        """With what came of a stage."""
        return dataclasses.replace(self, stages={**self.stages, name: entry})

    def to_json(self) -> bytes:
        """The file's content."""
        values = {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        return (json.dumps(values, indent=1) + "\n").encode()


def load(workspace: str) -> State:
    """The state of a workspace; a new one where there is none. SettingError when it is not as it must be."""
    uri = store.join(workspace, STATE_FILE)
    if not store.exists(uri):
        return State()
    values = Value(uri, read_json(uri)).object(("format_version", "promoted", "models", "stages"), ("leaving",))
    if values["format_version"].value != FORMAT_VERSION:
        found = shortened(values["format_version"].value)
        raise SettingError(f"{uri}: format_version={found} must be {FORMAT_VERSION}")
    models = tuple(map(_model, values["models"].list()))
    names = [model.name for model in models]
    values["models"].require(len(set(names)) == len(names), "models of different names")
    values["promoted"].require(values["promoted"].value in (None, *names), "null or the name of one of its models")
    stages = {name: _stage(entry) for name, entry in values["stages"].object().items()}
    leaving = values["leaving"].list() if "leaving" in values else []
    gone = tuple(_name(name) for name in leaving)
    return State(values["promoted"].value, models, stages, tuple(name for name in gone if name not in names))


def _name(value: Value) -> str:
    value.require(is_model(value.text()), "a model's, <number>-<utc>")
    return value.text()


def _model(value: Value) -> ModelEntry:
    known = {field.name for field in dataclasses.fields(ModelEntry)}
    values = value.object(("name", "start", "dataset", "settings", "began"), known)
    _name(values["name"])
    if values["start"].value is not None:
        _name(values["start"])
    for name in ("dataset", "settings", "began", "status", "reason"):
        if name in values:
            values[name].text()
    try:
        is_moment = datetime.datetime.fromisoformat(values["began"].text()).tzinfo is not None
    except ValueError:
        is_moment = False
    values["began"].require(is_moment, "a moment in UTC, such as 2026-03-01T02:30:00+00:00")
    if "status" in values:
        values["status"].require(values["status"].value in _STATUSES, f"one of {', '.join(_STATUSES)}")
    for name in ("metrics", "evaluation"):
        if name in values:
            values[name].object()
    return ModelEntry(**value.value)


def _stage(value: Value) -> StageEntry:
    values = value.object(("status", "reason", "dataset", "at"), ("result",))
    for name in ("status", "reason", "dataset", "at"):
        values[name].text()
    if "result" in values:
        values["result"].object()
    return StageEntry(**value.value)


def version(workspace: str) -> str | None:
    """Names the file's content as it is now, for `save`; None where there is none."""
    return store.version(store.join(workspace, STATE_FILE))


def save(workspace: str, state: State, expected: str | None) -> str | None:
    """Replace the file, and return its version. Conflict when it no longer has the version that is expected."""
    store.replace_if_unchanged(store.join(workspace, STATE_FILE), state.to_json(), expected)
    return version(workspace)

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
from pipelines.errors import SettingError

FORMAT_VERSION = 1
STATE_FILE = "state.json"
TRAINING, TRAINED, PROMOTED, REJECTED, FAILED = "training", "trained", "promoted", "rejected", "failed"


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
    """promoted: name of the model in use, or None. models: those that are kept, the oldest first."""

    promoted: str | None = None
    models: tuple[ModelEntry, ...] = ()
    stages: dict[str, StageEntry] = field(default_factory=dict)

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
    """The state of a workspace; a new one where there is none. SettingError when it can't be read."""
    uri = store.join(workspace, STATE_FILE)
    if not store.exists(uri):
        return State()
    try:
        values = json.loads(store.read_bytes(uri))
        if values["format_version"] != FORMAT_VERSION:
            raise SettingError(f"{uri}: format_version={values['format_version']!r} must be {FORMAT_VERSION}")
        models = tuple(ModelEntry(**model) for model in values["models"])
        stages = {name: StageEntry(**entry) for name, entry in values["stages"].items()}
        state = State(values["promoted"], models, stages)
        _ = state.in_use  # StopIteration when it isn't among the models
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise SettingError(f"{uri} must be a readable state of `audio-vae rerun`, but {error!r}") from error
    return state


def version(workspace: str) -> str | None:
    """Names the file's content as it is now, for `save`; None where there is none."""
    return store.version(store.join(workspace, STATE_FILE))


def save(workspace: str, state: State, expected: str | None) -> str | None:
    """Replace the file, and return its version. Conflict when it no longer has the version that is expected."""
    store.replace_if_unchanged(store.join(workspace, STATE_FILE), state.to_json(), expected)
    return version(workspace)

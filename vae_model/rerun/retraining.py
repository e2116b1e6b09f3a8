"""Whether a rerun trains a model, and where that one begins: decided without reading audio or loading TensorFlow."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass

import pyarrow.compute as pc

from pipelines.config import TRAIN
from pipelines.console.durations import in_words
from pipelines.dataset.folder import Dataset
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import architecture_differences
from vae_model.rerun import known_sources
from vae_model.rerun.config import RerunConfig
from vae_model.rerun.state import FAILED, TRAINING, ModelEntry, State

SKIP, RESUME, BEGIN = "skip", "resume", "begin"


@dataclass(frozen=True)
class Decision:
    """What to do: skip, resume the training that stands in the state, or begin one. start: the model to begin at."""

    action: str
    reason: str
    start: str | None = None


def unfinished(state: State, config: RerunConfig, digest: str, *, is_there: bool) -> ModelEntry | None:
    """A training that was interrupted and can go on: same dataset, same settings, and its folder is_there."""
    newest = state.newest
    if newest is None or newest.status != TRAINING or not is_there:
        return None
    return newest if (newest.dataset, newest.settings) == (digest, config.settings_digest) else None


def decide(
    state: State,
    config: RerunConfig,
    dataset: Dataset,
    promoted: Bundle | None,
    now: datetime.datetime,
    *,
    is_there: bool,
) -> Decision:
    """What the stage `train` is to do.

    promoted: the bundle of the promoted model. now: with a time zone. is_there: whether the newest model's folder is.
    """
    if state.candidate is not None:
        return Decision(SKIP, f"model {state.candidate.name} is trained and waits to be evaluated")
    if going_on := unfinished(state, config, dataset.digest, is_there=is_there):
        return Decision(RESUME, f"model {going_on.name} was interrupted", going_on.start)
    start, why_not = _start(state, config, dataset, promoted)
    last = state.last_trained
    if last is None:
        return Decision(BEGIN, "there is no model yet", start)
    if last.settings != config.settings_digest:
        return Decision(BEGIN, "the settings of train changed" + why_not, start)
    new = None if last.dataset == dataset.digest else _new_records(dataset, config, last)
    if new is None:
        if state.newest is not None and state.newest.status in (TRAINING, FAILED):
            return Decision(BEGIN, f"model {state.newest.name} did not come to its end" + why_not, start)
        return Decision(SKIP, f"nothing changed since model {last.name}")
    wanted = config.retrain.min_new_examples
    if new >= wanted:
        return Decision(BEGIN, f"{new:,} new training records, {wanted:,} wanted" + why_not, start)
    age = (now - datetime.datetime.fromisoformat(last.began)).total_seconds()
    limit = config.retrain.max_age_seconds
    if limit is not None and age >= limit:
        return Decision(BEGIN, f"the last training was {in_words(age)} ago, {config.retrain.max_age} allowed", start)
    return Decision(SKIP, f"{new:,} new training records, {wanted:,} wanted; last training {in_words(age)} ago")


def _new_records(dataset: Dataset, config: RerunConfig, last: ModelEntry) -> int | None:
    """Training records of the sources that are new, or changed, since a model was trained.

    None when the sources are the same: then a compaction is all that has changed the dataset.
    """
    known = known_sources.read(known_sources.uri_of(config.workspace, last.name))
    sources = known_sources.sources_of(dataset)
    unseen = known_sources.unseen(sources, known)
    if len(sources) == len(known) and not pc.any(unseen).as_py():
        return None
    return known_sources.num_records(sources.filter(unseen), TRAIN)


def _start(state: State, config: RerunConfig, dataset: Dataset, promoted: Bundle | None) -> tuple[str | None, str]:
    """The model to begin at, and why not at the promoted one if not."""
    if promoted is None or config.retrain.start != "promoted":
        return None, ""
    wanted = dataclasses.replace(config.first.model, input_shape=dataset.record.shape)
    different = architecture_differences(promoted.model, wanted)
    if promoted.value_range.per_record != (config.first.train.value_range == "record"):
        different.append("value_range")
    if different:
        return None, f"; from scratch: another architecture, {different[0]}"
    return state.promoted, ""

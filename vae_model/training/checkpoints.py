"""Checkpoints of a training run: states from which it goes on exactly, and the best model so far.

MODEL/checkpoints/state.json                       what the run is and where it stands; replaced atomically, last
MODEL/checkpoints/epoch-00012.keras                the models that state.json names as `last` and `best`
MODEL/checkpoints/epoch-00012-step-00000340.keras  `last`, 340 steps into the next epoch
MODEL/history.csv                                  a row an epoch

All that a step changes is saved: weights, optimiser and step count are in the .keras file; the places in the noise
streams and the sums of the epoch's metrics are in state.json. The order of the data needs no saving: it is a function
of seed and epoch (`data.Order`). Validation draws the same noise after every epoch, from a stream of its own.
"""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipelines import store
from pipelines.config import TRAIN
from pipelines.dataset.folder import Dataset
from pipelines.errors import Interrupted, SettingError, WorkError
from pipelines.store import read_json, write_json
from pipelines.store.json_values import Value
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import FREE, ModelConfig, TrainConfig
from vae_model.model_folder.folder import BUNDLE_FILE, PRIOR_FILE, STATE_FILE, file_in
from vae_model.model_folder.history import HISTORY_FILE, read_history, write_history
from vae_model.model_folder.outputs import Output
from vae_model.training.stopping import StopSignals
from vae_model.vae.saving import save_model

FOLDER = "checkpoints"
_VALIDATION_STREAM = 2**31  # a stream counts up from 0: training never comes so far


class LossNotFinite(WorkError):
    """Training has come to no number."""


@dataclass(frozen=True)
class RunState:
    """Where a training run stands.

    epoch: epochs that are complete. step: steps done of the epoch after them; if all are, its validation is still to
    come. last, best: file names of models in the folder; best is "" before an epoch is complete. best_epoch: counted
    from 1. best_metrics: all losses of that epoch. noise: the state of each noise stream, two numbers. totals: the
    values of each metric's variables. seconds: spent training.
    """

    bundle: Bundle
    epoch: int
    step: int
    last: str
    best: str = ""
    best_epoch: int = 0
    best_metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    noise: list[list[int]] = dataclasses.field(default_factory=list)
    totals: list[list[float]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def is_bettered_by(self, metrics: dict[str, float]) -> bool:
        """Whether an epoch of these losses is the best so far; any is when the last one is to be kept.

        Training losses from before the KL had its whole weight are too low to compare with: any later epoch is better.
        """
        warming = "val_loss" not in metrics and self.best_epoch <= self.bundle.train.kl_warmup_epochs
        return self.bundle.train.keep == "last" or not self.best or warming or score(metrics) < score(self.best_metrics)

    @property
    def exhausted(self) -> bool:
        """Whether the patience is used up: no better epoch for that long."""
        patience = self.bundle.train.patience
        return 0 < patience <= self.epoch - self.best_epoch

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to train."""
        return self.epoch >= self.bundle.train.epochs or self.exhausted

    def check_goes_on(self, dataset: Dataset, model: ModelConfig, train: TrainConfig) -> None:
        """SettingError naming a setting that would make the saved weights another model's or another run's.

        Within an epoch the data must be the same too: their order depends on what there is.
        """
        saved = dataclasses.replace(self.bundle.train, **{name: getattr(train, name) for name in FREE})
        for ours, given in ((self.bundle.model, model), (saved, train)):
            for field in dataclasses.fields(ours):
                was, wanted = getattr(ours, field.name), getattr(given, field.name)
                if was != wanted:
                    raise SettingError(
                        f"{field.name}={wanted!r} must be {was!r}, as in the run that --resume goes on with"
                    )
        was, there = self.bundle.dataset["num_examples"].get(TRAIN), dataset.split(TRAIN).num_examples
        if self.step and was != there:
            raise SettingError(
                f"DATASET {dataset.uri} must hold {was} records in its split train, not {there}: "
                "the run was interrupted within an epoch"
            )

    def save(self, folder: Path) -> None:
        """Write `checkpoints/state.json`, then remove the models that it does not name."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)} | {"bundle": self.bundle.to_dict()}
        write_json(folder / STATE_FILE, values)
        for path in (folder / FOLDER).glob("*.keras"):
            if path.name not in (self.last, self.best):
                path.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path | str) -> RunState | None:
        """The state of the run in the MODEL folder at a path or URI; None when it has no checkpoint.

        SettingError when it's not whole.
        """
        path = file_in(folder, STATE_FILE)
        if not store.exists(path):
            return None
        values = read_json(path)
        if "epoch" in values and "step" not in values:
            raise SettingError(f"{path} is of an earlier version of audio-vae: train anew in another folder")
        _check_state(Value(path, values))
        return cls(**values | {"bundle": Bundle.from_dict(values["bundle"], path)})


def _check_state(value: Value) -> None:
    """SettingError for what is not of the kind that a RunState has, or names a file elsewhere."""
    values = value.object(("bundle", "epoch", "step", "last"), {field.name for field in dataclasses.fields(RunState)})
    for name in ("epoch", "step", "best_epoch"):
        if name in values:
            values[name].integer()
    for name in {"last", "best"} & values.keys():
        model = values[name]
        is_model = model.text() == "" or re.fullmatch(r"epoch-[0-9]+(-step-[0-9]+)?\.keras", model.text())
        model.require(bool(is_model), "a checkpoint's, epoch-<number>.keras")
    for loss in values["best_metrics"].object().values() if "best_metrics" in values else ():
        loss.number()
    for name in {"noise", "totals"} & values.keys():
        for part in values[name].list():
            for number in part.list():
                number.number()
    if "seconds" in values:
        values["seconds"].number(least=0)


def fetch_run(output: Output, state: RunState) -> None:
    """Bring what a run goes on with into the local folder; what other checkpoints there are will go."""
    models = {f"{FOLDER}/{name}" for name in (state.last, state.best) if name}
    output.fetch([*sorted(models), STATE_FILE, HISTORY_FILE, BUNDLE_FILE, PRIOR_FILE])
    output.own(f"{FOLDER}/{name}" for name in store.names(output.file(FOLDER)))


def noise_streams(model: keras.Model) -> list[keras.Variable]:
    """The states of a model's random generators, uint32 (2,) each; a .keras file doesn't keep them by itself."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def set_noise(model: keras.Model, states: list[list[int]]) -> None:
    """Put each noise stream where `states` says."""
    for stream, state in zip(noise_streams(model), states, strict=True):
        stream.assign(np.array(state, np.uint32))


def score(metrics: dict[str, float]) -> float:
    """What the best epoch has least of: the validation loss, or the training loss where nothing is held out."""
    return metrics.get("val_loss", metrics["loss"])


class Checkpoints(keras.callbacks.Callback):
    """Saves after each epoch, every `every_seconds` within one, and when it is asked to stop.

    After each epoch: history and best model; training ends when patience is used up. Raises Interrupted once it has
    saved what it was asked to stop, WorkError when the loss is no number. publish: called after each save.
    """

    def __init__(
        self,
        folder: Path,
        state: RunState,
        steps: int,
        stop: StopSignals,
        every_seconds: float,
        publish: Callable[[], None],
    ) -> None:
        super().__init__()
        self._publish = publish
        self.every_seconds = every_seconds
        self.folder = folder
        self.state = state
        self.steps = steps
        self._stop = stop
        self._history = read_history(folder)[: state.epoch]
        self._step = state.step
        self._totals: list[list[float]] = []
        self._noise: list[list[int]] = []
        self._before = state.seconds
        self._started = self._saved = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Take the metrics up where they were when the epoch was interrupted."""
        if self.state.step:
            for metric, values in zip(self.model.metrics, self.state.totals, strict=True):
                for variable, value in zip(metric.variables, values, strict=True):
                    variable.assign(value)
        self._step = self._first = self.state.step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Save when it is time or when asked to. batch: the last one done, from 0; it may be beyond the last."""
        self._step = min(self._first + batch + 1, self.steps)
        late = time.monotonic() - self._saved >= self.every_seconds
        if self._stop.asked or (late and self._step < self.steps):
            self._save_within_epoch(_totals(self.model), _noise(self.model))

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keep what training goes on with, and give validation noise of its own."""
        self._totals, self._noise = _totals(self.model), _noise(self.model)
        seed = self.state.bundle.train.seed
        set_noise(self.model, [[seed, _VALIDATION_STREAM + number] for number in range(len(self._noise))])

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop when asked to; the validation is to be begun again."""
        if self._stop.asked:
            set_noise(self.model, self._noise)
            self._save_within_epoch(self._totals, self._noise)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Go on with the noise of training."""
        set_noise(self.model, self._noise)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record and save epoch `epoch`, counted from 0."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        metrics = {name: value for name, value in figures.items() if name.endswith("loss")}
        if not all(map(math.isfinite, metrics.values())):
            raise LossNotFinite(f"the loss of epoch {epoch + 1} is no finite number: try a lower --learning-rate")
        seconds = self._seconds()
        self._history.append({"epoch": epoch + 1, **figures, "seconds": round(seconds, 3)})
        write_history(self.folder, self._history)
        name = f"epoch-{epoch + 1:05}.keras"
        state = dataclasses.replace(
            self.state, epoch=epoch + 1, step=0, last=name, noise=_noise(self.model), totals=[], seconds=seconds
        )
        if state.is_bettered_by(metrics):
            state = dataclasses.replace(state, best=name, best_epoch=epoch + 1, best_metrics=metrics)
        self._save(state)
        if state.exhausted:
            self.model.stop_training = True

    def _save_within_epoch(self, totals: list[list[float]], noise: list[list[int]]) -> None:
        """Save the step that was reached; Interrupted when the run was asked to stop."""
        name = f"epoch-{self.state.epoch:05}-step-{self._step:08}.keras"
        changed: dict[str, Any] = {
            "step": self._step,
            "last": name,
            "noise": noise,
            "totals": totals,
            "seconds": self._seconds(),
        }
        self._save(dataclasses.replace(self.state, **changed))
        if self._stop.asked:
            raise Interrupted(f"stopped at step {self._step} of epoch {self.state.epoch + 1}")

    def _save(self, state: RunState) -> None:
        save_model(self.model, self.folder / FOLDER / state.last)
        state.save(self.folder)
        self.state = state
        self._publish()
        self._saved = time.monotonic()

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._started


def _totals(model: keras.Model) -> list[list[float]]:
    return [[float(variable.numpy()) for variable in metric.variables] for metric in model.metrics]


def _noise(model: keras.Model) -> list[list[int]]:
    return [[int(number) for number in stream.numpy()] for stream in noise_streams(model)]

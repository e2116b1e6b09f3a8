"""Checkpoints of a training run: states from which it goes on exactly, and the best model so far (`run_state.py`).

All that a step changes is saved: weights, optimiser and step count are in the .keras file; the places in the noise
streams and the sums of the epoch's metrics are in state.json. The order of the data needs no saving: it is a function
of seed and epoch (`data.Order`). Validation draws the same noise after every epoch, from a stream of its own.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import numpy as np

from pipelines.errors import Interrupted, WorkError
from pipelines.signals import handling
from vae_model.model_folder.history import read_history, write_history
from vae_model.training.run_state import FOLDER, RunState, score
from vae_model.vae.saving import save_model

_VALIDATION_STREAM = 2**31  # a stream counts up from 0: training never comes so far


class StopSignals:
    """Inside its `with`, what asks to end sets `asked` instead of ending the process; a second one interrupts.

    What is asked is done at the end of a step, where weights, optimiser, noise and metrics belong together: an
    interrupt just anywhere could fall between a step and its being counted. Signals reach the main thread alone; in
    another thread, and without `hold`, this does nothing.
    """

    def __init__(self, hold: bool = True) -> None:
        self.asked = False
        self._held: AbstractContextManager[None] = handling(self._ask) if hold else nullcontext()

    def __enter__(self) -> StopSignals:
        self._held.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.__exit__(None, None, None)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class LossNotFinite(WorkError):
    """Training has come to no number."""


def noise_streams(model: keras.Model) -> list[keras.Variable]:
    """The states of a model's random generators, uint32 (2,) each; a .keras file doesn't keep them by itself."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def set_noise(model: keras.Model, states: list[list[int]]) -> None:
    """Put each noise stream where `states` says."""
    for stream, state in zip(noise_streams(model), states, strict=True):
        stream.assign(np.array(state, np.uint32))


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

    def on_start_measured(self, found: Mapping[str, float]) -> None:
        """Save the model that training starts from as the best one so far. found: its losses in validation."""
        metrics = {f"val_{name}": float(value) for name, value in found.items()}
        if not math.isfinite(score(metrics)):
            return
        name = "epoch-00000.keras"
        self._save(
            dataclasses.replace(self.state, last=name, best=name, best_metrics=metrics, noise=_noise(self.model))
        )

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

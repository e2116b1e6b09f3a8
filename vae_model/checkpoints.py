"""Checkpoints of a training run: after every epoch a state from which it goes on, and the best model so far.

MODEL/checkpoints/state.json           what the run is and where it stands; replaced atomically, after the models
MODEL/checkpoints/epoch-00012.keras    the models that state.json names as `last` and `best`
MODEL/history.csv                      a row an epoch
"""

from __future__ import annotations

import csv
import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from pipelines.errors import SettingError, WorkError
from vae_model.autoencoder import save_model
from vae_model.bundle import Bundle
from vae_model.files import read_json, replacing, write_json

FOLDER = "checkpoints"
STATE_FILE = "state.json"
HISTORY_FILE = "history.csv"


@dataclass(frozen=True)
class RunState:
    """Where a training run stands.

    epoch: epochs that are complete. last, best: file names of models in the folder; best is "" before an epoch is
    complete. best_epoch: counted from 1. best_metrics: all losses of that epoch. seconds: spent training.
    """

    bundle: Bundle
    epoch: int
    last: str
    best: str = ""
    best_epoch: int = 0
    best_metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    @property
    def exhausted(self) -> bool:
        """Whether the patience is used up: no better epoch for that long."""
        patience = self.bundle.train.patience
        return 0 < patience <= self.epoch - self.best_epoch

    def save(self, folder: Path) -> None:
        """Write `checkpoints/state.json`, then remove the models that it does not name."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)} | {"bundle": self.bundle.to_dict()}
        write_json(folder / FOLDER / STATE_FILE, values)
        for path in (folder / FOLDER).glob("*.keras"):
            if path.name not in (self.last, self.best):
                path.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path) -> RunState | None:
        """The state of the run in a MODEL folder; None when it has no checkpoint. SettingError when it's not whole."""
        path = folder / FOLDER / STATE_FILE
        if not path.exists():
            return None
        values = read_json(path)
        try:
            return cls(**values | {"bundle": Bundle.from_dict(values["bundle"])})
        except (KeyError, TypeError, AttributeError) as error:
            raise SettingError(f"{path} must be whole, but {error!r}") from error


def score(metrics: dict[str, float]) -> float:
    """What the best epoch has least of: the validation loss, or the training loss where nothing is held out."""
    return metrics.get("val_loss", metrics["loss"])


class Checkpoints(keras.callbacks.Callback):
    """After each epoch: history, checkpoint, best model; stops when patience is used up or the loss is no number."""

    def __init__(self, folder: Path, state: RunState) -> None:
        super().__init__()
        self.folder = folder
        self.state = state
        self._history = read_history(folder)[: state.epoch]
        self._before = state.seconds
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record and save epoch `epoch`, counted from 0."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        metrics = {name: value for name, value in figures.items() if name.endswith("loss")}
        if not all(map(math.isfinite, metrics.values())):
            raise WorkError(f"the loss of epoch {epoch + 1} is no finite number: try a lower --learning-rate")
        seconds = self._before + time.monotonic() - self._started
        self._history.append({"epoch": epoch + 1, **figures, "seconds": round(seconds, 3)})
        _write_history(self.folder, self._history)
        name = f"epoch-{epoch + 1:05}.keras"
        state = dataclasses.replace(self.state, epoch=epoch + 1, last=name, seconds=seconds)
        if not state.best or score(metrics) < score(state.best_metrics):
            state = dataclasses.replace(state, best=name, best_epoch=epoch + 1, best_metrics=metrics)
        self._save(state)
        if state.exhausted:
            self.model.stop_training = True

    def save_interrupted(self) -> None:
        """Save the weights as they are in the midst of an epoch, which is to be begun again."""
        seconds = self._before + time.monotonic() - self._started
        name = f"epoch-{self.state.epoch:05}-interrupted.keras"
        self._save(dataclasses.replace(self.state, last=name, seconds=seconds))

    def _save(self, state: RunState) -> None:
        save_model(self.model, self.folder / FOLDER / state.last)
        state.save(self.folder)
        self.state = state


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The rows of `history.csv`, values as numbers; none when there is no such file."""
    path = folder / HISTORY_FILE
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{name: int(v) if name == "epoch" else float(v) for name, v in row.items() if v} for row in rows]


def _write_history(folder: Path, rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(folder / HISTORY_FILE) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)

"""Progress of a training run on the terminal: one live line, or a line an epoch where there is no terminal."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any, TextIO

import keras

_SECONDS_BETWEEN = 0.1
_TERMS = (("loss", "loss", ".1f"), ("reconstruction_loss", "reconstruction", ".5f"), ("kl_loss", "KL", ".1f"))


class Progress(keras.callbacks.Callback):
    """Shows epoch, step, the loss and its terms, and the time left.

    epochs, steps: of the whole run and of one epoch. first_epoch: where this run takes it up, from 0. stream: where to,
    standard error unless given.
    """

    def __init__(self, epochs: int, steps: int, first_epoch: int = 0, stream: TextIO | None = None) -> None:
        super().__init__()
        self.epochs = epochs
        self.steps = steps
        self._total_steps = (epochs - first_epoch) * steps
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self._epoch = 0
        self._started = 0.0
        self._shown = 0.0
        self._steps_done = 0
        self._width = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch, counted from 0."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Renew the live line, at most ten times a second."""
        now = time.monotonic()
        if not self._steps_done:
            self._started = now  # the first step compiles the model, and tells nothing of those that follow
        self._steps_done += 1
        if self.live and now - self._shown >= _SECONDS_BETWEEN:
            self._shown = now
            self._show(f"{self._head()}  step {batch + 1}/{self.steps}{_terms(logs or {})}  {self._left()} left")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the epoch's figures, with the validation's."""
        logs = logs or {}
        line = f"{self._head()}{_terms(logs)}"
        if "val_loss" in logs:
            line += f"  | validation{_terms(logs, 'val_')}"
        line += f"  {self._left()} left"
        if self.live:
            self._show(line)
        else:
            print(line, file=self.stream, flush=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leave the live line where it stands."""
        self.close()

    def close(self) -> None:
        """End the live line; what follows starts on a new one."""
        if self.live and self._width:
            print(file=self.stream, flush=True)
            self._width = 0

    def _head(self) -> str:
        return f"epoch {self._epoch + 1}/{self.epochs}"

    def _left(self) -> str:
        """Time left as m:ss or h:mm:ss, from the mean speed so far."""
        elapsed = time.monotonic() - self._started
        missing = max(self._total_steps - self._steps_done, 0)
        minutes, seconds = divmod(round(elapsed / max(self._steps_done - 1, 1) * missing), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

    def _show(self, line: str) -> None:
        line = line[: shutil.get_terminal_size().columns - 1]
        self.stream.write("\r" + line.ljust(self._width))
        self.stream.flush()
        self._width = len(line)


def _terms(logs: dict[str, Any], prefix: str = "") -> str:
    return "".join(f"  {label} {logs[prefix + name]:{form}}" for name, label, form in _TERMS if prefix + name in logs)

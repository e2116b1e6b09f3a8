"""Progress of a training run: its speed, and a live line on a terminal, or a line an epoch where there is none."""

from __future__ import annotations

import math
import time
from typing import Any, TextIO

import keras

from pipelines.console.counts import counted
from pipelines.console.durations import duration_text, in_words
from pipelines.console.live_line import LiveLine

_FORETELL_SECONDS = 5.0
"""After the first step; by then the steps are as fast as they will be."""
_LONG_SECONDS = 120.0
_TERMS = (("loss", "loss", ".1f"), ("reconstruction_loss", "reconstruction", ".5f"), ("kl_loss", "KL", ".1f"))
_SHORT = (("reconstruction", "recon"), ("validation", "val"), ("examples/s", "ex/s"))


class Speed(keras.callbacks.Callback):
    """Puts `examples_per_second` into an epoch's logs, for the callbacks after it.

    examples: in an epoch. batch_size: of all but the last batch. The first step of an epoch is left out, if there are
    others: the very first one compiles the model. Neither counts the validation.
    """

    def __init__(self, examples: int, batch_size: int) -> None:
        super().__init__()
        self.examples = examples
        self.batch_size = batch_size
        self._first = self._last = (0.0, 0)

    @property
    def examples_per_second(self) -> float:
        """Of the epoch so far."""
        seconds = self._last[0] - self._first[0]
        return (self._last[1] - self._first[1]) / seconds if seconds > 0 else 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin to count."""
        self._first = self._last = (time.monotonic(), 0)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count the examples of the batches up to this one, from 0."""
        seen = min((batch + 1) * self.batch_size, self.examples)
        if seen == self.examples and logs:
            float(logs["loss"])  # an accelerator lags behind the calls: wait until it has caught up
        before, self._last = self._last, (time.monotonic(), seen)
        if before[1] == 0 and seen < self.examples:
            self._first = self._last

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the epoch's speed to its logs."""
        if logs is not None and self._last[1]:  # a run may be resumed after the last step of an epoch
            logs["examples_per_second"] = self.examples_per_second


class Progress(keras.callbacks.Callback):
    """Shows epoch, step, the loss and its terms, active units, speed and time left.

    epochs, steps: of the whole run and of one epoch. speed: what counts the examples. first_epoch, first_step: where
    this run takes it up, from 0. stream: where to, standard error unless given. In brackets are the validation's
    figures. Where there is no terminal, a run of many minutes says after its first seconds how many.
    """

    def __init__(
        self,
        epochs: int,
        steps: int,
        speed: Speed,
        first_epoch: int = 0,
        first_step: int = 0,
        stream: TextIO | None = None,
    ) -> None:
        super().__init__()
        self.epochs = epochs
        self.steps = steps
        self.speed = speed
        self._begun = (first_epoch, first_step)
        self.shown = LiveLine(stream)
        self._epoch = first_epoch
        self._last: dict[str, Any] = {}  # the logs of the epoch before
        self._first: tuple[float, int] | None = None  # when the first step was done, and how many steps that makes
        self._steps_done = 0
        self._has_foretold = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch, counted from 0."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Renew the live line, at most ten times a second."""
        now = time.monotonic()
        before = self._begun[1] if self._epoch == self._begun[0] else 0
        step = min(before + batch + 1, self.steps)
        self._steps_done = self._epoch * self.steps + step
        if self._first is None:
            self._first = (now, self._steps_done)  # the first step compiles the model, and tells nothing of the others
        if not (self.shown.live or self._has_foretold) and now - self._first[0] >= _FORETELL_SECONDS:
            self._has_foretold = True
            self._foretell()
        if self.shown.live and self.shown.is_due(now):
            figures = {**self._last, **(logs or {}), "examples_per_second": self.speed.examples_per_second}
            self.shown.show(self._line(figures, f"step {step}/{self.steps}"))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the epoch's figures."""
        self._last = logs or {}
        self.shown.show(self._line(self._last))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leave the live line where it stands."""
        self.close()

    def close(self) -> None:
        """End the live line; what follows starts on a new one."""
        self.shown.end()

    def _line(self, figures: dict[str, Any], step: str = "") -> str:
        """The line: of as many parts as fit on a terminal, of all elsewhere."""
        parts = {"epoch": f"epoch {self._epoch + 1}/{self.epochs}", "step": step}
        parts |= {name: _term(label, name, form, figures) for name, label, form in _TERMS}
        if "active_units" in figures:
            parts["active_units"] = f"{float(figures['active_units']):.0f} active"
        if rate := figures.get("examples_per_second"):
            parts["speed"] = f"{rate:.0f} examples/s"
        parts["left"] = f"{self._left()} left"
        columns = self.shown.columns
        if len(line := _joined(parts)) < columns or not self.shown.live:
            return line
        for long, short in _SHORT:
            parts = {name: part.replace(long, short) for name, part in parts.items()}
        for drop in ("", "validation", "speed", "reconstruction_loss", "active_units", "step", "kl_loss"):
            if drop == "validation":
                parts |= {name: parts[name].split(" (")[0] for name, _, _ in _TERMS}
            else:
                parts.pop(drop, None)
            if len(line := _joined(parts)) < columns:
                break
        return line[: columns - 1]

    def _foretell(self) -> None:
        """Say how long it will take, if that is long: in a log the next line may be many minutes away."""
        if (seconds := self._seconds_left() or 0.0) >= _LONG_SECONDS:
            missing = counted(self.epochs - self._epoch, "epoch")
            self.shown.show(f"{missing} of {counted(self.steps, 'step')} will take about {in_words(seconds)} here")

    def _left(self) -> str:
        """Time left as m:ss or h:mm:ss, from the mean speed so far."""
        seconds = self._seconds_left()
        return "?" if seconds is None else duration_text(math.ceil(seconds))

    def _seconds_left(self) -> float | None:
        if self._first is None or self._steps_done <= self._first[1]:
            return None
        a_step = (time.monotonic() - self._first[0]) / (self._steps_done - self._first[1])
        return a_step * max(self.epochs * self.steps - self._steps_done, 0)


def _term(label: str, name: str, form: str, figures: dict[str, Any]) -> str:
    """A term of the loss with the validation's in brackets: `loss 12.3 (validation 12.5)`; the others lack the word."""
    if name not in figures:
        return ""
    text = f"{label} {float(figures[name]):{form}}"
    if f"val_{name}" in figures:
        word = "validation " if name == "loss" else ""
        text += f" ({word}{float(figures[f'val_{name}']):{form}})"
    return text


def _joined(parts: dict[str, str]) -> str:
    return "  ".join(part for part in parts.values() if part)

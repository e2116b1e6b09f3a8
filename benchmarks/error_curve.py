"""Held-out error against minutes of training: of a preset, of the plain port of the course, of principal components."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import ROOT, note

from vae_model.runtime import prepare

prepare()
sys.path.insert(0, str(ROOT / "tests"))  # the plain port is what a test holds the losses against as well

import keras  # noqa: E402
import numpy as np  # noqa: E402

from pipelines.dataset.folder import Dataset  # noqa: E402
from tests.helpers.plain_vae import PlainVAE  # noqa: E402
from vae_model.evaluation.baselines import PrincipalComponents  # noqa: E402
from vae_model.model_folder.config import ModelConfig, TrainConfig  # noqa: E402
from vae_model.model_folder.presets import PRESETS  # noqa: E402
from vae_model.training.trainer import train_model  # noqa: E402
from vae_model.vae.variational import wrap  # noqa: E402

MINUTES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)
_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Point:
    """minutes: of wall clock. core_minutes: of CPU time, all threads. Both without the measuring. epoch: from 1."""

    minutes: float
    core_minutes: float
    epoch: int
    mse: float


class Clock:
    """Wall clock and CPU time of this process from its making on, without what is done in `without`."""

    def __init__(self) -> None:
        self._started = self._now()

    def read(self) -> tuple[float, float]:
        """(minutes, core-minutes)."""
        (wall, cpu), (wall_then, cpu_then) = self._now(), self._started
        return (wall - wall_then) / 60, (cpu - cpu_then) / 60

    def without(self, work: Callable[[], float]) -> float:
        """What `work` gives, its time left out."""
        wall, cpu = self._now()
        found = work()
        wall_after, cpu_after = self._now()
        self._started = (self._started[0] + wall_after - wall, self._started[1] + cpu_after - cpu)
        return found

    @staticmethod
    def _now() -> tuple[float, float]:
        times = os.times()
        return time.perf_counter(), times.user + times.system


class Curve(keras.callbacks.Callback):
    """The error whenever so many minutes have gone, and at the end; `last`: minutes after which training ends."""

    def __init__(self, clock: Clock, error: Callable[[keras.Model], float], last: float | None = None) -> None:
        super().__init__()
        self.points: list[Point] = []
        self._clock, self._error, self._last = clock, error, last
        self._epoch = self._reached = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        minutes, _ = self._clock.read()
        reached = sum(limit <= minutes for limit in MINUTES)
        if reached > self._reached:
            self._reached = reached
            self._add()
        if self._last is not None and minutes >= self._last:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._add()

    def _add(self) -> None:
        minutes, core_minutes = self._clock.read()
        mse = self._clock.without(lambda: self._error(self.model))
        self.points.append(Point(minutes, core_minutes, self._epoch, mse))
        note(f"  {minutes:.2f} minutes, {core_minutes:.2f} core-minutes, epoch {self._epoch}: {mse:.6f}")


def of_preset(dataset: Dataset, folder: Path, model: ModelConfig, train: TrainConfig) -> list[Point]:
    """What the means of the latents give while `train_model` trains; from its call on, so reading and PCA count."""
    tested = _values(dataset, "test")

    def error(now: keras.Model) -> float:
        autoencoder = wrap(now)
        return _mse(tested, lambda part: autoencoder.decode(autoencoder.means(part)))

    curve = Curve(Clock(), error)
    train_model(dataset, folder, model, train, callbacks=[curve], quiet=True)
    return curve.points


def of_plain_port(dataset: Dataset, minutes: float) -> list[Point]:
    """The same of the reference's network, `model.fit` on arrays in memory, for so many minutes."""
    values, tested = _values(dataset, "train"), _values(dataset, "test")

    def error(now: keras.Model) -> float:
        return _mse(tested, lambda part: now.decoder(now.encoder(part)[0]).numpy())

    curve = Curve(Clock(), error, last=minutes)
    keras.utils.set_random_seed(0)
    model = PlainVAE()
    model.compile(optimizer=keras.optimizers.Adam(PRESETS["course"].train.learning_rate))
    model.fit(values, batch_size=_BATCH, epochs=PRESETS["course"].train.epochs, verbose=0, callbacks=[curve])
    return curve.points


def of_components(dataset: Dataset, size: int) -> list[Point]:
    """The one point that so many principal components of all training records are."""
    values, tested = _values(dataset, "train"), _values(dataset, "test")
    clock = Clock()
    components = PrincipalComponents(values, size)
    minutes, core_minutes = clock.read()
    return [Point(minutes, core_minutes, 1, _mse(tested, lambda part: components.reconstruct(part, size)))]


def _values(dataset: Dataset, split: str) -> np.ndarray:
    """Spectrograms float32 (count, n_bins, n_frames, n_channels), each record in [0, 1] of its own range."""
    return np.stack([record.spectrogram for record in dataset.records(split)]).astype(np.float32)


def _mse(tested: np.ndarray, reconstruct: Callable[[np.ndarray], np.ndarray]) -> float:
    parts = [tested[start : start + _BATCH] for start in range(0, len(tested), _BATCH)]
    return float(sum(np.square(reconstruct(part) - part).sum(dtype=np.float64) for part in parts) / tested.size)

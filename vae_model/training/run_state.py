"""Where a training run stands: what its checkpoints hold, read and written without TensorFlow.

MODEL/checkpoints/state.json                       what the run is and where it stands; replaced atomically, last
MODEL/checkpoints/epoch-00012.keras                the models that state.json names as `last` and `best`
MODEL/checkpoints/epoch-00012-step-00000340.keras  `last`, 340 steps into the next epoch
MODEL/history.csv                                  a row an epoch
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from pipelines import store
from pipelines.config import TRAIN
from pipelines.console.counts import counted
from pipelines.dataset.folder import Dataset
from pipelines.errors import SettingError
from pipelines.store import read_json, write_json
from pipelines.store.json_values import Value
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import FREE, FREE_PRIOR, ModelConfig, TrainConfig
from vae_model.model_folder.folder import BUNDLE_FILE, PRIOR_FILE, STATE_FILE, file_in
from vae_model.model_folder.history import HISTORY_FILE
from vae_model.model_folder.outputs import Output

FOLDER = "checkpoints"


@dataclass(frozen=True)
class Training:
    """What a run came to.

    epochs: complete ones. best_epoch: whose model is kept; 0 for the one that it started from. metrics: the losses of
    best_epoch. seconds: spent training.
    """

    folder: str
    epochs: int
    best_epoch: int
    metrics: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class RunState:
    """Where a training run stands.

    epoch: epochs that are complete. step: steps done of the epoch after them; if all are, its validation is still to
    come. last, best: file names of models in the folder; best is "" before an epoch is complete. best_epoch: counted
    from 1; 0 for the model of `--from`. best_metrics: all losses of that epoch; for epoch 0 those of validation. noise:
    the state of each noise stream, two numbers. totals: the values of each metric's variables. seconds: spent training.
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

    @property
    def ending(self) -> str:
        """What is complete, and why no more is done."""
        done = f"{self.epoch} of {counted(self.bundle.train.epochs, 'epoch')} complete"
        if not self.exhausted:
            return done
        than = "the model that it started from" if self.best_epoch == 0 else f"epoch {self.best_epoch}"
        return f"{done}, and none since {than} was better (--patience {self.bundle.train.patience})"

    def finished(self, folder: str) -> Bundle | None:
        """The bundle in the MODEL folder at a path or URI, if it is of the last epoch.

        It may be of an earlier one: of a run that was gone on with, and then killed.
        """
        if not store.exists(file_in(folder, BUNDLE_FILE)):
            return None
        bundle = Bundle.load(folder)
        return bundle if bundle.metrics.get("epochs") == self.epoch else None

    def is_done(self, folder: str) -> bool:
        """Whether the run is complete, and so is the model in its MODEL folder, with its prior."""
        bundle = self.finished(folder) if self.complete else None
        return bundle is not None and not prior_is_due(bundle, self.bundle.train)

    def outcome(self, folder: str) -> Training:
        """What the run came to. folder: MODEL, as the user is told of it."""
        return Training(folder, self.epoch, self.best_epoch, self.best_metrics, round(self.seconds, 3))

    def going_on(self, dataset: Dataset, name: str, model: ModelConfig, train: TrainConfig) -> RunState:
        """The state with what settings of `FREE` are now. name: of the MODEL folder.

        SettingError for another dataset, or naming a setting that would make the saved weights another model's or
        another run's. Within an epoch the data must be the same too: their order depends on what there is.
        """
        self.bundle.check_fits(dataset, name)
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
        return dataclasses.replace(self, bundle=dataclasses.replace(self.bundle, train=train))

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


def score(metrics: dict[str, float]) -> float:
    """What the best epoch has least of: the validation loss, or the training loss where nothing is held out."""
    return metrics["val_loss" if "val_loss" in metrics else "loss"]


def prior_is_due(bundle: Bundle, train: TrainConfig) -> bool:
    """Whether a finished model lacks the prior that these settings ask for."""
    if bundle.prior is None:
        return True
    return any(getattr(bundle.train, name) != getattr(train, name) for name in FREE_PRIOR)

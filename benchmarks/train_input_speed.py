"""Whether reading TFRecords holds training up: `audio-vae train`'s own path beside `fit` on a tensor in memory.

Both train the same model on the same examples, in turn, in one process. What is timed is an epoch from its beginning
to its last step; the first epoch of each, which compiles, is left out. What the trainer does after an epoch
(checkpoint, posterior, history) is shown beside it.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

from common import Report, copy_recordings, note, options, preprocess, table, workspace

from vae_model.runtime import prepare

prepare()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from pipelines.dataset.folder import open_dataset  # noqa: E402
from vae_model.model_folder.presets import PRESETS, Preset  # noqa: E402
from vae_model.model_folder.value_range import ValueRange  # noqa: E402
from vae_model.training import data  # noqa: E402
from vae_model.training.trainer import train_model  # noqa: E402
from vae_model.vae.variational import build  # noqa: E402


class EpochTimes(keras.callbacks.Callback):
    """Seconds of each epoch's steps, and of each whole epoch but the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[float] = []
        self.begun: list[float] = []
        self._last = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.begun.append(time.perf_counter())

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._last = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.steps.append(self._last - self.begun[-1])

    @property
    def whole(self) -> list[float]:
        return list(np.diff(self.begun))


def train(dataset: str, folder: Path, preset: Preset, cache_mb: int | None) -> EpochTimes:
    """The product: from TFRecords, with progress, TensorBoard, checkpoints and all."""
    times = EpochTimes()
    settings = preset.train.__class__(**{**vars(preset.train), "cache_mb": cache_mb})
    train_model(dataset, str(folder), preset.model, settings, callbacks=[times])
    return times


def fit(x: tf.Tensor, preset: Preset) -> EpochTimes:
    """The rival: nothing but steps."""
    times = EpochTimes()
    keras.utils.set_random_seed(preset.train.seed)
    model = build(preset.model)
    model.compile(preset.train.learning_rate)
    model.model.fit(
        x, batch_size=preset.train.batch_size, epochs=preset.train.epochs, shuffle=True, verbose=0, callbacks=[times]
    )
    return times


def main() -> int:
    parser = options(__doc__, 3_000)
    parser.add_argument("--epochs", type=int, default=4, help="epochs a run, the first not counted (default 4)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--preset", choices=list(PRESETS), default="tiny", help="of the model (default tiny)")
    chosen = parser.parse_args()
    report = Report("train-input-speed", "Training: reading TFRecords", chosen.write)
    base = PRESETS[chosen.preset]
    with workspace() as work:
        note("dataset")
        inputs = copy_recordings(chosen.recordings, work / "input", chosen.files)
        preprocess(inputs, work / "dataset", "--preset", "tiny", "--split", "none", "--segments", "first")
        dataset = open_dataset(str(work / "dataset"))
        count = dataset.num_examples
        whole = data.Examples(dataset, "train").batches(ValueRange(dataset.min_db, dataset.max_db), count)
        x = next(iter(whole))
        settings = {**vars(base.train), "epochs": chosen.epochs, "patience": 0}
        preset = Preset(base.model.__class__(**{**vars(base.model), "input_shape": dataset.record.shape}))
        preset = Preset(preset.model, base.train.__class__(**settings))
        names = ("fit on a tensor in memory", "**audio-vae train**", "audio-vae train --cache-mb 0")
        found: dict[str, list[EpochTimes]] = {name: [] for name in names}
        for number in range(chosen.repeats):
            note(f"repeat {number + 1} of {chosen.repeats}")
            found[names[0]].append(fit(x, preset))
            found[names[1]].append(train(dataset.uri, work / f"held-{number}", preset, None))
            found[names[2]].append(train(dataset.uri, work / f"read-{number}", preset, 0))
    rows, speed = [], {}
    for name, runs in found.items():
        speed[name] = count / statistics.median(seconds for run in runs for seconds in run.steps[1:])
        entire = count / statistics.median(seconds for run in runs for seconds in run.whole[1:])
        share = speed[name] / speed[names[0]]
        rows.append([name, f"{speed[name]:,.0f}", f"{share:.3f}", f"{entire:,.0f}"])
    report.say(
        f"{count:,} of FSDD's recordings as records of preset `tiny` ({dataset.record.dtype}, "
        f"{'×'.join(map(str, dataset.record.shape))}), model and training of preset",
        f"`{chosen.preset}`, batches of {preset.train.batch_size}, {chosen.epochs} epochs of which the first, which "
        f"compiles, is left out; {chosen.repeats} runs of each in turn in one process, medians over epochs.",
        "",
        *table(["", "examples/s in the steps", "of fit's", "examples/s of whole epochs"], rows),
        "",
        "Whole epochs of the command have its checkpoint, its posterior figures and its history in them too; `fit`",
        "does without. They take the same time however long an epoch is. With `--cache-mb 0` the shards are read and",
        "parsed anew in each epoch.",
    )
    report.claim("speed of train over fit on a tensor", speed[names[1]] / speed[names[0]], "at least", 0.97)
    return report.finish("tensorflow", "keras", "numpy")


if __name__ == "__main__":
    sys.exit(main())

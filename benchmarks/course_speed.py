"""Examples a second of `audio-vae train --preset course` beside a plain port of the reference, and their loss curves.

The rival has its arrays in memory and calls `model.fit`; the product reads TFRecords. Same architecture, same batches
of 64, float32 and bfloat16. The first steps, which compile, are left out of the time.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from common import ROOT, Report, copy_recordings, note, options, preprocess, table, workspace

from vae_model.runtime import prepare

prepare()
sys.path.insert(0, str(ROOT / "tests"))  # the plain port is what a test holds the losses against as well

import keras  # noqa: E402
import numpy as np  # noqa: E402

from pipelines.dataset.folder import open_dataset  # noqa: E402
from tests.helpers.plain_vae import PlainVAE  # noqa: E402
from vae_model.model_folder.presets import PRESETS  # noqa: E402
from vae_model.training.trainer import train_model  # noqa: E402

BATCH = 64
COMPILING = 2
SPEEDUP = 1.5


class Steps(keras.callbacks.Callback):
    """When each step ended, and the mean loss of the epoch up to it."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []
        self.losses: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.ends.append(time.perf_counter())
        self.losses.append(float((logs or {})["reconstruction_loss"]))

    @property
    def speed(self) -> float:
        """Examples a second, by the median step."""
        return BATCH / statistics.median(np.diff(self.ends)[COMPILING - 1 :])


class Plain(Steps):
    """The same of the plain port, whose logs are those of one step: made the mean of the epoch up to it."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(batch, logs)
        self.steps = [*getattr(self, "steps", []), self.losses[-1]]
        self.losses[-1] = statistics.fmean(self.steps)


def plain(x: np.ndarray, seed: int) -> Steps:
    """The rival: arrays in memory, `model.fit`."""
    keras.utils.set_random_seed(seed)
    steps = Plain()
    model = PlainVAE()
    model.compile(optimizer=keras.optimizers.Adam(PRESETS["course"].train.learning_rate))
    model.fit(x, batch_size=BATCH, verbose=0, callbacks=[steps])
    return steps


def ours(dataset: str, folder: Path, mixed_precision: str) -> Steps:
    """The product: an epoch of `audio-vae train --preset course`."""
    steps = Steps()
    preset = PRESETS["course"]
    train = dataclasses.replace(preset.train, epochs=1, batch_size=BATCH, mixed_precision=mixed_precision)
    train_model(dataset, str(folder), preset.model, train, callbacks=[steps], quiet=True)
    return steps


def main() -> int:
    parser = options(__doc__, 24 * BATCH)
    parser.add_argument("--runs", type=int, default=2, help="float32 runs of the plain port, whose spread is the noise")
    chosen = parser.parse_args()
    report = Report("course-speed", "Training: the course's model on a CPU", chosen.write)
    with workspace() as work:
        inputs = copy_recordings(chosen.recordings, work / "input", chosen.files)
        preprocess(inputs, work / "dataset", "--preset", "course", "--split", "none")
        dataset = open_dataset(str(work / "dataset"))
        x = np.stack([record.spectrogram for record in dataset.records("train")]).astype(np.float32)
        found: dict[str, Steps] = {}
        for seed in range(chosen.runs):
            note(f"plain port, run {seed + 1} of {chosen.runs}")
            found[f"plain port, `model.fit` on arrays, float32, seed {seed}"] = plain(x, seed)
            if seed == 0:
                for precision in ("auto", "off"):
                    note(f"audio-vae train --mixed-precision {precision}")
                    name = f"**audio-vae train --mixed-precision {precision}**"
                    found[name] = ours(dataset.uri, work / precision, precision)
    names = list(found)
    base = statistics.median(steps.speed for name, steps in found.items() if "plain" in name)
    total = len(found[names[0]].ends)
    picked = [step for step in (0, total // 4, total // 2, total - 1) if step < total]
    rows = []
    for name, steps in found.items():
        curve = [f"{steps.losses[step]:.4f}" for step in picked]
        rows.append([name, f"{steps.speed:.2f}", f"{steps.speed / base:.2f}", *curve])
    report.say(
        f"{chosen.files:,} recordings, one epoch of {total} steps of {BATCH}; speed by the median step. The last",
        "columns are the mean reconstruction loss of the epoch up to a step: runs of the plain port that differ by",
        "their seed alone show what noise there is.",
        "",
        *table(["", "examples/s", "of the plain port", *(f"loss to step {step + 1}" for step in picked)], rows),
    )
    report.claim(
        "speed over the plain port, bfloat16 where the CPU has it", found[names[1]].speed / base, "at least", SPEEDUP
    )
    final = {name: steps.losses[-1] for name, steps in found.items()}
    floats = [loss for name, loss in final.items() if name != names[1]]
    spread = (max(floats) - min(floats)) / statistics.fmean(floats)
    away = abs(final[names[1]] - statistics.fmean(floats)) / statistics.fmean(floats)
    report.say("", f"The float32 runs' last losses lie {spread:.1%} apart.")
    report.claim("bfloat16's last loss, from float32's mean, in parts of it", away, "at most", max(spread, 0.02))
    return report.finish("tensorflow", "keras")


if __name__ == "__main__":
    raise SystemExit(main())

"""What a year of nightly reruns leaves: 365 runs of ten new files each, compacted by the rule of `rerun` or never.

Both are made in processes of their own by the public functions, and beside them one fresh run over the same files. Then
each is asked in turn for a rerun with nothing new, for `info` and for `prune --dry-run`, as whole commands, and for
epochs of training from disk (`--cache-mb 0`), in one process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import BenchmarkError, Report, audio_vae, measure, note, table, workspace

from pipelines import open_dataset, preprocess
from pipelines.runs.compacting import compact_if_many
from vae_model.rerun.config import Compact

NIGHTS, FILES = 365, 10
RATE = 16000
FRESH, NEVER, BY_RULE = "one fresh run", "every night, never compacted", "**every night, compacted by the rule**"
NAMES = {FRESH: "fresh", NEVER: "never", BY_RULE: "by-rule"}
SETTINGS: dict[str, Any] = {"preset": "tiny", "workers": 1}
COMMANDS = {"nothing new": ("preprocess",), "info": ("info",), "prune --dry-run": ("prune", "--dry-run")}


def write_nights(folder: Path, nights: int) -> None:
    """A folder a night, with a second of decaying noise in each file."""
    import numpy as np
    import soundfile

    decay = np.exp(-np.arange(RATE) / (RATE / 4))
    for night in range(nights):
        (folder / f"{night:03d}").mkdir(parents=True)
        for number in range(FILES):
            rng = np.random.default_rng(night * FILES + number)
            sound = rng.uniform(0.1, 0.5) * decay * rng.uniform(-1, 1, RATE)
            soundfile.write(folder / f"{night:03d}" / f"{number}.wav", sound.astype(np.float32), RATE)


def arrive(nights: Path, inputs: Path, night: int) -> None:
    """One night's files come into the inputs, as links, so that all datasets are made of the same."""
    (inputs / f"{night:03d}").mkdir(parents=True)
    for path in sorted((nights / f"{night:03d}").iterdir()):
        os.link(path, inputs / f"{night:03d}" / path.name)


def simulate(work: Path, name: str, nights: int) -> None:
    """Rerun night after night, and compact by the rule unless never; prints its seconds as JSON."""
    small_shards = None if name == NAMES[NEVER] else Compact().small_shards
    inputs, dataset = work / f"in-{name}", work / name
    compactions: list[float] = []
    start = time.perf_counter()
    for night in range(nights):
        arrive(work / "nights", inputs, night)
        update = preprocess(inputs, dataset, **SETTINGS)
        assert update.changes.new == FILES
        before = time.perf_counter()
        if compact_if_many(update.dataset, small_shards) is not None:
            compactions.append(time.perf_counter() - before)
    print(json.dumps({"seconds": time.perf_counter() - start, "compactions": compactions}))


def both_years(work: Path, nights: int) -> dict[str, dict[str, Any]]:
    """Both simulations at once, each in a process; what they print."""
    started = {
        name: subprocess.Popen(
            [sys.executable, __file__, "--simulate", str(work), "--name", NAMES[name], "--nights", str(nights)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for name in (NEVER, BY_RULE)
    }
    try:
        said = {name: process.communicate()[0] for name, process in started.items()}
    finally:
        for process in started.values():
            with contextlib.suppress(OSError):
                process.kill()
            process.wait()
    for name, process in started.items():
        if process.returncode:
            raise BenchmarkError(f"{name}: exit status {process.returncode}")
    return {name: json.loads(output) for name, output in said.items()}


def time_commands(work: Path, repeats: int) -> dict[str, dict[str, float]]:
    """The least seconds of each command on each dataset, all in turn."""
    found: dict[str, dict[str, list[float]]] = {name: {what: [] for what in COMMANDS} for name in NAMES}
    for _ in range(repeats):
        for what, (command, *flags) in COMMANDS.items():
            for name, folder in NAMES.items():
                dataset = str(work / folder)
                places = [str(work / f"in-{folder}"), "--output", dataset] if command == "preprocess" else [dataset]
                done = measure([*audio_vae(), command, *places, *flags])
                assert command != "preprocess" or "nothing new" in done.output, done.output
                found[name][what].append(done.seconds)
    return {name: {what: min(seconds) for what, seconds in times.items()} for name, times in found.items()}


def time_epochs(work: Path, repeats: int, epochs: int) -> dict[str, float]:
    """Seconds of an epoch's steps from disk on each dataset: the median over all but the first of each training."""
    from vae_model.runtime import prepare

    prepare()
    import keras

    from vae_model.model_folder.presets import PRESETS
    from vae_model.training.trainer import train_model

    class EpochTimes(keras.callbacks.Callback):
        """Seconds from each epoch's beginning to its last step."""

        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []
            self._begun = self._last = 0.0

        def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            self._begun = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            self._last = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            self.seconds.append(self._last - self._begun)

    preset = PRESETS["tiny"]
    shape = open_dataset(work / NAMES[FRESH]).record.shape
    model = preset.model.__class__(**{**vars(preset.model), "input_shape": shape})
    changed = {"cache_mb": 0, "epochs": epochs, "patience": 0, "prior": "none"}
    settings = preset.train.__class__(**{**vars(preset.train), **changed})
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for number in range(repeats):
        for name, folder in NAMES.items():
            note(f"training {number + 1} of {repeats}: {name}")
            times = EpochTimes()
            train_model(str(work / folder), str(work / f"model-{folder}-{number}"), model, settings, callbacks=[times])
            found[name] += times.seconds[1:]
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=NIGHTS, help=f"reruns of ten files each (default {NIGHTS})")
    parser.add_argument("--repeats", type=int, default=7, help="of each command (default 7)")
    parser.add_argument("--trainings", type=int, default=3, help="on each dataset (default 3)")
    parser.add_argument("--epochs", type=int, default=3, help="a training, the first not counted (default 3)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/results.md alone")
    parser.add_argument("--simulate", type=Path, help="only rerun night after night, for the benchmark itself")
    parser.add_argument("--name", help="of the dataset then")
    chosen = parser.parse_args()
    if chosen.simulate:
        simulate(chosen.simulate, chosen.name, chosen.nights)
        return 0
    report = Report("year-of-nights", "A year of nights", chosen.write)
    with workspace() as work:
        note(f"{chosen.nights} nights, two years at once")
        write_nights(work / "nights", chosen.nights)
        years = both_years(work, chosen.nights)
        note("one fresh run")
        for night in range(chosen.nights):
            arrive(work / "nights", work / "in-fresh", night)
        preprocess(work / "in-fresh", work / "fresh", **SETTINGS)
        note("commands")
        seconds = time_commands(work, chosen.repeats)
        epochs = time_epochs(work, chosen.trainings, chosen.epochs)
        datasets = {name: open_dataset(work / folder) for name, folder in NAMES.items()}
    base, compactions = seconds[FRESH], years[BY_RULE]["compactions"]
    fresh = datasets[FRESH]
    rows = []
    for name, dataset in datasets.items():
        assert (dataset.num_examples, dataset.min_db, dataset.max_db) == (
            fresh.num_examples,
            fresh.min_db,
            fresh.max_db,
        )
        times = [f"{now:.2f} ({now / base[what]:.2f})" for what, now in seconds[name].items()]
        epoch = f"{epochs[name]:.2f} ({epochs[name] / epochs[FRESH]:.3f})"
        rows.append([name, str(len(dataset.runs)), str(len(dataset.shards)), *times, epoch])
    spent = sum(compactions) / years[BY_RULE]["seconds"]
    report.say(
        f"{chosen.nights} nights of {FILES} new files of a second each, a run a night, preset `tiny`: "
        f"{fresh.num_examples:,} records in",
        f"{len(fresh.splits)} splits. The rule is that of `rerun` when nothing is said, more than "
        f"{Compact().small_shards} small shards in a split.",
        f"It compacted {len(compactions)} times, {statistics.median(compactions or [0]):.2f} s each "
        f"({max(compactions, default=0):.2f} the longest), {spent:.1%} of the time of all nights.",
        f"Commands are whole processes, the least of {chosen.repeats} each in turn. An epoch is the steps of "
        "`train --cache-mb 0`,",
        f"the median of {chosen.trainings} trainings of {chosen.epochs} epochs, the first of each left out. Seconds, "
        "and beside them how many times those",
        "of the fresh run.",
        "",
        *table(["", "runs", "shards", *COMMANDS, "epoch from disk"], rows),
    )
    report.claim("rerun with nothing new", seconds[BY_RULE]["nothing new"] / base["nothing new"], "at most", 1.3)
    report.claim("train epoch from disk", epochs[BY_RULE] / epochs[FRESH], "at most", 1.05)
    return report.finish("tensorflow", "keras", "pyarrow")


if __name__ == "__main__":
    sys.exit(main())

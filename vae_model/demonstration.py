"""All of it on sounds that it makes itself, or on a folder of recordings: dataset, model, and a page to hear it on."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from pipelines import store
from pipelines.audio.headers import read_headers
from pipelines.audio.sources import list_sources
from pipelines.config import TRAIN
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import SettingError, WorkError, require
from pipelines.plan.advice import MUSIC, MUSIC_HZ, is_like_music
from pipelines.signals import handling
from pipelines.space import why_unwritten
from pipelines.store.paths import Place
from vae_model.evaluation.batches import find_held_out
from vae_model.model_folder.presets import PRESETS
from vae_model.runtime import prepare
from vae_model.sound import synthesis

PRESET = "tiny"
MARKER = ".audio-vae-demo"
"""A file that says of a folder that a demo made it, and that the next one may replace it."""
PAGE = "index.html"
_STEPS = {PRESET: 640, MUSIC: 480}  # what is worth hearing: about a minute on two cores, a few minutes of music
_LOOKED_AT = 32
BY_FOLDER = r"^(?P<folder>[^/]+)/"
_IN_FOLDERS, _MOST_FOLDERS, _FEWEST_A_FOLDER = 0.9, 40, 3
"""Recordings are labelled by folder where so many of them lie in some, which are not too many, nor too small."""
_MAX_EPOCHS = 300


class StepFailed(Exception):
    """A command of the demo's failed and has said why; `exit_status` is its own."""

    def __init__(self, exit_status: int) -> None:
        super().__init__(exit_status)
        self.exit_status = exit_status


@dataclass(frozen=True)
class Demonstration:
    """What a demo came to.

    split: the split listened to, "train" where nothing could be held out. reconstruction_mse, mean_spectrogram_mse:
    mean squared errors of spectrograms in [0, 1] over that split, of the model and of always answering with the
    training set's mean spectrogram. ratio: the first over the second, None where the second is 0. epochs: trained.
    seconds: of the whole demo.
    """

    page: str
    dataset: str
    model: str
    split: str
    num_records: int
    reconstruction_mse: float
    mean_spectrogram_mse: float
    ratio: float | None
    epochs: int
    seconds: float


def make_demo(
    output: str | os.PathLike[str] = "demo-out",
    *,
    audio: Place | None = None,
    count: int = 400,
    epochs: int | None = None,
    workers: int | None = None,
    seed: int = 0,
) -> Demonstration:
    """Make sounds, a dataset of them, a model and a page to hear it on, in a few minutes: `audio-vae demo`.

    output: a local folder for everything: new, empty or of an earlier demo, which is replaced. audio: a folder of
    recordings to listen to instead of making sounds, by the preset `music` where half of them at least are in stereo at
    32 kHz or more, labelled by the folders that they lie in. count: sounds to make. epochs: passes over them, what a
    few minutes allow unless given. workers: cores that preprocess. seed: makes the demo repeatable. Each step is a
    command of `audio-vae` in a process of its own, and says on standard error what it does; StepFailed when one fails.

    >>> (folder / "letter.txt").touch()
    >>> make_demo(folder, count=10)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    pipelines.errors.SettingError: --output ... must be new, empty or of an earlier demo: it holds other files
    """
    for name, value in (("count", count), ("epochs", epochs), ("workers", workers)):
        require(value is None or value > 0, name, value, "a positive number")
    require(0 <= seed < 2**31, "seed", seed, "0 or more and below 2**31")
    output, audio = Path(output), None if audio is None else os.fspath(audio)
    check_folders(audio, output)
    started = time.monotonic()
    renew(output)
    if audio is None:
        _say(f"[1/4] Making {count} sounds in {output / 'sounds'}")
        synthesis.write_sounds(output / "sounds", count, seed)
    else:
        _say(f"[1/4] Listening to {audio}")
    preset = PRESET if audio is None else preset_for(audio)
    dataset = preprocess(audio, output, workers, preset)
    epochs = epochs or epochs_for(dataset.count(TRAIN), preset)
    model = output / "model"
    _say("[3/4] Training")
    _command(
        "train",
        dataset.uri,
        f"--output={model}",
        f"--preset={preset}",
        f"--epochs={epochs}",
        f"--seed={seed}",
    )
    split = find_held_out(dataset) or TRAIN
    _say(f"[4/4] Reconstructing {dataset.count(split)} sounds of split {split}, generating new ones")
    prepare()
    from vae_model.pages.demo_page import Origin, write_demo_page

    origin = Origin(audio or str(output / "sounds"), synthesised=audio is None, seed=seed)
    errors = write_demo_page(output / PAGE, origin, dataset, split, model)
    return Demonstration(
        page=str((output / PAGE).resolve()),
        dataset=dataset.uri,
        model=str(model),
        split=split,
        num_records=errors.num_records,
        reconstruction_mse=errors.reconstruction,
        mean_spectrogram_mse=errors.mean_spectrogram,
        ratio=errors.ratio,
        epochs=epochs,
        seconds=round(time.monotonic() - started, 1),
    )


def check_folders(audio: str | None, output: Path) -> None:
    """SettingError when `output` may not be replaced, or when the recordings are missing or lie inside it."""
    if output.exists() and not output.is_dir():
        raise SettingError(f"--output {output} must be a folder, it is a file")
    if output.is_dir() and any(output.iterdir()) and not (output / MARKER).is_file():
        raise SettingError(f"--output {output} must be new, empty or of an earlier demo: it holds other files")
    if audio is None or "://" in audio:
        return
    if not Path(audio).exists():
        raise SettingError(f"--audio {audio} must be a folder of recordings: no such folder")
    if Path(audio).resolve().is_relative_to(output.resolve()):
        raise SettingError(f"--audio {audio} must lie outside --output {output}, which is replaced")


def preset_for(audio: str) -> str:
    """The preset for a folder of recordings, by the headers of some of them."""
    table = list_sources([audio]).table
    if len(table) == 0:
        return PRESET  # whose first step says what is wrong
    rows = table.take(list(range(0, len(table), max(1, len(table) // _LOOKED_AT)))).to_pylist()
    headers = read_headers([store.join(row["root"], row["source"]) for row in rows if row["error"] is None])
    if not is_like_music([header for header in headers if header is not None]):
        return PRESET
    _say(f"Most of it is in stereo at {MUSIC_HZ // 1000} kHz or more: preset {MUSIC}")
    return MUSIC


def label_pattern_for(audio: str) -> str | None:
    """What labels a folder of recordings by the folders in it, where these sort them; None where they do not."""
    sources = list_sources([audio]).table["source"].to_pylist()
    folders = [source.split("/")[0] for source in sources if "/" in source]
    count = len(set(folders))
    sorts = len(folders) >= max(_IN_FOLDERS * len(sources), _FEWEST_A_FOLDER * count)
    return BY_FOLDER if sorts and 2 <= count <= _MOST_FOLDERS else None


def preprocess(audio: str | None, output: Path, workers: int | None, preset: str = PRESET) -> Dataset:
    """The dataset of the recordings, or of the demo's sounds, with as much held out as there are sounds for.

    Splits are drawn file by file, so that of a handful nothing may be left to train on; then all are.
    """
    folder = str(output / "dataset")
    options = [audio or str(output / "sounds"), f"--output={folder}", f"--preset={preset}"]
    labels = synthesis.LABEL_PATTERN if audio is None else label_pattern_for(audio)
    if labels is not None:
        options.append(f"--label-pattern={labels}")
    if workers is not None:
        options.append(f"--workers={workers}")
    _say("[2/4] Preprocessing")
    _command("preprocess", *options)
    dataset = open_dataset(folder)
    if dataset.count(TRAIN):
        return dataset
    _say("Nothing is left to train on: holding nothing out")
    shutil.rmtree(folder)
    _command("preprocess", *options, "--split-pattern=train=.")
    return open_dataset(folder)


def epochs_for(num_examples: int, preset: str = PRESET) -> int:
    """Epochs that take about as long for any number of training examples, within reason."""
    steps_an_epoch = -(-num_examples // PRESETS[preset].train.batch_size)
    return max(1, min(_STEPS[preset] // steps_an_epoch, _MAX_EPOCHS))


def renew(output: Path) -> None:
    """Make the folder ready: marked as a demo's, with nothing in it that an earlier demo made."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / MARKER).write_text(
            "Made by `audio-vae demo`, which may replace what it made here.\n", encoding="utf-8"
        )
        for name in ("sounds", "dataset", "model"):
            if (output / name).exists():
                shutil.rmtree(output / name)
        (output / PAGE).unlink(missing_ok=True)
    except OSError as error:
        raise WorkError(f"--output {output} cannot be written: {why_unwritten(error, output)}") from error


def _command(*words: str) -> None:
    """Run `audio-vae WORDS...` as a user would, its output going to standard error. StepFailed if it fails."""
    _say(f"$ audio-vae {shlex.join(words)}")
    command = [sys.executable, "-m", "vae_model.cli", *words]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    asked: list[int] = []
    running: list[subprocess.Popen[bytes]] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for child in running:
            (child.kill if len(asked) > 1 else child.terminate)()

    with handling(stop):
        # In a session of its own, Ctrl-C reaches it through us alone: it is asked to end once, and says how to go on.
        running.append(subprocess.Popen(command, stdout=sys.stderr, env=environment, start_new_session=True))
        if asked:
            running[0].terminate()
        status = running[0].wait()
    if asked:
        raise KeyboardInterrupt
    if status:
        raise StepFailed(status if status > 0 else 1)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

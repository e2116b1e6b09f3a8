"""What TensorBoard shows of a training run: curves, spectrograms, sounds, and the latents at its end.

MODEL/tensorboard/train         the training's curves, and the projector's files
MODEL/tensorboard/validation    the validation's curves, pictures and sounds (in `train` if nothing is held out)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tensorboard.plugins import projector

from pipelines.audio.features import has_sound
from pipelines.config import TRAIN, VALIDATION
from pipelines.dataset.folder import Dataset
from pipelines.dataset.records import LABEL_PREFIX
from pipelines.store import replacing
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.value_range import ValueRange
from vae_model.prior.prior import Prior
from vae_model.report.figure import side_by_side
from vae_model.report.page import SPAN_DB
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.limiter import limited
from vae_model.training import data
from vae_model.training.checkpoints import noise_streams, set_noise
from vae_model.training.event_file import EventFile
from vae_model.training.parsed import loudest_db, scaled
from vae_model.training.run_state import score
from vae_model.vae.autoencoder import Autoencoder

FOLDER = "tensorboard"
NUM_SHOWN = 4
"""Examples that are shown and heard, the same ones all along."""
BUDGET = 0.01
"""The part of the training time that pictures and sounds may take while it lasts."""
_FIRST_SECONDS = 3.0  # what the first pictures and sounds are taken to cost, with numba's start-up


class TensorBoard(keras.callbacks.Callback):
    """Writes event files into MODEL/tensorboard. A step is an epoch, counted from 1 as in history.csv.

    folder: MODEL. autoencoder, bundle: what is trained. first_epoch: complete epochs before this run; what a killed
    run wrote of later ones is superseded. best: the lowest score so far.
    """

    def __init__(
        self,
        folder: Path,
        autoencoder: Autoencoder,
        dataset: Dataset,
        bundle: Bundle,
        first_epoch: int = 0,
        best: float = float("inf"),
    ) -> None:
        super().__init__()
        self.folder = folder / FOLDER
        self.autoencoder = autoencoder
        self.dataset = dataset
        self.bundle = bundle
        self._first_step = first_epoch + 1
        self._step = first_epoch
        self._best = best
        self._files: dict[str, EventFile] = {}
        self._exhibits: Exhibits | None = None
        self._shown_at = first_epoch
        self._started = time.monotonic()
        self._spent_seconds = 0.0
        self._cost_seconds = _FIRST_SECONDS

    @property
    def held_out(self) -> str:
        """The split whose examples are shown: validation, or train where nothing is held out."""
        return VALIDATION if self.dataset.count(VALIDATION) else TRAIN

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch's figures; pictures and sounds too when it is the best one and they are due."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self._step = epoch + 1
        train = {name: value for name, value in figures.items() if not name.startswith("val_")}
        validation = {name.removeprefix("val_"): figures[name] for name in figures if name not in train}
        self._file(TRAIN).write_scalars(self._step, train)
        if validation:
            self._file(VALIDATION).write_scalars(self._step, validation)
        if score(figures) < self._best:
            self._best = score(figures)
            if self._due():
                started = time.monotonic()
                with _seeds_kept(self.model):
                    self._show(self.autoencoder)
                self._cost_seconds = time.monotonic() - started
                self._spent_seconds += self._cost_seconds

    def finish(self, autoencoder: Autoencoder) -> None:
        """Show what the kept model makes of the examples, and write its latents for the projector."""
        if self._shown_at < self._step:
            self._show(autoencoder)
        splits = [TRAIN] if self.held_out == TRAIN else [VALIDATION, TRAIN]
        write_projector(self.folder / TRAIN, autoencoder, self.dataset, self.bundle.value_range, splits)

    def show_new_sounds(self, autoencoder: Autoencoder, prior: Prior) -> None:
        """Let a few new sounds be heard, named by their labels."""
        if not has_sound(self.bundle.audio, self.bundle.spectrogram):
            return
        drawn = prior.draw(NUM_SHOWN, self.bundle.train.seed)
        waveforms = SoundGenerator(autoencoder, self.bundle).decode(
            drawn.latents, drawn.ranges(self.bundle.value_range)
        )
        names = [" ".join(["new/" + str(number), *of.values()]) for number, of in enumerate(drawn.labels, start=1)]
        sounds = dict(zip(names, waveforms, strict=True))
        self._file(self.held_out).write_sounds(self._step, sounds, self.bundle.audio.sample_rate)

    def _due(self) -> bool:
        every = self.bundle.train.media_epochs
        if not every or self._step < self._shown_at + every:
            return False
        elapsed = time.monotonic() - self._started
        return self._spent_seconds + self._cost_seconds <= BUDGET * elapsed

    def _show(self, autoencoder: Autoencoder) -> None:
        file = self._file(self.held_out)
        first = self._exhibits is None
        if self._exhibits is None:
            self._exhibits = Exhibits(self.dataset, self.held_out, self.bundle)
        self._exhibits.write(file, self._step, autoencoder, with_originals=first)
        self._shown_at = self._step

    def _file(self, run: str) -> EventFile:
        if run not in self._files:
            self._files[run] = EventFile(self.folder / run, self._first_step)
        return self._files[run]


@contextmanager
def _seeds_kept(model: keras.Model) -> Iterator[None]:
    """Put the model's noise streams back at the end, so that what is looked at meanwhile changes no training."""
    before = [np.array(stream).tolist() for stream in noise_streams(model)]
    yield
    set_noise(model, before)


class Exhibits:
    """The first few examples of a split, as a model is shown them; `write` puts them and what it makes of them down."""

    def __init__(self, dataset: Dataset, split: str, bundle: Bundle) -> None:
        self.bundle = bundle
        examples = data.first_examples(dataset, split, NUM_SHOWN)
        self.inputs: NDArray[np.float32] = np.asarray(scaled(examples, bundle.value_range))
        levels = zip(examples["min_db"], examples["max_db"], strict=True)
        self.ranges = [bundle.value_range.of_levels(float(low), float(high)) for low, high in levels]
        loudest = float(np.max(loudest_db(examples, dataset.config.level_channels)))
        self.range_db = (loudest - SPAN_DB, loudest)

    def write(self, file: EventFile, step: int, autoencoder: Autoencoder, with_originals: bool) -> None:
        """Original and reconstruction of each: a picture of both, and their sounds (of the original if asked for)."""
        audio, spectrogram = self.bundle.audio, self.bundle.spectrogram
        if not has_sound(audio, spectrogram):
            return
        generator = SoundGenerator(autoencoder, self.bundle)
        outputs, _ = autoencoder.reconstruct(self.inputs)
        images, sounds = {}, {}
        for number, (x, y, bounds) in enumerate(zip(self.inputs, outputs, self.ranges, strict=True), start=1):
            drawn = {"original": bounds.to_db(x), "reconstruction": bounds.to_db(y)}
            decibels = {name: generator.inverter.to_linear(each) for name, each in drawn.items()}
            images[f"spectrograms/{number}"] = side_by_side(
                decibels, self.range_db, audio.sample_rate, spectrogram.hop_length
            )
            if with_originals:
                sounds[f"originals/{number}"] = generator.to_waveform(x, bounds)
            sounds[f"reconstructions/{number}"] = generator.to_waveform(y, bounds)
        file.write_images(step, images)
        heard = {name: limited(waveform, audio.sample_rate) for name, waveform in sounds.items()}
        file.write_sounds(step, heard, audio.sample_rate)


MAX_POINTS = 2000
LATENTS_FILE = "latents.tsv"
METADATA_FILE = "metadata.tsv"


def write_projector(
    folder: Path, autoencoder: Autoencoder, dataset: Dataset, value_range: ValueRange, splits: list[str]
) -> int:
    """Write the latents (mu of a VAE) of up to MAX_POINTS examples into a folder; returns how many.

    splits: where the examples are from; each but the last gives an equal part at most, the last fills up. Two files,
    a row an example: `latents.tsv` and `metadata.tsv` with split, source, segment and every label. With them
    `projector_config.pbtxt`, by which TensorBoard finds both.
    """
    names = list(dataset.record.labels)
    latents: list[NDArray[np.float32]] = []
    rows = [["split", "source", "segment", *names]]
    for number, split in enumerate(splits, start=1):
        wanted = MAX_POINTS // len(splits) if number < len(splits) else MAX_POINTS - (len(rows) - 1)
        examples = data.first_examples(dataset, split, wanted)
        latents.append(autoencoder.means(np.asarray(scaled(examples, value_range))))
        columns = [examples["source"], examples["segment"], *(examples[LABEL_PREFIX + name] for name in names)]
        rows += [[split, *map(_cell, row)] for row in zip(*columns, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / LATENTS_FILE) as partial:
        np.savetxt(partial, np.concatenate(latents), fmt="%.6g", delimiter="\t")
    with replacing(folder / METADATA_FILE) as partial:
        partial.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    config = projector.ProjectorConfig()
    config.embeddings.add(tensor_name="latents", tensor_path=LATENTS_FILE, metadata_path=METADATA_FILE)
    projector.visualize_embeddings(str(folder), config)
    return len(rows) - 1


def _cell(value: Any) -> str:
    """A value as text of one line without tabs."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return " ".join(text.split())
